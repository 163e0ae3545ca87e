/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads: parts, completion, abortion, copies as parts, listings.
 */
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

#define PART (5u << 20)

static uint64_t begin(struct fix *f, const char *key)
{
	struct object_upload_args a = {.bucket = STR_LIT("bucket"), .key = str_of(key)};
	uint64_t id = 0;

	assert_int_equal(object_upload_create(f->store, &f->ctx, &a, &id, NULL, NULL), 0);
	assert_true(id != 0);
	return id;
}

static int part(struct fix *f, const char *key, uint64_t id, unsigned number, uint64_t len, char *etag)
{
	struct object_put_args a = {
		.bucket = STR_LIT("bucket"), .key = str_of(key), .size = len, .upload = id, .part = number};

	return fix_put_args(f, &a, len, number, etag);
}

static int complete(struct fix *f, const char *key, uint64_t id, const struct object_part *p, unsigned n,
                    struct object_info *info)
{
	return object_upload_complete(f->store, &f->ctx, STR_LIT("bucket"), str_of(key), id, p, n, STR_LIT(""), NULL, info,
	                              NULL, NULL);
}

/* The reaper works behind: until nothing of the table is left. */
static void wait_empty(struct fix *f, enum meta_table t)
{
	for (unsigned i = 0; i < 1000; i++) {
		struct meta_view *v;
		struct meta_iter *it;
		struct meta_row row;
		int rc;

		assert_int_equal(meta_view_open(f->set, &v), 0);
		assert_int_equal(meta_iter_open(v, t, &it), 0);
		rc = meta_iter_seek(it, "", 0, &row);
		meta_iter_close(it);
		meta_view_close(v);
		if (rc == 0)
			return;
		clock_sleep_ns(5 * NS_PER_MS);
	}
	fail_msg("rows of table %s are left", meta_table_name(t));
}

static void assert_parts(struct fix *f, const char *key, const uint64_t *len, const unsigned *seed, unsigned n)
{
	struct object_handle *h = fix_get(f, str_of(key));
	CLEANUP_FREE uint8_t *got = malloc(PART + 100), *want = malloc(PART + 100);
	uint64_t at = 0;

	assert_non_null(h);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(object_read(h, at, len[i], got, 0), 0);
		fix_bytes(want, len[i], 0, seed[i]);
		assert_memory_equal(got, want, len[i]);
		at += len[i];
	}
	assert_int_equal(object_handle_info(h)->size, at);
	/* Across the seams, from a worker's view and without waiting. */
	if (n > 1)
		assert_int_equal(object_read(h, len[0] - 10, 20, got, 0), 0);
	object_close(h);
}

static void parts_become_one_object(void **state)
{
	struct fix *f = *state;
	const uint64_t len[] = {PART, PART, PART + 77, 300};
	const unsigned number[] = {1, 3, 7, 9};
	struct object_part p[4] = {{0}};
	struct object_info info;
	char etag[4][40], again[40];
	uint64_t id = begin(f, "dir/multi");

	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(part(f, "dir/multi", id, number[i], len[i], etag[i]), 0);
		p[i].number = number[i];
		p[i].etag = str_of(etag[i]);
	}
	assert_int_equal(part(f, "dir/multi", id, 3, PART, again), 0); /* replaced */
	assert_string_equal(again, etag[1]);
	assert_int_equal(part(f, "dir/multi", id, 12, 1000, again), 0); /* not named later */
	assert_int_equal(fix_head(f, STR_LIT("dir/multi")), -QE_NO_SUCH_KEY);
	fix_check(f);
	assert_int_equal(complete(f, "dir/multi", id, p, 4, &info), 0);
	assert_int_equal(info.size, 3 * PART + 377);
	assert_true(str_ends(info.etag, STR_LIT("-4")));
	assert_parts(f, "dir/multi", len, number, 4);
	wait_empty(f, TABLE_UPART);
	fix_check(f);
	/* The answer was lost, the request comes again. */
	assert_int_equal(complete(f, "dir/multi", id, p, 4, &info), 0);
	assert_int_equal(info.size, 3 * PART + 377);
	p[0].etag = p[3].etag;
	assert_int_equal(complete(f, "dir/multi", id, p, 4, &info), -QE_NO_SUCH_UPLOAD);
	assert_int_equal(part(f, "dir/multi", id, 1, 10, again), -QE_NO_SUCH_UPLOAD);
	fix_stop(f, true);
	fix_start(f);
	assert_parts(f, "dir/multi", len, number, 4);
	assert_int_equal(fix_delete(f, STR_LIT("dir/multi")), 0);
	fix_check(f);
}

static void completion_is_checked(void **state)
{
	struct fix *f = *state;
	struct object_part p[2] = {{.number = 1}, {.number = 2}};
	struct object_info info;
	char etag[2][40];
	uint64_t id = begin(f, "checked");

	assert_int_equal(part(f, "checked", id, 1, PART - 1, etag[0]), 0);
	assert_int_equal(part(f, "checked", id, 2, 0, etag[1]), 0);
	p[0].etag = str_of(etag[0]);
	p[1].etag = str_of(etag[1]);
	assert_int_equal(complete(f, "checked", id, p, 2, &info), -QE_ENTITY_TOO_SMALL);
	assert_int_equal(complete(f, "checked", id, p, 0, &info), -QE_MALFORMED_XML);
	p[1].number = 1;
	assert_int_equal(complete(f, "checked", id, p, 2, &info), -QE_INVALID_PART_ORDER);
	p[1].number = 3;
	assert_int_equal(complete(f, "checked", id, p + 1, 1, &info), -QE_INVALID_PART);
	p[0].etag = p[1].etag;
	assert_int_equal(complete(f, "checked", id, p, 1, &info), -QE_INVALID_PART);
	assert_int_equal(complete(f, "other", id, p, 1, &info), -QE_NO_SUCH_UPLOAD);
	assert_int_equal(part(f, "checked", id, 10001, 1, etag[0]), -QE_INVALID_ARGUMENT);
	p[0] = (struct object_part){.number = 2, .etag = str_of(etag[1])};
	assert_int_equal(complete(f, "checked", id, p, 1, &info), 0);
	assert_int_equal(info.size, 0);
	wait_empty(f, TABLE_UPART);
}

static void an_aborted_upload_leaves_nothing(void **state)
{
	struct fix *f = *state;
	uint64_t a = begin(f, "gone"), b = begin(f, "gone");
	char etag[40];

	for (unsigned i = 1; i < 200; i++)
		assert_int_equal(part(f, "gone", a, i, 700, etag), 0);
	assert_int_equal(part(f, "gone", b, 1, 100000, etag), 0);
	assert_int_equal(object_upload_abort(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("gone"), a, NULL, NULL), 0);
	assert_int_equal(object_upload_abort(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("gone"), a, NULL, NULL),
	                 -QE_NO_SUCH_UPLOAD);
	fix_check(f);
	assert_int_equal(object_upload_abort(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("gone"), b, NULL, NULL), 0);
	wait_empty(f, TABLE_UPART);
	wait_empty(f, TABLE_UPLOAD);
	wait_empty(f, TABLE_ENTRY);
	wait_empty(f, TABLE_BLOB);
	/* With the bucket. */
	a = begin(f, "x/y");
	b = begin(f, "z");
	assert_int_equal(part(f, "x/y", a, 1, 700, etag), 0);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), 0);
	wait_empty(f, TABLE_UPART);
	wait_empty(f, TABLE_UPLOAD);
	wait_empty(f, TABLE_ENTRY);
	wait_empty(f, TABLE_DIR);
}

static void parts_of_a_dead_upload_go_at_the_next_start(void **state)
{
	struct fix *f = *state;
	uint64_t id = begin(f, "dead");
	char etag[40];

	assert_int_equal(part(f, "dead", id, 1, 40000, etag), 0);
	atomic_store(&f->store->closing, true); /* the reaper leaves it */
	assert_int_equal(object_upload_abort(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("dead"), id, NULL, NULL), 0);
	fix_stop(f, true);
	fix_start(f);
	wait_empty(f, TABLE_UPART);
}

static void a_copy_can_be_a_part(void **state)
{
	struct fix *f = *state;
	struct object_copy_args a = {
		.src_bucket = STR_LIT("bucket"),
		.src_key = STR_LIT("source"),
		.bucket = STR_LIT("bucket"),
		.key = STR_LIT("target"),
		.part = 1,
	};
	CLEANUP_FREE uint8_t *got = malloc(3 * PART), *want = malloc(3 * PART);
	struct object_part p[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
	struct object_info info[3], done;
	struct object_handle *h;
	struct fix_wait w;

	fix_wait_init(&w);
	assert_int_equal(fix_put(f, STR_LIT("source"), 3 * PART, 42), 0);
	assert_int_equal(fix_put(f, STR_LIT("tiny"), 100, 43), 0);
	a.upload = begin(f, "target");
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info[0], fix_done, &w), 0); /* whole */
	assert_int_equal(fix_wait_for(&w), 0);
	a.part = 2;
	a.has_range = true;
	a.first = 1000001;
	a.last = 1000000 + PART;
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info[1], NULL, NULL), 0);
	a.part = 3;
	a.src_key = STR_LIT("tiny");
	a.first = 10;
	a.last = 100;
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info[2], NULL, NULL), -QE_INVALID_RANGE);
	a.last = 19;
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info[2], NULL, NULL), 0);
	fix_check(f);
	for (unsigned i = 0; i < 3; i++)
		p[i].etag = info[i].etag;
	assert_int_equal(fix_delete(f, STR_LIT("source")), 0);
	assert_int_equal(complete(f, "target", a.upload, p, 3, &done), 0);
	h = fix_get(f, STR_LIT("target"));
	assert_int_equal(object_handle_info(h)->size, 4 * PART + 10);
	assert_int_equal(object_read(h, 0, 3 * PART, got, 0), 0);
	fix_bytes(want, 3 * PART, 0, 42);
	assert_memory_equal(got, want, 3 * PART);
	assert_int_equal(object_read(h, 3 * PART, PART, got, 0), 0);
	assert_memory_equal(got, want + 1000001, PART);
	assert_int_equal(object_read(h, 4 * PART, 10, got, 0), 0);
	fix_bytes(want, 100, 0, 43);
	assert_memory_equal(got, want + 10, 10);
	object_close(h);
}

static void large_parts_share_a_map(void **state)
{
	struct fix *f = *state;
	struct object_part p[2] = {{.number = 1}, {.number = 2}};
	struct object_copy_args a = {
		.src_bucket = STR_LIT("bucket"), .src_key = STR_LIT("big"), .bucket = STR_LIT("bucket"), .key = STR_LIT("c")};
	struct object_info info;
	char etag[2][40];
	uint64_t id = begin(f, "big");

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(part(f, "big", id, i + 1, 150u << 20, etag[i]), 0);
		p[i].etag = str_of(etag[i]);
	}
	assert_int_equal(complete(f, "big", id, p, 2, &info), 0);
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	a.key = STR_LIT("d");
	/* Over a copy of the same: one batch shares the map and drops it. */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
		fix_check(f);
	}
	assert_int_equal(fix_delete(f, STR_LIT("big")), 0);
	assert_int_equal(fix_put(f, STR_LIT("c"), 10, 1), 0);
	fix_check(f);
	assert_int_equal(fix_delete(f, STR_LIT("d")), 0);
	wait_empty(f, TABLE_MAP);
}

static void many_deletes_drop_a_shared_map(void **state)
{
	struct fix *f = *state;
	struct object_part p[2] = {{.number = 1}, {.number = 2}};
	struct object_copy_args a = {
		.src_bucket = STR_LIT("bucket"), .src_key = STR_LIT("big"), .bucket = STR_LIT("bucket"), .key = STR_LIT("c")};
	struct object_delete_item items[3] = {
		{.key = STR_LIT("big")}, {.key = STR_LIT("c")}, {.key = STR_LIT("d")}};
	struct object_info info;
	char etag[2][40];
	uint64_t id = begin(f, "big");

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(part(f, "big", id, i + 1, 150u << 20, etag[i]), 0);
		p[i].etag = str_of(etag[i]);
	}
	assert_int_equal(complete(f, "big", id, p, 2, &info), 0);
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	a.key = STR_LIT("d");
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	assert_int_equal(object_delete_many(f->store, &f->ctx, STR_LIT("bucket"), items, 2, NULL, NULL), 0);
	fix_check(f);
	assert_int_equal(fix_put(f, STR_LIT("c"), 10, 1), 0);
	a.src_key = STR_LIT("d");
	a.key = STR_LIT("big");
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	a.key = STR_LIT("c");
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	assert_int_equal(object_delete_many(f->store, &f->ctx, STR_LIT("bucket"), items, 3, NULL, NULL), 0);
	fix_check(f);
	wait_empty(f, TABLE_MAP);
	wait_empty(f, TABLE_BLOB);
}

static void uploads_and_parts_are_listed(void **state)
{
	struct fix *f = *state;
	struct object_upload_list_args a = {.bucket = STR_LIT("bucket"), .max = 2};
	struct object_upload_list l;
	struct object_part *parts;
	uint64_t id[5], seq;
	unsigned n, total = 0;
	bool truncated;
	char etag[40];

	id[0] = begin(f, "a");
	id[1] = begin(f, "b/1");
	id[2] = begin(f, "b/1");
	id[3] = begin(f, "b/2");
	id[4] = begin(f, "c");
	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(part(f, "b/1", id[1], 2 * i, 10 * i, etag), 0);
	assert_int_equal(object_part_list(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("b/1"), id[1], 2, 3, &parts, &n,
	                                  &truncated, &seq),
	                 0);
	assert_int_equal(n, 3);
	assert_true(truncated && parts[0].number == 4 && parts[2].number == 8 && parts[2].size == 40);
	for (;;) {
		assert_int_equal(object_upload_list(f->store, &f->ctx, &a, &l, &seq), 0);
		for (unsigned i = 0; i < l.n; i++, total++)
			assert_true(l.items[i].id == id[total]);
		if (!l.truncated)
			break;
		a.key_marker = l.next_key;
		a.id_marker = l.next_id;
	}
	assert_int_equal(total, 5);
	a = (struct object_upload_list_args){.bucket = STR_LIT("bucket"), .max = 10, .delimiter = STR_LIT("/")};
	assert_int_equal(object_upload_list(f->store, &f->ctx, &a, &l, &seq), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.nprefixes, 1);
	assert_true(str_eqc(l.prefixes[0], "b/"));
	a.prefix = STR_LIT("b/");
	assert_int_equal(object_upload_list(f->store, &f->ctx, &a, &l, &seq), 0);
	assert_int_equal(l.n, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(parts_become_one_object),
		T(completion_is_checked),
		T(an_aborted_upload_leaves_nothing),
		T(parts_of_a_dead_upload_go_at_the_next_start),
		T(a_copy_can_be_a_part),
		T(large_parts_share_a_map),
		T(many_deletes_drop_a_shared_map),
		T(uploads_and_parts_are_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
