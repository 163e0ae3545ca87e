/* SPDX-License-Identifier: Apache-2.0
 *
 * Listings against a sorted model: odd keys, every prefix, delimiter, marker and page size.
 */
#include "unit/object/store_unit.h"

#define KEYS_MAX 400

struct model {
	char *key[KEYS_MAX];
	size_t len[KEYS_MAX];
	unsigned n;
};

static uint64_t seed;

static unsigned rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 16) % n);
}

/* Few different components, so that directories, objects and both of one name meet; now and then a very long one. */
static size_t odd_key(char *p)
{
	static const char *const parts[] = {"a",   "b", "ab",       "a!", "a0",   ".", "..",  "-",
	                                    "a-b", "",  "\xc3\xa9", "z",  "\x01", "~", "a b", "%2F"};
	unsigned depth = 1 + rnd(4);
	size_t len = 0;

	for (unsigned i = 0; i < depth; i++) {
		if (i > 0)
			p[len++] = '/';
		if (rnd(8) == 0) {
			unsigned n = 395 + rnd(12) + (rnd(4) == 0 ? 400 : 0);

			if (len + n > 1000)
				n = 5;
			memset(p + len, rnd(3) ? 'L' : 'M', n);
			len += n;
			if (rnd(2))
				p[len - 1] = (char)('a' + rnd(4));
			continue;
		}
		const char *s = parts[rnd(ARRAY_SIZE(parts))];

		memcpy(p + len, s, strlen(s));
		len += strlen(s);
	}
	if (rnd(8) == 0)
		p[len++] = '/';
	if (len == 0)
		p[len++] = 'e';
	return len;
}

static int find(const struct model *m, const char *p, size_t len)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (m->len[i] == len && memcmp(m->key[i], p, len) == 0)
			return (int)i;
	}
	return -1;
}

static void model_add(struct model *m, const char *p, size_t len)
{
	unsigned at = 0;

	while (at < m->n && str_cmp((struct str){m->key[at], m->len[at]}, (struct str){p, len}) < 0)
		at++;
	memmove(&m->key[at + 1], &m->key[at], (m->n - at) * sizeof m->key[0]);
	memmove(&m->len[at + 1], &m->len[at], (m->n - at) * sizeof m->len[0]);
	m->key[at] = malloc(len);
	memcpy(m->key[at], p, len);
	m->len[at] = len;
	m->n++;
}

static void model_del(struct model *m, unsigned at)
{
	free(m->key[at]);
	m->n--;
	memmove(&m->key[at], &m->key[at + 1], (m->n - at) * sizeof m->key[0]);
	memmove(&m->len[at], &m->len[at + 1], (m->n - at) * sizeof m->len[0]);
}

struct want {
	struct str key;
	bool is_prefix;
};

/* What a listing without limit has to give. */
static unsigned model_list(const struct model *m, struct str prefix, struct str delim, struct want *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n; i++) {
		struct str k = {m->key[i], m->len[i]};
		const char *hit = NULL;

		if (!str_starts(k, prefix))
			continue;
		if (delim.len > 0)
			hit = memmem(k.p + prefix.len, k.len - prefix.len, delim.p, delim.len);
		if (hit)
			k.len = (size_t)(hit - k.p) + delim.len;
		if (n > 0 && hit && ret[n - 1].is_prefix && str_eq(ret[n - 1].key, k))
			continue;
		ret[n++] = (struct want){k, hit != NULL};
	}
	return n;
}

static void check_listing(struct fix *f, const struct model *m, struct str prefix, struct str delim, unsigned max)
{
	static struct want want[KEYS_MAX];
	unsigned n = model_list(m, prefix, delim, want), at = 0;
	struct object_list_args a = {.bucket = STR_LIT("bucket"), .prefix = prefix, .delimiter = delim, .max = max};

	for (;;) {
		struct object_list l;
		uint64_t seq;

		assert_int_equal(object_list(f->store, &f->ctx, &a, &l, &seq), 0);
		assert_true(l.n <= max);
		for (unsigned i = 0; i < l.n; i++, at++) {
			assert_true(at < n);
			assert_int_equal(l.items[i].is_prefix, want[at].is_prefix);
			assert_int_equal(l.items[i].key.len, want[at].key.len);
			assert_memory_equal(l.items[i].key.p, want[at].key.p, want[at].key.len);
		}
		assert_int_equal(l.truncated, at < n);
		if (!l.truncated)
			break;
		a.start_after = l.next;
	}
	assert_int_equal(at, n);
	arena_reset(&f->ctx.arena);
}

static void check_after(struct fix *f, const struct model *m, struct str after)
{
	struct object_list_args a = {.bucket = STR_LIT("bucket"), .start_after = after, .max = KEYS_MAX};
	struct object_list l;
	unsigned at = 0;
	uint64_t seq;

	assert_int_equal(object_list(f->store, &f->ctx, &a, &l, &seq), 0);
	while (at < m->n && str_cmp((struct str){m->key[at], m->len[at]}, after) <= 0)
		at++;
	assert_int_equal(l.n, m->n - at);
	for (unsigned i = 0; i < l.n; i++)
		assert_true(str_eq(l.items[i].key, (struct str){m->key[at + i], m->len[at + i]}));
	arena_reset(&f->ctx.arena);
}

static void check_all(struct fix *f, const struct model *m)
{
	static const char *const delims[] = {"", "/", "-", "a/", "//", "L"};
	char key[1100];

	check_listing(f, m, STR_LIT(""), STR_LIT(""), 1000);
	check_listing(f, m, STR_LIT(""), STR_LIT("/"), 1000);
	for (unsigned i = 0; i < 30; i++) {
		struct str prefix = {key, odd_key(key)};

		if (m->n > 0 && rnd(2)) {
			unsigned k = rnd(m->n);

			prefix = (struct str){m->key[k], 1 + rnd((unsigned)m->len[k])};
		}
		check_after(f, m, prefix);
		check_listing(f, m, prefix, str_of(delims[rnd(ARRAY_SIZE(delims))]), 1 + rnd(7));
		if (rnd(2))
			prefix.len = 0;
		check_listing(f, m, prefix, str_of(delims[rnd(ARRAY_SIZE(delims))]), 1 + rnd(30));
	}
}

static void listings_equal_a_sorted_model(void **state)
{
	struct model m = {.n = 0};
	struct fix f;
	char key[1100];

	(void)state;
	seed = getenv("QUOIN_SEED") ? strtoull(getenv("QUOIN_SEED"), NULL, 0) : random_u64() | 1;
	print_message("QUOIN_SEED=%llu\n", (unsigned long long)seed);
	fix_open(&f);
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < 60; i++) {
			size_t len = odd_key(key);
			int at = find(&m, key, len);

			if (rnd(3) == 0 && m.n > 0 && at < 0) {
				at = (int)rnd(m.n);
				assert_int_equal(fix_delete(&f, (struct str){m.key[at], m.len[at]}), 0);
				model_del(&m, (unsigned)at);
			} else if (m.n < KEYS_MAX) {
				assert_int_equal(fix_put(&f, (struct str){key, len}, rnd(700), i), 0);
				if (at < 0)
					model_add(&m, key, len);
			}
		}
		check_all(&f, &m);
		fix_check(&f);
		if (round == 5) {
			fix_stop(&f, rnd(2));
			fix_start(&f);
			check_all(&f, &m);
		}
	}
	while (m.n > 0) {
		unsigned at = rnd(m.n);

		assert_int_equal(fix_delete(&f, (struct str){m.key[at], m.len[at]}), 0);
		model_del(&m, at);
	}
	fix_check(&f);
	assert_int_equal(object_bucket_delete(f.store, &f.ctx, STR_LIT("bucket"), NULL, NULL), 0);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listings_equal_a_sorted_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
