/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects: what is put is read back, replaced, copied, deleted; conditions; attributes; what a held file keeps.
 */
#include "base/clock.h"
#include "object/body.h"
#include "unit/object/store_unit.h"

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	fix_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	fix_close(f);
	free(f);
	return 0;
}

static const uint64_t sizes[] = {0, 1, 511, 512, 513, 4096, 32768, 32769, 100000, 1u << 20, (1u << 20) + 1, 5000000};

static struct str name_of(char *buf, const char *prefix, unsigned i)
{
	return (struct str){buf, (size_t)snprintf(buf, 32, "%s%u", prefix, i)};
}

static void bodies_of_any_size_are_read_back(void **state)
{
	struct fix *f = *state;
	char key[32];

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_int_equal(fix_put(f, name_of(key, "size/", i), sizes[i], i), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		fix_assert_content(f, name_of(key, "size/", i), sizes[i], i);
	/* And after a restart, with and without a clean stop. */
	for (unsigned kill = 0; kill < 2; kill++) {
		fix_stop(f, kill);
		fix_start(f);
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
			fix_assert_content(f, name_of(key, "size/", i), sizes[i], i);
		fix_check(f);
	}
	assert_int_equal(meta_checkpoint(f->set), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		fix_assert_content(f, name_of(key, "size/", i), sizes[i], i);
}

static void a_body_of_unknown_size_is_kept_whole(void **state)
{
	struct fix *f = *state;
	char key[32];

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct object_put_args a = {
			.bucket = STR_LIT("bucket"), .key = name_of(key, "unknown/", i), .size = UINT64_MAX};

		assert_int_equal(fix_put_args(f, &a, sizes[i], i, NULL), 0);
		fix_assert_content(f, a.key, sizes[i], i);
	}
}

/* What the pool of buffers did, of the calls that went through it since a count was begun. */
static struct {
	_Atomic bool counts;
	_Atomic unsigned out;
} bodies;

void *__real_body_get(struct body_pool *p, struct body_wait *w);
void *__wrap_body_get(struct body_pool *p, struct body_wait *w);
void __real_body_put(struct body_pool *p, void *buf);
void __wrap_body_put(struct body_pool *p, void *buf);

/* Whoever asks gets his buffer when all others have come back and are being told so. */
void *__wrap_body_get(struct body_pool *p, struct body_wait *w)
{
	void *buf;

	if (!bodies.counts)
		return __real_body_get(p, w);
	while (bodies.out > 0)
		clock_sleep_ns(NS_PER_MS / 10);
	clock_sleep_ns(5 * NS_PER_MS);
	buf = __real_body_get(p, w);
	bodies.out += buf != NULL;
	return buf;
}

void __wrap_body_put(struct body_pool *p, void *buf)
{
	__real_body_put(p, buf);
	if (bodies.counts && buf)
		bodies.out--;
}

/* A drive that hangs may still write from one: it is not waited for, and nothing is freed under it. */
static void buffers_that_are_out_keep_their_pool(void **state)
{
	struct fix *f = *state;
	struct body_pool *p = body_pool_new(f->set, 32u << 20);
	struct body_wait w = {.queued = false};

	assert_non_null(p);
	void *buf = body_get(p, &w);
	assert_non_null(buf);
	assert_ptr_equal(body_pool_free(p, 5 * NS_PER_MS), p);
	memset(buf, 1, body_size(p));
	body_put(p, buf);
	assert_null(body_pool_free(p, 5 * NS_PER_MS));
}

/* Who is told to wait is resumed, and nobody else: a resume too many would be taken for the end of the body. */
static void who_has_room_is_not_resumed(void **state)
{
	struct fix *f = *state;

	bodies.counts = true;
	assert_int_equal(fix_put(f, STR_LIT("room"), 12u << 20, 5), 0);
	bodies.counts = false;
	fix_assert_content(f, STR_LIT("room"), 12u << 20, 5);
}

static void digests_are_those_of_the_body(void **state)
{
	struct fix *f = *state;
	CLEANUP_FREE uint8_t *body = malloc(3000000);
	const size_t lens[] = {10, 20000, 3000000};

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		struct object_put_args a = {
			.bucket = STR_LIT("bucket"),
			.key = STR_LIT("digests"),
			.size = lens[i],
			.digests = DIGEST_SHA256 | DIGEST_CRC32 | DIGEST_SHA1,
		};
		const struct object_digests *d;
		struct digest_values v;
		struct object_info info;
		struct object_put *p;
		char hex[33];

		fix_bytes(body, lens[i], 0, 7);
		digest_once(DIGEST_MD5 | a.digests, body, lens[i], &v);
		assert_int_equal(object_put_begin(f->store, &f->ctx, &a, &p), 0);
		assert_int_equal(fix_put_body(p, lens[i], 7), 0);
		d = object_put_digests(p);
		assert_memory_equal(d->md5, v.md5, sizeof v.md5);
		assert_memory_equal(d->sha256, v.sha256, sizeof v.sha256);
		assert_memory_equal(d->sha1, v.sha1, sizeof v.sha1);
		assert_int_equal(d->crc32, v.crc32);
		assert_int_equal(d->crc32c, checksum_crc32c(0, body, lens[i]));
		assert_true(d->crc64nvme == checksum_crc64nvme(0, body, lens[i]));
		assert_int_equal(object_put_commit(p, &f->ctx, (struct str){NULL, 0}, STR_LIT(""), &info, NULL, NULL), 0);
		hex_encode(v.md5, 16, hex);
		assert_true(str_eqc(info.etag, hex));
		object_put_free(p);
	}
}

static void a_short_body_leaves_no_trace(void **state)
{
	struct fix *f = *state;
	struct object_put_args a = {.bucket = STR_LIT("bucket"), .key = STR_LIT("short"), .size = 2000000};
	struct object_put *p;

	assert_int_equal(object_put_begin(f->store, &f->ctx, &a, &p), 0);
	assert_int_equal(fix_put_body(p, 1500000, 1), -QE_INCOMPLETE_BODY);
	object_put_free(p);
	a.size = 100;
	assert_int_equal(object_put_begin(f->store, &f->ctx, &a, &p), 0);
	assert_int_equal(fix_put_body(p, 99, 1), -QE_INCOMPLETE_BODY);
	object_put_free(p);
	assert_int_equal(fix_head(f, STR_LIT("short")), -QE_NO_SUCH_KEY);
}

static void replacing_and_deleting_keep_counters(void **state)
{
	struct fix *f = *state;
	struct object_bucket_info b;
	uint64_t seq;
	bool existed;

	assert_int_equal(fix_put(f, STR_LIT("a/b/c"), 10, 1), 0);
	assert_int_equal(fix_put(f, STR_LIT("a/b/c"), 40000, 2), 0);
	assert_int_equal(fix_put(f, STR_LIT("a/b"), 600, 3), 0);
	assert_int_equal(fix_put(f, STR_LIT("a"), 7, 4), 0);
	fix_assert_content(f, STR_LIT("a/b/c"), 40000, 2);
	fix_assert_content(f, STR_LIT("a/b"), 600, 3);
	fix_assert_content(f, STR_LIT("a"), 7, 4);
	assert_int_equal(object_bucket_head(f->store, &f->ctx, STR_LIT("bucket"), &b, &seq), 0);
	assert_int_equal(b.usage.objects, 3);
	assert_int_equal(b.usage.bytes, 40607);
	fix_check(f);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), -QE_BUCKET_NOT_EMPTY);
	assert_int_equal(
		object_delete(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("a/b/c"), STR_LIT("null"), &existed, NULL, NULL),
		0);
	assert_true(existed);
	assert_int_equal(
		object_delete(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("a/b/c"), STR_LIT(""), &existed, NULL, NULL), 0);
	assert_false(existed);
	assert_int_equal(fix_delete(f, STR_LIT("a/b")), 0);
	assert_int_equal(fix_delete(f, STR_LIT("a")), 0);
	assert_int_equal(object_bucket_head(f->store, &f->ctx, STR_LIT("bucket"), &b, &seq), 0);
	assert_int_equal(b.usage.objects, 0);
	assert_int_equal(b.usage.bytes, 0);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), 0);
	assert_int_equal(object_bucket_head(f->store, &f->ctx, STR_LIT("bucket"), &b, &seq), -QE_NO_SUCH_BUCKET);
	assert_int_equal(fix_put(f, STR_LIT("a"), 1, 1), -QE_NO_SUCH_BUCKET);
}

static void markers_are_directories(void **state)
{
	struct fix *f = *state;

	assert_int_equal(fix_put(f, STR_LIT("d/e/"), 0, 0), 0);
	assert_int_equal(fix_head(f, STR_LIT("d/e/")), 0);
	assert_int_equal(fix_head(f, STR_LIT("d/e")), -QE_NO_SUCH_KEY);
	assert_int_equal(fix_head(f, STR_LIT("d/")), -QE_NO_SUCH_KEY); /* implicit */
	fix_check(f);
	assert_int_equal(fix_put(f, STR_LIT("d/e/"), 70000, 5), 0); /* with a body of its own */
	fix_assert_content(f, STR_LIT("d/e/"), 70000, 5);
	assert_int_equal(fix_put(f, STR_LIT("d/e/x"), 5, 6), 0);
	fix_check(f);
	assert_int_equal(fix_delete(f, STR_LIT("d/e/")), 0);
	assert_int_equal(fix_head(f, STR_LIT("d/e/")), -QE_NO_SUCH_KEY);
	fix_assert_content(f, STR_LIT("d/e/x"), 5, 6);
	fix_check(f);
	assert_int_equal(fix_put(f, STR_LIT("d/e/"), 0, 0), 0);
	assert_int_equal(fix_delete(f, STR_LIT("d/e/x")), 0);
	assert_int_equal(fix_head(f, STR_LIT("d/e/")), 0);
	assert_int_equal(fix_delete(f, STR_LIT("d/e/")), 0);
	assert_int_equal(fix_put(f, STR_LIT("//"), 3, 1), 0);
	fix_assert_content(f, STR_LIT("//"), 3, 1);
	assert_int_equal(fix_delete(f, STR_LIT("//")), 0);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), 0);
}

static void long_names_come_and_go(void **state)
{
	struct fix *f = *state;
	static const unsigned lens[] = {398, 399, 400, 401, 799, 800, 801, 1022};
	char key[1100];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
			memset(key, 'x', sizeof key);
			assert_int_equal(fix_put(f, (struct str){key, lens[i]}, 9, i), 0);
			key[lens[i]] = '/';
			assert_int_equal(fix_put(f, (struct str){key, lens[i] + 2u}, 9, i + 100), 0);
		}
		fix_check(f);
		for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
			memset(key, 'x', sizeof key);
			fix_assert_content(f, (struct str){key, lens[i]}, 9, i);
			assert_int_equal(fix_delete(f, (struct str){key, lens[i]}), 0);
			key[lens[i]] = '/';
			fix_assert_content(f, (struct str){key, lens[i] + 2u}, 9, i + 100);
			assert_int_equal(fix_delete(f, (struct str){key, lens[i] + 2u}), 0);
		}
		fix_check(f);
	}
	assert_int_equal(fix_put(f, (struct str){key, 1025}, 1, 1), -QE_KEY_TOO_LONG);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), 0);
}

static void conditions_decide_at_commit(void **state)
{
	struct fix *f = *state;
	struct object_put_args a = {.bucket = STR_LIT("bucket"), .key = STR_LIT("cond"), .size = 3};
	char etag[40];

	a.cond.if_match = STR_LIT("\"abc\"");
	assert_int_equal(fix_put_args(f, &a, 3, 1, NULL), -QE_NO_SUCH_KEY);
	a.cond = (struct object_cond){.if_none_match = STR_LIT("*")};
	assert_int_equal(fix_put_args(f, &a, 3, 1, etag), 0);
	assert_int_equal(fix_put_args(f, &a, 3, 2, NULL), -QE_PRECONDITION);
	a.cond = (struct object_cond){.if_match = STR_LIT("\"abc\", W/\"def\"")};
	assert_int_equal(fix_put_args(f, &a, 3, 2, NULL), -QE_PRECONDITION);
	a.cond = (struct object_cond){.if_match = str_of(etag)};
	assert_int_equal(fix_put_args(f, &a, 3, 2, NULL), 0);
	fix_assert_content(f, a.key, 3, 2);
}

static void a_read_condition_answers_as_http_says(void **state)
{
	struct object_info i = {.etag = STR_LIT("e1"), .mtime_ns = 1000 * NS_PER_S + 5};
	struct object_cond c = {.if_none_match = STR_LIT("\"e1\"")};

	(void)state;
	assert_int_equal(object_cond_check(&c, &i, false), -QE_NOT_MODIFIED);
	assert_int_equal(object_cond_check(&c, &i, true), -QE_PRECONDITION);
	c = (struct object_cond){.has_modified_since = true, .if_modified_since_ns = 1000 * NS_PER_S};
	assert_int_equal(object_cond_check(&c, &i, false), -QE_NOT_MODIFIED);
	c.if_modified_since_ns = 999 * NS_PER_S;
	assert_int_equal(object_cond_check(&c, &i, false), 0);
	c = (struct object_cond){.has_unmodified_since = true, .if_unmodified_since_ns = 999 * NS_PER_S};
	assert_int_equal(object_cond_check(&c, &i, false), -QE_PRECONDITION);
	c.if_match = STR_LIT("\"e1\""); /* a match overrules the date */
	assert_int_equal(object_cond_check(&c, &i, false), 0);
	c = (struct object_cond){.if_match = STR_LIT("*")};
	assert_int_equal(object_cond_check(&c, &i, false), 0);
}

static void a_copy_shares_and_survives(void **state)
{
	struct fix *f = *state;
	const uint64_t lens[] = {0, 100, 5000, 3000000, 200u << 20};
	struct object_info info;

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		struct object_copy_args a = {
			.src_bucket = STR_LIT("bucket"),
			.src_key = STR_LIT("src"),
			.bucket = STR_LIT("bucket"),
			.key = STR_LIT("copy/of"),
		};

		assert_int_equal(fix_put(f, a.src_key, lens[i], i), 0);
		assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
		assert_int_equal(info.size, lens[i]);
		fix_check(f);
		/* Onto itself, with other metadata. */
		a.src_key = a.key;
		a.replace_meta = true;
		assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
		fix_check(f);
		assert_int_equal(fix_delete(f, STR_LIT("src")), 0);
		fix_assert_content(f, a.key, lens[i], i);
		assert_int_equal(fix_delete(f, a.key), 0);
		fix_check(f);
	}
}

static void metadata_gives_attributes(void **state)
{
	struct fix *f = *state;
	CLEANUP_BUF struct buf meta = BUF_INIT;
	struct object_put_args a = {.bucket = STR_LIT("bucket"), .key = STR_LIT("attr"), .size = 1};
	struct object_handle *h;

	row_kv_add(&meta, STR_LIT("x-amz-meta-mtime"), STR_LIT("1700000000.25"));
	row_kv_add(&meta, STR_LIT("x-amz-meta-mode"), STR_LIT("33188")); /* s3fs: 0100644 in decimal */
	row_kv_add(&meta, STR_LIT("x-amz-meta-uid"), STR_LIT("12"));
	row_kv_add(&meta, STR_LIT("x-amz-meta-gid"), STR_LIT("34"));
	a.meta = buf_str(&meta);
	assert_int_equal(fix_put_args(f, &a, 1, 1, NULL), 0);
	h = fix_get(f, a.key);
	assert_non_null(h);
	assert_true(object_handle_info(h)->attr.mtime_ns == 1700000000ull * NS_PER_S + NS_PER_S / 4);
	assert_int_equal(object_handle_info(h)->attr.mode, S_IFREG | 0644);
	assert_int_equal(object_handle_info(h)->attr.uid, 12);
	assert_int_equal(object_handle_info(h)->attr.gid, 34);
	object_close(h);
	buf_reset(&meta);
	row_kv_add(&meta, STR_LIT("x-amz-meta-mode"), STR_LIT("100600")); /* rclone: octal */
	a.meta = buf_str(&meta);
	assert_int_equal(fix_put_args(f, &a, 1, 1, NULL), 0);
	h = fix_get(f, a.key);
	assert_int_equal(object_handle_info(h)->attr.mode, S_IFREG | 0600);
	assert_int_equal(object_handle_info(h)->attr.uid, 1000);
	object_close(h);
}

static void tags_change_nothing_else(void **state)
{
	struct fix *f = *state;
	CLEANUP_BUF struct buf tags = BUF_INIT;
	struct object_handle *h;
	uint64_t mtime;

	assert_int_equal(fix_put(f, STR_LIT("tagged"), 50000, 1), 0);
	h = fix_get(f, STR_LIT("tagged"));
	mtime = object_handle_info(h)->mtime_ns;
	object_close(h);
	row_kv_add(&tags, STR_LIT("k"), STR_LIT("v"));
	assert_int_equal(
		object_set_tags(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("tagged"), buf_str(&tags), NULL, NULL), 0);
	assert_int_equal(object_set_tags(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("none"), buf_str(&tags), NULL, NULL),
	                 -QE_NO_SUCH_KEY);
	h = fix_get(f, STR_LIT("tagged"));
	assert_true(object_handle_info(h)->mtime_ns == mtime);
	assert_true(str_eq(object_handle_info(h)->tags, buf_str(&tags)));
	fix_assert_handle(h, 50000, 1);
	object_close(h);
}

static void an_open_handle_keeps_its_version(void **state)
{
	struct fix *f = *state;
	const uint64_t lens[] = {100, 20000, 4000000};
	struct object_handle *h[ARRAY_SIZE(lens)];
	char key[32];

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		assert_int_equal(fix_put(f, name_of(key, "pin", i), lens[i], i), 0);
		h[i] = fix_get(f, name_of(key, "pin", i));
		assert_non_null(h[i]);
		assert_int_equal(i == 1 ? fix_delete(f, name_of(key, "pin", i)) : fix_put(f, name_of(key, "pin", i), 3, 99), 0);
	}
	assert_int_equal(meta_checkpoint(f->set), 0);
	fix_check(f);
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		fix_assert_handle(h[i], lens[i], i);
		object_close(h[i]);
	}
}

static uint64_t open_seq(struct fix *f, struct str key)
{
	struct object_handle *h;
	uint64_t seq;

	assert_int_equal(object_open(f->store, &f->ctx, STR_LIT("bucket"), key, STR_LIT(""), &h, &seq), 0);
	object_close(h);
	return seq;
}

/* What a read tells to wait for is what it shows, not what else happened in the directory. */
static void a_read_does_not_wait_for_its_neighbours(void **state)
{
	struct fix *f = *state;
	uint64_t before, after;

	assert_int_equal(fix_put(f, STR_LIT("d/e/read"), 100, 1), 0);
	before = open_seq(f, STR_LIT("d/e/read"));
	assert_int_equal(fix_put(f, STR_LIT("d/e/neighbour"), 100, 2), 0);
	after = open_seq(f, STR_LIT("d/e/read"));
	assert_true(before > 0);
	assert_int_equal(after, before);
}

static void many_are_deleted_at_once(void **state)
{
	struct fix *f = *state;
	enum { N = 600 };
	static struct object_delete_item items[N];
	static char names[N][32];

	for (unsigned i = 0; i < N; i++) {
		items[i].key = name_of(names[i], i % 2 ? "many/x/" : "many/y", i);
		items[i].version = STR_LIT("");
		assert_int_equal(fix_put(f, items[i].key, 100 * (i % 10), i), 0);
	}
	items[5].key = items[4].key; /* twice */
	items[7].version = STR_LIT("no-such-version");
	assert_int_equal(object_delete_many(f->store, &f->ctx, STR_LIT("bucket"), items, N, NULL, NULL), 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(items[i].rc, i == 7 ? -QE_NO_SUCH_VERSION : 0);
	fix_check(f);
	assert_int_equal(fix_head(f, items[7].key), 0);
	assert_int_equal(fix_delete(f, items[7].key), 0);
	assert_int_equal(fix_head(f, (struct str){names[5], strlen(names[5])}), 0);
}

static void buckets_are_listed_in_order(void **state)
{
	struct fix *f = *state;
	struct object_bucket_info *list;
	uint64_t seq;
	unsigned n;

	assert_int_equal(object_bucket_create(f->store, &f->ctx, STR_LIT("zoo"), NULL, NULL), 0);
	assert_int_equal(object_bucket_create(f->store, &f->ctx, STR_LIT("ant"), NULL, NULL), 0);
	assert_int_equal(object_bucket_create(f->store, &f->ctx, STR_LIT("zoo"), NULL, NULL), -QE_BUCKET_OWNED);
	assert_int_equal(object_bucket_create(f->store, &f->ctx, STR_LIT("No"), NULL, NULL), -QE_INVALID_BUCKET_NAME);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("none"), NULL, NULL), -QE_NO_SUCH_BUCKET);
	assert_int_equal(object_bucket_list(f->store, &f->ctx, &list, &n, &seq), 0);
	assert_int_equal(n, 3);
	assert_true(str_eqc(list[0].name, "ant") && str_eqc(list[1].name, "bucket") && str_eqc(list[2].name, "zoo"));
}

/* The drives go when all of the body is there and the first part of it is written. */
static void a_body_whose_end_fails_is_given_up(void **state)
{
	struct fix *f = *state;
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(f->set);
	uint64_t stripe = erasure_stripe_bytes(e, SEGMENT_LARGE), len = 2 * stripe;
	struct object_put_args a = {.bucket = STR_LIT("bucket"), .key = STR_LIT("big"), .size = len};
	struct erasure_stats st = {0};
	struct object_put *p;
	struct fix_wait w;

	fix_wait_init(&w);
	assert_int_equal(object_put_begin(f->store, &f->ctx, &a, &p), 0);
	for (uint64_t at = 0; at < len;) {
		ssize_t n;
		uint8_t *room = object_put_room(p, &n, fix_wake, &w);
		assert_non_null(room);
		n = (ssize_t)MIN((uint64_t)n, len - at);
		fix_bytes(room, (size_t)n, at, 1);
		for (unsigned i = 0; at + (uint64_t)n == len && i < 5000 && st.bytes_written == 0; i++) {
			clock_sleep_ns(NS_PER_MS);
			erasure_set_stats(e, &st);
		}
		for (unsigned i = 0; at + (uint64_t)n == len && i < FIX_DRIVES; i++)
			drive_set_out(f->drive[i], true, "the test says so");
		assert_int_equal(object_put_filled(p, (size_t)n), 0);
		at += (uint64_t)n;
	}
	int rc = object_put_end(p, fix_done, &w);
	assert_true((rc < 0 ? rc : fix_wait_for(&w)) < 0);
	object_put_free(p);
	assert_int_equal(fix_head(f, STR_LIT("big")), -QE_NO_SUCH_KEY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(bodies_of_any_size_are_read_back),
		T(a_body_of_unknown_size_is_kept_whole),
		T(buffers_that_are_out_keep_their_pool),
		T(who_has_room_is_not_resumed),
		T(digests_are_those_of_the_body),
		T(a_short_body_leaves_no_trace),
		T(replacing_and_deleting_keep_counters),
		T(markers_are_directories),
		T(long_names_come_and_go),
		T(conditions_decide_at_commit),
		cmocka_unit_test(a_read_condition_answers_as_http_says),
		T(a_copy_shares_and_survives),
		T(metadata_gives_attributes),
		T(tags_change_nothing_else),
		T(an_open_handle_keeps_its_version),
		T(a_read_does_not_wait_for_its_neighbours),
		T(many_are_deleted_at_once),
		T(buckets_are_listed_in_order),
		T(a_body_whose_end_fails_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
