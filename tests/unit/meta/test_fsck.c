/* SPDX-License-Identifier: Apache-2.0
 *
 * What fsck finds in the rows of a set: places of blobs that cannot be, counters that are wrong. (Damage of files is in
 * the functional test cli/fsck.)
 */
#include "meta/fsck.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "unit/meta/rot.h"
#include "unit/meta/set_fixture.h"

#define STRIPE (1u << 20)

struct report {
	unsigned repaired, damage;
	char text[8192];
	struct fsck_place place; /* of the last finding that has one; owners: in owned */
	char owned[256];
	uint64_t done, total; /* as told last */
};

static struct fixture f;

static void tell(void *arg, const struct fsck_finding *finding)
{
	struct report *r = arg;
	size_t len = strlen(r->text);

	*(finding->grade == FSCK_DAMAGE ? &r->damage : &r->repaired) += 1;
	snprintf(r->text + len, sizeof r->text - len, "%s\n", finding->what);
	if (finding->place) {
		r->place = *finding->place;
		snprintf(r->owned, sizeof r->owned, "%s", finding->place->owners);
	}
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
	struct report *r = arg;

	assert_true(done >= r->done && done <= total);
	r->done = done;
	r->total = total;
}

static int check_drives(struct report *ret, struct fsck_counts *counts, uint32_t mask, bool deep)
{
	struct fsck_params p = {.index_map_bytes = f.p.index_map_bytes, .deep = deep, .progress = progress, .tell = tell, .arg = ret};
	struct op_ctx ctx;
	char path[96];

	memset(ret, 0, sizeof *ret);
	for (unsigned i = 0; i < f.n; i++) {
		snprintf(path, sizeof path, "%s/d%u", f.root, i);
		assert_int_equal(mask & 1u << i ? drive_posix_open_read(path, &p.drives[i]) : 0, 0);
	}
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_fsck(&p, &ctx, counts);
	op_ctx_done(&ctx);
	for (unsigned i = 0; i < f.n; i++)
		drive_close(p.drives[i]);
	return rc;
}

static int check(struct report *ret, struct fsck_counts *counts)
{
	return check_drives(ret, counts, ALL(&f), false);
}

static void finds_damage(const char *text)
{
	struct fsck_counts counts;
	struct report r;

	fixture_close(&f);
	assert_int_equal(check(&r, &counts), 0);
	if (r.damage == 0 || !strstr(r.text, text))
		fail_msg("not found: %s in: %s", text, r.text);
	fixture_reopen(&f, ALL(&f));
}

/* Four objects of two stripes each in one segment, and two small ones that are packed. */
static void with_objects(void)
{
	fixture_start(&f, 4, 2, false);
	fixture_reopen(&f, ALL(&f));
	for (uint64_t key = 1; key <= 4; key++)
		assert_int_equal(put_large(&f, META_DURABLE, key, key, 2 * STRIPE), 0);
	for (uint64_t key = 5; key <= 6; key++)
		assert_int_equal(put_blob(&f, META_DURABLE, key, key, 5000), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
}

/* Changes the n-th blob row of that place. */
static void change_blob(unsigned place, unsigned n, void (*fn)(struct row_blob *b))
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_batch *batch = meta_batch_new(f.s, META_DURABLE, OP_ADMIN);
	struct meta_iter *it;
	struct meta_row row;
	struct row_blob b;
	struct meta_key k;
	int rc;

	assert_int_equal(meta_view_open(f.s, &v), 0);
	assert_int_equal(meta_iter_open(v, TABLE_BLOB, &it), 0);
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		assert_int_equal(row_blob_decode(row.body, &b), 0);
		if (b.place == place && n-- == 0)
			break;
	}
	assert_int_equal(rc, 1);
	fn(&b);
	row_blob_encode(&body, &b);
	key_str(&k, row.key);
	meta_batch_view(batch, v);
	meta_batch_put(batch, TABLE_BLOB, &k, buf_str(&body), 0);
	meta_iter_close(it);
	assert_int_equal(meta_commit(batch), 0);
	meta_batch_free(batch);
}

static void a_whole_set_has_no_findings(void **state)
{
	struct fsck_counts counts;
	struct report r;

	with_objects();
	fixture_close(&f);
	assert_int_equal(check(&r, &counts), 0);
	assert_string_equal(r.text, "");
	assert_int_equal(counts.drives, 4);
	assert_int_equal(counts.blobs, 6);
	assert_true(counts.rows > 6 && counts.segments >= 2);
	fixture_end(&f);
}

static void a_set_that_was_killed_has_no_damage(void **state)
{
	struct fsck_counts counts;
	struct report r;

	with_objects();
	for (uint64_t key = 10; key < 40; key++)
		assert_int_equal(put_blob(&f, META_DURABLE, key, key, 5000), 0);
	fixture_kill(&f);
	assert_int_equal(check(&r, &counts), 0);
	assert_int_equal(r.damage, 0);
	assert_int_equal(counts.blobs, 36);
	assert_true(counts.records >= 30);
	fixture_end(&f);
}

static void one_stripe_on(struct row_blob *b)
{
	b->offset_4k += STRIPE / 2 / 4096; /* K is 2 */
}

static void a_stripe_back(struct row_blob *b)
{
	b->offset_4k -= STRIPE / 2 / 4096;
}

static void overlapping_blobs_are_damage(void **state)
{
	with_objects();
	change_blob(BLOB_LARGE, 1, one_stripe_on);
	finds_damage("another blob lies at its place");
	change_blob(BLOB_LARGE, 1, a_stripe_back);
	change_blob(BLOB_PACKED, 1, one_stripe_on);
	finds_damage("it lies outside of its segment");
	fixture_close(&f);
	fixture_end(&f);
}

static void far_away(struct row_blob *b)
{
	b->offset_4k = 1u << 20;
}

static void in_no_segment(struct row_blob *b)
{
	b->segment += 12345;
}

static void behind_its_cell(struct row_blob *b)
{
	b->byte = 65536 - 8;
}

static void on_the_other(struct row_blob *b)
{
	b->byte = 8;
	b->cell = 0;
}

static void at_the_first(struct row_blob *b)
{
	b->byte = 0;
	b->cell = 0;
}

static void impossible_places_are_damage(void **state)
{
	with_objects();
	change_blob(BLOB_LARGE, 0, far_away);
	finds_damage("it lies outside of its segment");
	change_blob(BLOB_LARGE, 1, in_no_segment);
	finds_damage("its segment has no row");
	change_blob(BLOB_PACKED, 0, behind_its_cell);
	finds_damage("it lies outside of its cell");
	change_blob(BLOB_PACKED, 0, at_the_first);
	change_blob(BLOB_PACKED, 1, on_the_other);
	finds_damage("another blob lies at its place");
	fixture_close(&f);
	fixture_end(&f);
}

static void wrong_count(struct row_blob *b)
{
	b->refs = 7;
}

static void wrong_counters_are_damage(void **state)
{
	with_objects();
	change_blob(BLOB_LARGE, 2, wrong_count);
	finds_damage("refs is 7, counted 1");
	fixture_close(&f);
	fixture_end(&f);
}

/* A byte of a cell on slot 1: of a large segment its fourth, of a packed one its only one. */
static void rot_cell(enum segment_class cls, uint64_t *ret_segment)
{
	char name[ROT_NAME_MAX];

	*ret_segment = rot_segment(f.s, cls, 0, 1, name);
	testdir_corrupt(f.root, name, cls == SEGMENT_LARGE ? 4096 + 3 * STRIPE / 2 + 100 : 4096 + 100, 1);
}

static void payload_is_read_when_it_is_asked_for(void **state)
{
	struct fsck_counts counts;
	struct report r;
	uint64_t segment;

	with_objects();
	fixture_close(&f);
	assert_int_equal(check_drives(&r, &counts, ALL(&f), true), 0);
	assert_string_equal(r.text, "");
	/* Eight stripes and a packed one, of four cells each. */
	assert_int_equal(counts.bytes, 8 * 2 * STRIPE + 4 * ERASURE_PACKED_CELL);
	assert_true(r.total > 0 && r.done == r.total);
	fixture_reopen(&f, ALL(&f));
	rot_cell(SEGMENT_LARGE, &segment);
	fixture_close(&f);
	assert_int_equal(check(&r, &counts), 0);
	assert_string_equal(r.text, "");
	assert_int_equal(check_drives(&r, &counts, ALL(&f), true), 0);
	assert_int_equal(r.repaired, 1);
	assert_int_equal(r.damage, 0);
	assert_true(r.place.segment == segment && r.place.cells == 1);
	assert_int_equal(r.place.offset, 4096 + 3 * STRIPE / 2);
	assert_int_equal(r.place.bytes, STRIPE / 2);
	assert_string_equal(r.owned, "b/d2/k2");
	/* With two drives only, it cannot be decoded. */
	assert_int_equal(check_drives(&r, &counts, 3, true), 0);
	assert_non_null(strstr(r.text, "1 cells of segment"));
	assert_int_equal(r.repaired, 0);
	assert_string_equal(r.owned, "b/d2/k2");
	fixture_end(&f);
}

static void packed_payload_is_read_too(void **state)
{
	struct fsck_counts counts;
	struct report r;
	uint64_t segment;

	with_objects();
	rot_cell(SEGMENT_PACKED, &segment);
	fixture_close(&f);
	assert_int_equal(check_drives(&r, &counts, ALL(&f), true), 0);
	assert_int_equal(r.repaired, 1);
	assert_true(r.place.segment == segment && r.place.bytes == ERASURE_PACKED_CELL);
	fixture_end(&f);
}

static void a_set_in_use_is_not_checked(void **state)
{
	struct fsck_counts counts;
	struct report r;

	with_objects();
	assert_int_equal(check(&r, &counts), -QE_DRIVE_LOCKED);
	fixture_close(&f);
	fixture_end(&f);
}

/* Whatever a check would write fails, so that it cannot by a mistake. */
static void a_drive_opened_for_reading_takes_no_change(void **state)
{
	struct drive_file *file;
	struct drive *d;
	char path[96], block[4096] = {0};

	with_objects();
	fixture_close(&f);
	snprintf(path, sizeof path, "%s/d0", f.root);
	assert_int_equal(drive_posix_open_read(path, &d), 0);
	assert_int_equal(drive_open(d, "new", DRIVE_CREATE, 4096, &file), -EROFS);
	assert_int_equal(drive_mkdir(d, "new"), -EROFS);
	assert_int_equal(drive_unlink(d, "super"), -EROFS);
	assert_int_equal(drive_rename(d, "super", "other"), -EROFS);
	assert_int_equal(drive_open(d, "super", 0, 0, &file), 0);
	assert_int_equal(drive_pwrite(file, block, sizeof block, 0, 0), -EROFS);
	assert_int_equal(drive_punch(file, 0, 4096), -EROFS);
	assert_int_equal(drive_pread(file, block, sizeof block, 0, 0), 0);
	drive_file_unref(file);
	drive_close(d);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_set_has_no_findings),
		cmocka_unit_test(a_set_that_was_killed_has_no_damage),
		cmocka_unit_test(overlapping_blobs_are_damage),
		cmocka_unit_test(impossible_places_are_damage),
		cmocka_unit_test(wrong_counters_are_damage),
		cmocka_unit_test(payload_is_read_when_it_is_asked_for),
		cmocka_unit_test(packed_payload_is_read_too),
		cmocka_unit_test(a_set_in_use_is_not_checked),
		cmocka_unit_test(a_drive_opened_for_reading_takes_no_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
