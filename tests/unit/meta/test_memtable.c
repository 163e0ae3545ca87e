/* SPDX-License-Identifier: Apache-2.0
 *
 * The memtable against a sorted array, and with readers beside the writer (for the thread sanitizer).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <string.h>
#include <cmocka.h>

#include "base/macros.h"
#include "base/thread.h"
#include "meta/memtable.h"
#include "unit/meta/rnd.h"

struct model_row {
	unsigned table;
	char key[8];
	size_t klen;
	uint64_t seq;
	char row[16];
	bool deleted;
};

static struct model_row model[4000];
static size_t model_n;

static struct str model_key(const struct model_row *r)
{
	return (struct str){r->key, r->klen};
}

static int model_compare(const void *pa, const void *pb)
{
	const struct model_row *a = pa, *b = pb;
	int c = a->table < b->table ? -1 : a->table > b->table;

	if (!c)
		c = str_cmp(model_key(a), model_key(b));
	return c ? c : a->seq > b->seq ? -1 : a->seq < b->seq;
}

static void some_key(struct model_row *r)
{
	r->klen = rnd_below(4);
	for (size_t i = 0; i < r->klen; i++)
		r->key[i] = (char)(rnd_below(4) * 85);
}

static void put(struct memtable *m, const struct model_row *r)
{
	struct memtable_row row = {
		.table = r->table,
		.key = model_key(r),
		.row = r->deleted ? (struct str){0} : (struct str){r->row, strlen(r->row)},
		.seq = r->seq,
		.deleted = r->deleted,
	};

	assert_int_equal(memtable_put(m, &row), 0);
}

static struct memtable *fill_both(void)
{
	struct memtable *m = memtable_new();

	assert_non_null(m);
	model_n = 0;
	while (model_n < ARRAY_SIZE(model)) {
		struct model_row *r = &model[model_n];
		size_t i;

		memset(r, 0, sizeof *r);
		r->table = 1 + rnd_below(3);
		some_key(r);
		r->seq = 1 + rnd_below(2000);
		r->deleted = rnd_below(5) == 0;
		snprintf(r->row, sizeof r->row, "%u", (unsigned)model_n);
		put(m, r);
		for (i = 0; i < model_n && model_compare(&model[i], r) != 0; i++)
			;
		if (i < model_n)
			model[i] = *r;
		else
			model_n++;
		if (model_n > 3000 && rnd_below(100) == 0)
			break;
	}
	qsort(model, model_n, sizeof model[0], model_compare);
	return m;
}

static void same(const struct model_row *want, const struct memtable_row *got)
{
	assert_int_equal(want->table, got->table);
	assert_true(str_eq(model_key(want), got->key));
	assert_int_equal(want->seq, got->seq);
	assert_int_equal(want->deleted, got->deleted);
	assert_true(str_eqc(got->row, want->deleted ? "" : want->row));
}

static void walk_equals_model(const struct memtable *m, unsigned table, struct str from, uint64_t max_seq)
{
	const struct model_row *last = NULL;
	struct memtable_row got;
	const void *at = memtable_seek(m, table, from, max_seq, &got);

	for (size_t i = 0; i < model_n; i++) {
		const struct model_row *r = &model[i];

		if (r->table != table || r->seq > max_seq || str_cmp(model_key(r), from) < 0)
			continue;
		if (last && str_eq(model_key(last), model_key(r)))
			continue;
		last = r;
		assert_non_null(at);
		same(r, &got);
		at = memtable_next(m, at, max_seq, &got);
	}
	assert_null(at);
}

static void memtable_equals_model(void **state)
{
	struct memtable *m = fill_both();

	assert_int_equal(memtable_rows(m), model_n);
	for (int i = 0; i < 2000; i++) {
		struct model_row probe = {.table = 1 + rnd_below(3)};
		uint64_t max_seq = rnd_below(4) ? rnd_below(2100) : UINT64_MAX;
		struct memtable_row got;
		const struct model_row *want = NULL;

		some_key(&probe);
		for (size_t k = 0; k < model_n && !want; k++)
			if (model[k].table == probe.table && str_eq(model_key(&model[k]), model_key(&probe)) &&
			    model[k].seq <= max_seq)
				want = &model[k];
		assert_int_equal(memtable_get(m, probe.table, model_key(&probe), max_seq, &got), want != NULL);
		if (want)
			same(want, &got);
		if (i % 20 == 0)
			walk_equals_model(m, probe.table, model_key(&probe), max_seq);
	}
	memtable_unref(m);
}

static int released;

static void release(void *p)
{
	released++;
	free(p);
}

static void payload_is_found_and_freed_once(void **state)
{
	struct memtable *m = memtable_new();
	size_t len;

	for (uint64_t seq = 1; seq <= 500; seq++)
		assert_int_equal(memtable_payload_add(m, seq * 7 % 501, malloc(seq), seq, release), 0);
	assert_int_equal(memtable_payload_add(m, 7, malloc(9), 9, release), 0);
	assert_int_equal(released, 1);
	assert_non_null(memtable_payload(m, 14, &len));
	assert_int_equal(len, 2);
	assert_null(memtable_payload(m, 501, &len));
	assert_null(memtable_payload(m, 0, &len));
	assert_true(memtable_bytes(m) >= 500 * 501 / 2);
	memtable_ref(m);
	memtable_unref(m);
	assert_int_equal(released, 1);
	memtable_unref(m);
	memtable_unref(NULL);
	assert_int_equal(released, 501);
}

static void empty_and_bounds(void **state)
{
	struct memtable *m = memtable_new();
	struct memtable_row r = {.table = TABLE_DIR, .key = STR_LIT("k"), .row = STR_LIT("v"), .seq = 9}, got;

	assert_int_equal(memtable_first_seq(m), 0);
	assert_null(memtable_seek(m, TABLE_DIR, (struct str){0}, UINT64_MAX, &got));
	assert_int_equal(memtable_put(m, &r), 0);
	r.seq = 4;
	assert_int_equal(memtable_put(m, &r), 0);
	assert_int_equal(memtable_first_seq(m), 4);
	assert_int_equal(memtable_last_seq(m), 9);
	assert_false(memtable_get(m, TABLE_DIR, r.key, 3, &got));
	memtable_unref(m);
}

#define WRITES 30000
static _Atomic uint64_t applied;

/* Every sequence writes keys (seq % 50) and 99 with its own number: a reader at s must find number s at 99. */
static void *reader(void *arg)
{
	struct memtable *m = arg;
	uint64_t s;

	do {
		struct memtable_row got;
		const void *at;
		char last = 0, key = 99;
		size_t len, n = 0;

		s = atomic_load_explicit(&applied, memory_order_acquire);
		if (!s)
			continue;
		ASSERT(memtable_get(m, TABLE_DIR, (struct str){&key, 1}, s, &got) && got.seq == s);
		ASSERT(memcmp(got.row.p, &s, sizeof s) == 0);
		for (at = memtable_seek(m, TABLE_DIR, (struct str){0}, s, &got); at; at = memtable_next(m, at, s, &got)) {
			ASSERT(n++ == 0 || got.key.p[0] > last);
			last = got.key.p[0];
			ASSERT(got.seq <= s && memcmp(got.row.p, &got.seq, sizeof got.seq) == 0);
		}
		ASSERT(n == MIN(s, 50) + 1);
		ASSERT(memtable_payload(m, s, &len) && len == 8);
	} while (s < WRITES);
	return NULL;
}

static void readers_beside_the_writer_see_whole_sequences(void **state)
{
	struct memtable *m = memtable_new();
	pthread_t t[3];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(thread_start(&t[i], "qn-reader", reader, m), 0);
	for (uint64_t s = 1; s <= WRITES; s++) {
		char key = (char)(s % 50);
		struct memtable_row r = {TABLE_DIR, {&key, 1}, {(char *)&s, sizeof s}, s, false};

		assert_int_equal(memtable_put(m, &r), 0);
		key = 99;
		assert_int_equal(memtable_put(m, &r), 0);
		assert_int_equal(memtable_payload_add(m, s, malloc(8), 8, free), 0);
		atomic_store_explicit(&applied, s, memory_order_release);
	}
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(t[i]);
	memtable_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memtable_equals_model),
		cmocka_unit_test(payload_is_found_and_freed_once),
		cmocka_unit_test(empty_and_bounds),
		cmocka_unit_test(readers_beside_the_writer_see_whole_sequences),
	};

	rnd_init(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
