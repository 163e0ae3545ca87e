/* SPDX-License-Identifier: Apache-2.0
 *
 * A small bucket whose counters are right; then each of them is made wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "meta/envelope.h"
#include "meta/refs_sum.h"
#include "meta/view_internal.h"

static struct publish pub;
static uint64_t seq;

static void put(unsigned table, const struct meta_key *k, struct buf *body)
{
	CLEANUP_BUF struct buf row = BUF_INIT;
	struct memtable_row r = {.table = table, .key = key_of(k), .seq = ++seq};

	buf_add_zero(&row, ENVELOPE_BYTES);
	buf_add_str(&row, buf_str(body));
	envelope_seal(table, r.key, seq, row.data, row.len);
	r.row = buf_str(&row);
	assert_int_equal(memtable_put(publish_active(&pub), &r), 0);
	publish_applied(&pub, seq);
	buf_free(body);
}

static void put_dir(uint64_t id, uint64_t parent, uint32_t flags, uint64_t live, uint64_t children)
{
	struct row_dir d = {.parent = parent, .bucket = 10, .flags = flags, .live = live, .children = children};
	struct buf b = BUF_INIT;
	struct meta_key k;

	if (id == 34) { /* a marker with content */
		d.marker = true;
		d.obj.size = 70;
		d.obj.extents = 1;
		d.obj.extent[0] = (struct row_extent){.kind = EXTENT_BLOB, .blob = 200, .len = 70};
	}
	row_dir_encode(&b, &d, NULL);
	key_u64(&k, id);
	put(TABLE_DIR, &k, &b);
}

static void put_entry(uint64_t dir, const char *name, const struct row_entry *e)
{
	struct buf b = BUF_INIT;
	struct meta_key k;

	row_entry_encode(&b, e, NULL);
	key_u64_str(&k, dir, str_of(name));
	put(TABLE_ENTRY, &k, &b);
}

static void put_object(uint64_t dir, const char *name, uint64_t size, uint64_t blob)
{
	struct row_entry e = {.kind = ENTRY_OBJECT, .key_id = 1000 + size, .id = 2000 + size, .obj = {.size = size}};

	if (blob) {
		e.obj.extents = 1;
		e.obj.extent[0] = (struct row_extent){.kind = EXTENT_BLOB, .blob = blob, .len = size};
	}
	put_entry(dir, name, &e);
}

static void put_blob(uint64_t id, uint32_t refs, uint8_t place, uint64_t len)
{
	struct row_blob r = {.place = place, .refs = refs, .plain_len = len, .stored_len = len, .segment = 300};
	struct buf b = BUF_INIT;
	struct meta_key k;

	row_blob_encode(&b, &r);
	key_u64(&k, id);
	put(TABLE_BLOB, &k, &b);
}

static void put_usage(uint64_t objects, uint64_t bytes, uint64_t uploads)
{
	struct row_usage u = {.objects = objects, .versions = objects, .bytes = bytes, .stored = bytes, .uploads = uploads};
	struct buf b = BUF_INIT;
	struct meta_key k;

	row_usage_encode(&b, &u);
	key_u64(&k, 10);
	put(TABLE_USAGE, &k, &b);
}

static void put_segment(uint64_t live)
{
	struct segment_info s = {
		.id = 300, .cls = SEGMENT_LARGE, .n = 3, .k = 2, .m = 1, .cell_4k = 16, .live_bytes = live};
	struct buf b = BUF_INIT;
	struct meta_key k;

	row_segment_encode(&b, &s);
	key_u64(&k, 300);
	put(TABLE_SEGMENT, &k, &b);
}

static void put_map_head(uint64_t users)
{
	struct row_map_head h = {.length = 40, .users = users, .runs = 1};
	struct buf b = BUF_INIT;
	struct meta_key k;

	row_map_head_encode(&b, &h);
	key_map(&k, 400, 0, 0);
	put(TABLE_MAP, &k, &b);
}

static void put_rest(void)
{
	struct row_bucket bucket = {.root_dir = 20, .upload_root = 21, .name = STR_LIT("b")};
	struct row_upload u = {.bucket = 10, .key = STR_LIT("x/y")};
	struct row_file f = {.nlink = 2, .bucket = 10, .obj = {.size = 40, .map = 400}};
	struct row_extent run[2] = {{.kind = EXTENT_BLOB, .blob = 201, .len = 20},
	                            {.kind = EXTENT_BLOB, .blob = 201, .len = 20}};
	struct row_upart p = {.size = 5, .extents = 1, .extent = {{.kind = EXTENT_BLOB, .blob = 202, .len = 5}}};
	struct buf b = BUF_INIT;
	struct meta_key k;

	row_bucket_encode(&b, &bucket);
	key_u64(&k, 10);
	put(TABLE_BUCKET, &k, &b);
	row_upload_encode(&b, &u);
	key_u64_u64_u64(&k, 700, 1, 701);
	put(TABLE_UPLOAD, &k, &b);
	row_file_encode(&b, &f, NULL);
	key_u64(&k, 50);
	put(TABLE_FILE, &k, &b);
	put_map_head(1);
	row_extents_encode(&b, run, 2);
	key_map(&k, 400, 1, 0);
	put(TABLE_MAP, &k, &b);
	row_upart_encode(&b, &p);
	key_upart(&k, 701, 1);
	put(TABLE_UPART, &k, &b);
}

/* Root 20: object a, links l1 and l2 of file 50, dir 30/ (implicit) with dir 31/ (implicit) with object o; dir 32/
 * (implicit, empty: not shown); dir 33/ (explicit, empty); dir 34/ (a marker); a long name behind continuation 60: an
 * object, and dir 61 (implicit) with an object. Upload root 21: one key. */
static int setup(void **state)
{
	struct row_entry link = {.kind = ENTRY_OBJECT, .flags = ENTRY_LINKED, .key_id = 5, .id = 50};
	static const uint64_t dirs[] = {30, 32, 33, 34};
	struct row_entry cont = {.kind = ENTRY_CONT, .id = 60}, up = {.kind = ENTRY_OBJECT, .key_id = 700, .id = 700};

	seq = 0;
	assert_int_equal(publish_init(&pub, 0), 0);
	put_rest();
	put_dir(20, 0, DIR_EXPLICIT, 8, 9);
	put_dir(21, 0, DIR_EXPLICIT, 1, 1);
	put_entry(21, "x/y", &up);
	put_object(20, "a", 100, 200);
	put_entry(20, "l1", &link);
	put_entry(20, "l2", &link);
	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++) {
		struct row_entry e = {.kind = ENTRY_DIR, .id = dirs[i]};
		char name[8];

		snprintf(name, sizeof name, "d%u/", i);
		put_entry(20, name, &e);
	}
	put_dir(30, 20, 0, 1, 1);
	put_entry(30, "31/", &(struct row_entry){.kind = ENTRY_DIR, .id = 31});
	put_dir(31, 30, 0, 1, 1);
	put_object(31, "o", 3, 203);
	put_dir(32, 20, 0, 0, 0);
	put_dir(33, 20, DIR_EXPLICIT, 0, 0);
	put_dir(34, 20, DIR_EXPLICIT, 0, 0);
	put_entry(20, "long", &cont);
	put_object(60, "tail", 7, 0);
	put_entry(60, "tail/", &(struct row_entry){.kind = ENTRY_DIR, .id = 61});
	put_dir(61, 20, 0, 1, 1);
	put_object(61, "z", 9, 0);
	/* a, l1, l2, o, tail, z, 33/, 34/ */
	put_usage(8, 100 + 40 + 40 + 3 + 7 + 9 + 70, 1);
	put_blob(200, 2, BLOB_LARGE, 100);
	put_blob(201, 2, BLOB_PACKED, 40);
	put_blob(202, 1, BLOB_JOURNAL, 5);
	put_blob(203, 1, BLOB_LARGE, 3);
	put_segment(143);
	return 0;
}

static int teardown(void **state)
{
	publish_done(&pub);
	return 0;
}

static void differs(int want, const char *text)
{
	CLEANUP_BUF struct buf out = BUF_INIT;
	struct meta_view *v;
	int n;

	assert_int_equal(view_open(&pub, &v), 0);
	n = recount_view(v, NULL, NULL, &out);
	if (n != want || (text && !strstr(buf_cstr(&out), text)))
		fail_msg("%d differences: %s", n, buf_cstr(&out));
	assert_int_equal(recount_view(v, NULL, NULL, NULL), want);
	meta_view_close(v);
}

static void right_counters_pass(void **state)
{
	differs(0, NULL);
}

static void wrong_counters_are_told(void **state)
{
	put_dir(20, 0, DIR_EXPLICIT, 7, 9);
	differs(1, "dir 20: live is 7, counted 8\n");
	put_dir(20, 0, DIR_EXPLICIT, 8, 10);
	differs(1, "dir 20: children is 10, counted 9\n");
	put_dir(20, 0, DIR_EXPLICIT, 8, 9);
	put_dir(31, 20, 0, 1, 1);
	differs(1, "dir 31: parent is 20, its entry lies in 30\n");
	put_dir(31, 30, 0, 1, 1);
	put_usage(9, 270, 2);
	differs(5, "usage 10: bytes is 270, counted 269\n");
	put_usage(8, 269, 1);
	put_blob(201, 1, BLOB_PACKED, 40);
	differs(1, "blob 201: refs is 1, counted 2\n");
	put_blob(201, 2, BLOB_JOURNAL, 40);
	differs(1, "segment 300: live bytes is 143, counted 103\n");
	put_blob(201, 2, BLOB_PACKED, 40);
	put_map_head(2);
	differs(1, "map 400: users is 2, counted 1\n");
	put_map_head(1);
	differs(0, NULL);
}

/* Wrong by as much in both directions; one lost beside one that nothing names: no error hides another. */
static void errors_do_not_make_up_for_each_other(void **state)
{
	put_blob(200, 3, BLOB_LARGE, 100);
	put_blob(201, 1, BLOB_PACKED, 40);
	differs(2, "blob 200: refs is 3, counted 2\n");
	differs(2, "blob 201: refs is 1, counted 2\n");
	put_blob(200, 2, BLOB_LARGE, 100);
	put_blob(201, 2, BLOB_PACKED, 40);
	put_blob(204, 1, BLOB_JOURNAL, 1);
	put_object(20, "b", 1, 999);
	put_dir(20, 0, DIR_EXPLICIT, 9, 10);
	put_usage(9, 270, 1);
	differs(2, "blob 204: refs is 1, counted 0\n");
	differs(2, "blob 999: 1 extents name it, but it has no row\n");
}

/* Sums over many ids, in any order, and what they tell of one that is wrong. */
static void sums_find_the_wrong_one(void **state)
{
	struct refs_sum *s = calloc(1, sizeof *s);
	unsigned suspects = 0;

	assert_non_null(s);
	for (uint64_t id = 0; id < 100000; id++)
		refs_counted(s, id, id % 3);
	for (uint64_t id = 100000; id-- > 0;)
		for (unsigned i = 0; i < id % 3; i++)
			refs_named(s, id);
	assert_false(refs_differ_anywhere(s));
	refs_named(s, 4711);
	assert_true(refs_differ_anywhere(s));
	for (uint64_t id = 0; id < 100000; id++)
		suspects += refs_differ(s, id);
	assert_true(refs_differ(s, 4711));
	assert_in_range(suspects, 1, 30);
	free(s);
}

static void lost_rows_are_told(void **state)
{
	struct row_entry e = {.kind = ENTRY_DIR, .id = 99};

	put_entry(20, "e/", &e);
	differs(2, "dir 99: has an entry, but no row\n");
	put_dir(99, 20, DIR_EXPLICIT, 0, 0);
	put_dir(20, 0, DIR_EXPLICIT, 9, 10);
	put_usage(9, 269, 1);
	differs(0, NULL);
	put_object(20, "b", 1, 999);
	put_dir(20, 0, DIR_EXPLICIT, 10, 11);
	put_usage(10, 270, 1);
	differs(1, "blob 999: 1 extents name it, but it has no row\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(right_counters_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_counters_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_rows_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_do_not_make_up_for_each_other, setup, teardown),
		cmocka_unit_test(sums_find_the_wrong_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
