/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments: their header, runs, rolling, sealing, what is known after a start.
 */
#include "fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

static void header_round_trip(void **state)
{
	uint8_t block[SEGMENT_HEADER_BYTES], again[SEGMENT_HEADER_BYTES];
	struct segment_header h = {
		.info = {.id = 0x123456789abcdef0,
	             .epoch = 42,
	             .cls = SEGMENT_PACKED,
	             .block_log2 = 12,
	             .rotation = 3,
	             .n = 6,
	             .k = 4,
	             .m = 2,
	             .cell_4k = 16,
	             .size_4k = 262144},
		.set = 7,
		.slot = 5,
		.cell = 2,
	};
	struct segment_header got;

	segment_header_encode(&h, block);
	assert_int_equal(segment_header_decode(block, &got), 0);
	segment_header_encode(&got, again);
	assert_memory_equal(again, block, sizeof block);
	assert_int_equal(got.info.id, h.info.id);
	assert_int_equal(got.info.epoch, 42);
	assert_int_equal(got.info.rotation, 3);
	assert_int_equal(got.info.size_4k, 262144);
	assert_int_equal(got.set, 7);
	assert_int_equal(got.slot, 5);
	assert_int_equal(got.cell, 2);
	for (unsigned i = 0; i < 64; i++) {
		block[i] ^= 1;
		assert_true(segment_header_decode(block, &got) < 0);
		block[i] ^= 1;
	}
}

static void header_lies_on_every_drive(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	uint8_t block[SEGMENT_HEADER_BYTES];
	char path[160];

	fixture_start(&f, 4, 2, 2, 8 << 20, false);
	assert_int_equal(blob_write(&f, 1, 100, &b), 0);
	for (unsigned s = 0; s < 4; s++) {
		struct segment_header h;
		struct stat st;
		segment_path(&f, s, b.segment, path, sizeof path);
		int fd = open(path, O_RDONLY);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 8 << 20);
		assert_true(st.st_blocks * 512 >= 8 << 20);
		assert_int_equal(pread(fd, block, sizeof block, 0), sizeof block);
		close(fd);
		assert_int_equal(segment_header_decode(block, &h), 0);
		assert_int_equal(h.info.id, b.segment);
		assert_int_equal(h.info.epoch, 7);
		assert_int_equal(h.set, 3);
		assert_int_equal(h.slot, s);
		assert_int_equal(blob_slot(&b, h.cell), s);
	}
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void unused_end_is_given_back(void **state)
{
	struct fixture f;
	struct erasure_blob a, b, c, d;
	struct erasure_writer *w;

	fixture_start(&f, 3, 2, 1, 32 << 20, false);
	assert_int_equal(blob_write_max(&f, 1, 5000, 20 << 20, &a), 0);
	assert_int_equal(a.offset_4k, 1);
	assert_int_equal(blob_write_max(&f, 2, 5000, 20 << 20, &b), 0);
	assert_int_equal(b.segment, a.segment);
	assert_int_equal(b.offset_4k, 2);
	/* Another run lies behind it: its end is dead space. */
	assert_int_equal(erasure_writer_open(f.set, 4 << 20, &w), 0);
	assert_int_equal(blob_write(&f, 3, 8193, &c), 0);
	assert_int_equal(c.offset_4k, 3 + 512);
	erasure_writer_abort(w);
	assert_int_equal(blob_write(&f, 4, 100, &d), 0);
	assert_int_equal(d.offset_4k, 3 + 512 + 2);
	/* An abort gives all back. */
	assert_int_equal(erasure_writer_open(f.set, 4 << 20, &w), 0);
	erasure_writer_abort(w);
	erasure_blob_free(&d);
	assert_int_equal(blob_write(&f, 5, 100, &d), 0);
	assert_int_equal(d.offset_4k, 3 + 512 + 3);
	blob_expect(&f, &a, 1, NULL);
	blob_expect(&f, &b, 2, NULL);
	blob_expect(&f, &c, 3, NULL);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	erasure_blob_free(&c);
	erasure_blob_free(&d);
	fixture_end(&f);
}

static void push_is_checked(void **state)
{
	struct fixture f;
	struct erasure_writer *w;
	struct erasure_blob b;
	uint8_t *buf = aligned_alloc(4096, 1 << 20);

	fixture_start(&f, 3, 2, 1, 32 << 20, false);
	memset(buf, 1, 1 << 20);
	assert_int_equal(erasure_writer_open(f.set, 0, &w), -EINVAL);
	assert_int_equal(erasure_writer_open(f.set, ERASURE_BLOB_MAX + 1, &w), -EINVAL);
	assert_int_equal(erasure_writer_open(f.set, 9000, &w), 0);
	assert_int_equal(erasure_writer_push(w, buf, 1 << 20, NULL, NULL), -EINVAL);
	assert_int_equal(erasure_writer_finish(w, &b), -EINVAL);
	assert_int_equal(erasure_writer_open(f.set, 2 << 20, &w), 0);
	assert_int_equal(erasure_writer_push(w, buf, 10, NULL, NULL), 0);
	assert_int_equal(erasure_writer_push(w, buf, 10, NULL, NULL), -EINVAL);
	erasure_writer_abort(w);
	assert_int_equal(erasure_writer_open(f.set, 1, &w), 0);
	assert_int_equal(erasure_writer_finish(w, &b), -EINVAL);
	free(buf);
	fixture_end(&f);
}

static void full_segment_is_sealed_and_rotates(void **state)
{
	struct fixture f;
	struct erasure_blob b[12];

	fixture_start(&f, 3, 2, 1, 2 << 20, false);
	/* Stripes of 512 KiB cells: three fit behind the header. */
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(blob_write(&f, i, 1 << 20, &b[i]), 0);
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(b[i].segment == b[i / 3 * 3].segment, 1);
		assert_int_equal(b[i].offset_4k, 1 + i % 3 * 128);
		assert_int_equal(b[i].info.rotation, i / 3 % 3);
		blob_expect(&f, &b[i], i, NULL);
	}
	assert_int_equal(f.sealed_n, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(f.sealed[i].id, b[3 * i].segment);
		assert_int_equal(f.sealed[i].state, SEGMENT_SEALED);
		assert_int_equal(f.sealed[i].sealed_4k, 1 + 3 * 128);
	}
	for (unsigned i = 0; i < 12; i++)
		erasure_blob_free(&b[i]);
	fixture_end(&f);
}

static void note_sealed(void *arg, const struct segment_info *info)
{
	struct fixture *f = arg;

	f->sealed[f->sealed_n++] = *info;
}

static void sealing_ends_open_segments(void **state)
{
	struct fixture f;
	struct erasure_blob a, b;
	struct segment_info info;

	fixture_start(&f, 3, 2, 1, 8 << 20, false);
	assert_int_equal(blob_write(&f, 1, 5000, &a), 0);
	erasure_seal_open(f.set, note_sealed, &f);
	assert_int_equal(f.sealed_n, 1);
	assert_int_equal(f.sealed[0].sealed_4k, 2);
	assert_int_equal(blob_write(&f, 2, 5000, &b), 0);
	assert_int_not_equal(a.segment, b.segment);
	assert_true(erasure_segment_get(f.set, a.segment, &info));
	assert_int_equal(info.state, SEGMENT_SEALED);

	/* A new process: what rows and replay know of the end; else the whole file. */
	fixture_reopen(&f);
	f.sealed_n = 0;
	assert_int_equal(erasure_segment_add(f.set, &a.info), 0);
	assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
	erasure_segment_used(f.set, b.segment, 2);
	blob_expect(&f, &a, 1, NULL);
	blob_expect(&f, &b, 2, NULL);
	erasure_seal_open(f.set, note_sealed, &f);
	assert_int_equal(f.sealed_n, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(f.sealed[i].sealed_4k, f.sealed[i].id == b.segment ? 2 : 2048);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	fixture_end(&f);
}

/* Nothing is appended to a segment of an earlier process, and none that lacks a writer is gone on with. */
static void new_writer_needs_new_segment(void **state)
{
	struct fixture f;
	struct erasure_blob a, b, c, d;

	fixture_start(&f, 4, 2, 2, 8 << 20, false);
	erasure_set_writers(f.set, 0x7);
	assert_int_equal(blob_write(&f, 1, 5000, &a), 0);
	assert_int_equal(a.stripes[0].slot_mask, 0x7);
	erasure_set_writers(f.set, 0xf);
	assert_int_equal(blob_write(&f, 2, 5000, &b), 0);
	assert_int_equal(b.stripes[0].slot_mask, 0xf);
	assert_int_not_equal(a.segment, b.segment);
	erasure_set_writers(f.set, 0xd);
	assert_int_equal(blob_write(&f, 3, 5000, &c), 0);
	assert_int_equal(c.segment, b.segment);
	assert_int_equal(c.stripes[0].slot_mask, 0xd);
	assert_int_equal(erasure_set_writer_mask(f.set), 0xd);
	blob_expect(&f, &c, 3, NULL);
	erasure_set_writers(f.set, 0x5);
	assert_int_equal(blob_write(&f, 4, 5000, &d), -QE_QUORUM_WRITE);
	fixture_reopen(&f);
	assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
	assert_int_equal(blob_write(&f, 4, 5000, &d), 0);
	assert_int_not_equal(d.segment, b.segment);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	erasure_blob_free(&c);
	erasure_blob_free(&d);
	fixture_end(&f);
}

static void dead_segment_is_removed(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	char path[160];
	uint8_t p[8];

	fixture_start(&f, 3, 2, 1, 8 << 20, false);
	assert_int_equal(blob_write(&f, 1, 5000, &b), 0);
	assert_int_equal(erasure_segment_remove(f.set, b.segment), -EBUSY);
	struct segment_info info = b.info;
	info.state = SEGMENT_DEAD;
	assert_int_equal(erasure_segment_add(f.set, &info), 0);
	erasure_missing_add(f.set, 1, b.segment, 0, UINT32_MAX);
	delete_file(&f, 2, b.segment);
	assert_int_equal(erasure_segment_remove(f.set, b.segment), 0);
	for (unsigned s = 0; s < 3; s++) {
		segment_path(&f, s, b.segment, path, sizeof path);
		assert_int_equal(access(path, F_OK), -1);
	}
	assert_int_equal(blob_read(&f, &b, 0, 8, p, NULL), -QE_CORRUPT);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void open_files_are_bounded(void **state)
{
	struct fixture f;
	struct erasure_blob b[20];
	struct erasure_stats st;

	fixture_start(&f, 3, 2, 1, 1 << 20, false);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(blob_write(&f, i, 1 << 20, &b[i]), 0);
	fixture_reopen(&f);
	f.set->max_files = 12;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(erasure_segment_add(f.set, &b[i].info), 0);
	for (unsigned i = 0; i < 60; i++) {
		blob_expect(&f, &b[i * 7 % 20], i * 7 % 20, NULL);
		erasure_set_stats(f.set, &st);
		assert_true(st.open_files <= 12);
	}
	for (unsigned i = 0; i < 20; i++)
		erasure_blob_free(&b[i]);
	fixture_end(&f);
}

static void full_drives_leave_nothing_behind(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	struct erasure_stats st;
	const struct fault_rule full[] = {
		{.kind = FAULT_ENOSPC, .slot = 1, .name = "seg/", .op = -1, .nth = 1},
		{.kind = FAULT_ENOSPC, .slot = 2, .name = "seg/", .op = -1, .nth = 1},
	};

	fixture_start(&f, 3, 2, 1, 8 << 20, true);
	fault_bench_rule(f.bench, &full[0]);
	fault_bench_rule(f.bench, &full[1]);
	assert_int_equal(blob_write(&f, 1, 5000, &b), -QE_FULL);
	erasure_set_stats(f.set, &st);
	assert_int_equal(st.segments, 0);
	fault_bench_rule(f.bench, NULL);
	assert_int_equal(blob_write(&f, 1, 5000, &b), 0);
	blob_expect(&f, &b, 1, NULL);
	assert_int_equal(b.stripes[0].slot_mask, 0x7);
	assert_int_equal(f.reported, 0);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void expect_mask(struct fixture *f, uint64_t seed, uint16_t mask, uint64_t *ret_segment)
{
	struct erasure_blob b;

	assert_int_equal(blob_write(f, seed, 5000, &b), 0);
	blob_expect(f, &b, seed, NULL);
	assert_int_equal(b.stripes[0].slot_mask, mask);
	*ret_segment = b.segment;
	erasure_blob_free(&b);
}

/* The others are enough: segments are made without the drive that has no room, until it has, and it is not to blame. */
static void a_full_drive_is_left_out(void **state)
{
	struct fixture f;
	uint64_t first, second;
	const struct fault_rule full = {.kind = FAULT_ENOSPC, .slot = 2, .name = "seg/", .op = -1, .nth = 1};

	fixture_start(&f, 3, 2, 1, 8 << 20, true);
	fault_bench_rule(f.bench, &full);
	expect_mask(&f, 1, 0x3, &first);
	assert_int_equal(erasure_full_slots(f.set), 0x4);
	assert_int_equal(erasure_segment_slots(f.set, first), 0x3);
	expect_mask(&f, 2, 0x3, &second);
	assert_int_equal(second, first);
	assert_int_equal(f.reported, 0);

	/* It took no file just now; that nobody calls it full otherwise changes nothing yet. */
	fault_bench_rule(f.bench, NULL);
	erasure_set_full(f.set, 0);
	assert_int_equal(erasure_full_slots(f.set), 0x4);
	assert_int_equal(f.sealed_n, 0);
	f.set->refused_until_ns[2] = 0;
	erasure_set_full(f.set, 0);
	assert_int_equal(erasure_full_slots(f.set), 0);
	assert_int_equal(f.sealed_n, 1);
	assert_int_equal(f.sealed[0].id, first);
	expect_mask(&f, 3, 0x7, &second);
	assert_int_not_equal(second, first);

	/* Called full, it is left out by the next segment, not by the one that it has. */
	erasure_set_full(f.set, 0x4);
	expect_mask(&f, 4, 0x7, &first);
	assert_int_equal(first, second);
	erasure_seal_open(f.set, note_sealed, &f);
	expect_mask(&f, 5, 0x3, &second);
	fixture_end(&f);
}

static uint64_t all_of_it(void *arg, enum segment_class cls)
{
	return 1ull << 50;
}

/* What deleting needs is left alone by large segments, and is there for packed ones. */
static void the_reserve_is_for_packed_segments(void **state)
{
	CLEANUP_FREE uint8_t *data = aligned_alloc(4096, 2 * ERASURE_PACKED_CELL);
	struct erasure_blob packed;
	struct erasure_writer *w;
	struct fixture f;

	fixture_start(&f, 4, 2, 2, 8 << 20, false);
	f.set->reserve = all_of_it;
	assert_int_equal(erasure_writer_open(f.set, 1 << 20, &w), -QE_FULL);
	assert_int_equal(f.reported, 0); /* no drive is to blame */
	memset(data, 7, 2 * ERASURE_PACKED_CELL);
	assert_int_equal(erasure_packed_write(f.set, data, &packed), 0);
	erasure_blob_free(&packed);
	f.set->reserve = NULL;
	assert_int_equal(erasure_writer_open(f.set, 1 << 20, &w), 0);
	erasure_writer_abort(w);
	fixture_close(&f);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_round_trip),
		cmocka_unit_test(header_lies_on_every_drive),
		cmocka_unit_test(unused_end_is_given_back),
		cmocka_unit_test(push_is_checked),
		cmocka_unit_test(full_segment_is_sealed_and_rotates),
		cmocka_unit_test(sealing_ends_open_segments),
		cmocka_unit_test(new_writer_needs_new_segment),
		cmocka_unit_test(dead_segment_is_removed),
		cmocka_unit_test(open_files_are_bounded),
		cmocka_unit_test(full_drives_leave_nothing_behind),
		cmocka_unit_test(a_full_drive_is_left_out),
		cmocka_unit_test(the_reserve_is_for_packed_segments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
