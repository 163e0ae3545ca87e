/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives that fail, hang or forget while blobs are written, read and flushed.
 */
#include "fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

#define MS 1000000ull

static void rule(struct fixture *f, enum fault_kind kind, int slot, int op, uint64_t nth, bool once)
{
	const struct fault_rule r = {.kind = kind, .slot = slot, .name = "seg/", .op = op, .nth = nth, .once = once};

	fault_bench_rule(f->bench, &r);
}

/* The lowest offset that unflushed_ranges tells of a segment. */
struct told {
	uint64_t segment;
	uint32_t from;
	unsigned n;
};

static void tell(void *arg, uint64_t segment, uint32_t from_4k)
{
	struct told *t = arg;

	t->n++;
	if (segment == t->segment)
		t->from = from_4k;
}

static uint32_t unflushed(struct fixture *f, unsigned slot, uint64_t segment)
{
	struct told t = {.segment = segment, .from = OFFSET_NONE};

	erasure_unflushed_ranges(f->set, slot, tell, &t);
	return t.from;
}

static unsigned flush(struct fixture *f, unsigned slot)
{
	struct erasure_flush fl[8];
	unsigned n = erasure_flush_begin(f->set, slot, fl, 8);

	for (unsigned i = 0; i < n; i++)
		erasure_flush_done(f->set, &fl[i], drive_sync(fl[i].file) == 0);
	return n;
}

static void failed_slot_is_left_out(void **state)
{
	for (unsigned nth = 1; nth <= 4; nth++) {
		struct fixture f;
		struct erasure_blob a, b;
		fixture_start(&f, 4, 2, 2, 16 << 20, true);
		assert_int_equal(blob_write(&f, 1, 100, &a), 0);
		rule(&f, FAULT_ERROR, 1, DRIVE_IO_WRITE, nth, true);
		assert_int_equal(blob_write(&f, 2, 5 << 20, &b), 0);
		assert_int_equal(f.reported, 1u << 1);
		for (unsigned s = 0; s < b.nstripes; s++) {
			assert_int_equal(b.stripes[s].slot_mask | 1u << 1, 0xf);
			if (s + 1 == nth)
				assert_int_equal(b.stripes[s].slot_mask, 0xd);
		}
		blob_expect(&f, &b, 2, NULL);
		/* What the slot lacks is told, though nothing of it will ever be flushed. */
		erasure_set_writers(f.set, 0xd);
		uint32_t from = unflushed(&f, 1, b.segment);
		assert_true(from <= b.stripes[nth - 1].offset_4k);
		flush(&f, 1);
		assert_int_equal(unflushed(&f, 1, b.segment), b.stripes[nth - 1].offset_4k);
		erasure_missing_add(f.set, 1, b.segment, from, UINT32_MAX);
		blob_expect(&f, &b, 2, NULL);
		erasure_blob_free(&a);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

static void slot_that_cannot_create_is_left_out(void **state)
{
	struct fixture f;
	struct erasure_blob b;

	fixture_start(&f, 4, 2, 2, 16 << 20, true);
	rule(&f, FAULT_ERROR, 2, -1, 1, false);
	assert_int_equal(blob_write(&f, 2, 2 << 20, &b), 0);
	assert_int_equal(f.reported, 1u << 2);
	assert_int_equal(b.stripes[0].slot_mask, 0xb);
	erasure_set_writers(f.set, 0xb);
	assert_int_equal(unflushed(&f, 2, b.segment), 0);
	assert_int_equal(unflushed(&f, 3, b.segment), 1);
	blob_expect(&f, &b, 2, NULL);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static unsigned released;

static void count_release(void *arg)
{
	__atomic_fetch_add(&released, 1, __ATOMIC_RELAXED);
	free(arg);
}

static void too_few_cells_fail_the_blob(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	struct erasure_writer *w;
	unsigned pushed = 0;
	int rc = 0;

	fixture_start(&f, 2, 1, 1, 16 << 20, true);
	assert_int_equal(blob_write(&f, 1, 100, &b), 0);
	erasure_blob_free(&b);
	rule(&f, FAULT_ERROR, 1, DRIVE_IO_WRITE, 2, false);
	released = 0;
	assert_int_equal(erasure_writer_open(f.set, 8 << 20, &w), 0);
	while (rc == 0 && pushed < 8) {
		uint8_t *buf = aligned_alloc(4096, 1 << 20);
		memset(buf, 3, 1 << 20);
		rc = erasure_writer_push(w, buf, 1 << 20, count_release, buf);
		pushed++;
	}
	assert_int_equal(erasure_writer_finish(w, &b), -QE_QUORUM_WRITE);
	assert_int_equal(released, pushed);
	assert_int_equal(f.reported, 1u << 1);
	/* Until somebody decides who writes. */
	assert_int_equal(blob_write(&f, 1, 100, &b), -QE_QUORUM_WRITE);
	fault_bench_rule(f.bench, NULL);
	erasure_set_writers(f.set, 3);
	assert_int_equal(blob_write(&f, 1, 100, &b), 0);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void flush_covers_what_returned_before(void **state)
{
	struct fixture f;
	struct erasure_blob a, b;
	struct erasure_flush one[4], two[4];

	fixture_start(&f, 3, 2, 1, 16 << 20, true);
	assert_int_equal(erasure_flush_begin(f.set, 0, one, 4), 0);
	assert_int_equal(blob_write(&f, 1, 9000, &a), 0);
	assert_true(erasure_stripe_unflushed(f.set, &a.stripes[0]));
	assert_int_equal(unflushed(&f, 0, a.segment), 1);
	assert_int_equal(erasure_flush_begin(f.set, 0, one, 4), 1);
	assert_int_equal(one[0].segment, a.segment);
	/* Returned after the begin: the first sync says nothing of it, and the first part is not flushed yet either. */
	assert_int_equal(blob_write(&f, 2, 9000, &b), 0);
	assert_int_equal(erasure_flush_begin(f.set, 0, two, 4), 1);
	assert_int_equal(drive_sync(one[0].file), 0);
	erasure_flush_done(f.set, &one[0], true);
	assert_true(unflushed(&f, 0, a.segment) <= b.offset_4k);
	assert_true(erasure_stripe_unflushed(f.set, &b.stripes[0]));
	assert_int_equal(drive_sync(two[0].file), 0);
	erasure_flush_done(f.set, &two[0], true);
	assert_int_equal(erasure_flush_begin(f.set, 0, one, 4), 0);
	/* The others have flushed nothing. */
	assert_true(erasure_stripe_unflushed(f.set, &b.stripes[0]));
	assert_int_equal(flush(&f, 1), 1);
	assert_int_equal(flush(&f, 2), 1);
	assert_false(erasure_stripe_unflushed(f.set, &a.stripes[0]));
	assert_false(erasure_stripe_unflushed(f.set, &b.stripes[0]));
	assert_int_equal(fault_bench_missed_syncs(f.bench), 0);
	/* The open segment is told with its pointer. */
	assert_int_equal(unflushed(&f, 0, a.segment), b.offset_4k + 2);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void rolled_segments_are_flushed(void **state)
{
	struct fixture f;
	struct erasure_blob b[6];
	struct erasure_flush fl[2];
	unsigned n, total = 0;

	fixture_start(&f, 3, 2, 1, 1 << 20, true);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(blob_write(&f, i, 1 << 20, &b[i]), 0);
	while ((n = erasure_flush_begin(f.set, 1, fl, 2)) > 0)
		for (unsigned i = 0; i < n; i++, total++) {
			assert_int_equal(drive_sync(fl[i].file), 0);
			erasure_flush_done(f.set, &fl[i], true);
		}
	assert_int_equal(total, 6);
	flush(&f, 0);
	flush(&f, 2);
	assert_int_equal(fault_bench_missed_syncs(f.bench), 0);
	/* Sealed and flushed: complete. */
	assert_int_equal(unflushed(&f, 1, b[0].segment), OFFSET_NONE);
	for (unsigned i = 0; i < 6; i++)
		erasure_blob_free(&b[i]);
	fixture_end(&f);
}

static void failed_flush_is_reported_and_kept(void **state)
{
	struct fixture f;
	struct erasure_blob a, b;

	fixture_start(&f, 4, 2, 2, 16 << 20, true);
	assert_int_equal(blob_write(&f, 1, 9000, &a), 0);
	assert_int_equal(flush(&f, 2), 1);
	assert_int_equal(blob_write(&f, 2, 9000, &b), 0);
	rule(&f, FAULT_ERROR, 2, DRIVE_IO_SYNC, 1, true);
	assert_int_equal(flush(&f, 2), 1);
	assert_int_equal(f.reported, 1u << 2);
	/* The next sync would succeed, and means nothing. */
	assert_int_equal(flush(&f, 2), 0);
	assert_int_equal(unflushed(&f, 2, b.segment), b.offset_4k);
	/* Healed. */
	erasure_missing_add(f.set, 2, b.segment, b.offset_4k, UINT32_MAX);
	erasure_missing_del(f.set, 2, b.segment, b.offset_4k);
	assert_int_equal(unflushed(&f, 2, b.segment), b.offset_4k + 2);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void hung_write_is_given_up(void **state)
{
	struct fixture f;
	struct erasure_blob a, b;

	fixture_start(&f, 4, 2, 2, 16 << 20, true);
	f.timeout_ns = 500 * MS;
	fixture_reopen(&f);
	assert_int_equal(blob_write(&f, 1, 100, &a), 0);
	rule(&f, FAULT_HANG, 3, DRIVE_IO_WRITE, 1, false);
	assert_int_equal(blob_write(&f, 2, 300000, &b), 0);
	assert_int_equal(f.reported, 1u << 3);
	assert_int_equal(b.stripes[0].slot_mask, 0x7);
	assert_int_equal(erasure_slot_inflight(f.set, 3), 1);
	assert_int_equal(unflushed(&f, 3, b.segment), a.offset_4k);
	erasure_set_writers(f.set, 0x7);
	fault_bench_rule(f.bench, NULL);
	fault_bench_release(f.bench);
	while (erasure_slot_inflight(f.set, 3))
		clock_sleep_ns(MS);
	blob_expect(&f, &b, 2, NULL);
	assert_int_equal(unflushed(&f, 3, b.segment), a.offset_4k);
	flush(&f, 3);
	assert_int_equal(unflushed(&f, 3, b.segment), b.offset_4k);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	fixture_end(&f);
}

/* A packed stripe is written from its caller's memory, which holds other things by the time that a hung write goes on. */
static void hung_packed_write_keeps_its_bytes(void **state)
{
	for (unsigned slot = 0; slot < 4; slot++) {
		struct fixture f;
		struct erasure_blob a, b;

		fixture_start(&f, 4, 2, 2, 16 << 20, true);
		f.timeout_ns = 500 * MS;
		fixture_reopen(&f);
		uint32_t len = erasure_stripe_bytes(f.set, SEGMENT_PACKED);
		uint8_t *data = aligned_alloc(4096, len);
		pattern_fill(1, 0, data, len);
		/* The first makes the segment. */
		assert_int_equal(erasure_packed_write(f.set, data, &a), 0);
		pattern_fill(2, 0, data, len);
		rule(&f, FAULT_HANG, (int)slot, DRIVE_IO_WRITE, 1, false);
		assert_int_equal(erasure_packed_write(f.set, data, &b), 0);
		assert_int_equal(b.stripes[0].slot_mask, 0xf & ~(1u << slot));
		memset(data, 0xee, len);
		fault_bench_rule(f.bench, NULL);
		fault_bench_release(f.bench);
		while (erasure_slot_inflight(f.set, slot))
			clock_sleep_ns(MS);
		assert_int_equal(erasure_cell_check(f.set, &b.stripes[0], slot), 1);
		free(data);
		erasure_blob_free(&a);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

/* A given-up write may still land: its room is not used again. */
static void hung_room_is_not_reused(void **state)
{
	struct fixture f;
	struct erasure_blob a, b;

	fixture_start(&f, 2, 1, 1, 16 << 20, true);
	f.timeout_ns = 500 * MS;
	fixture_reopen(&f);
	assert_int_equal(blob_write(&f, 1, 100, &a), 0);
	rule(&f, FAULT_HANG, 1, DRIVE_IO_WRITE, 1, true);
	assert_int_equal(blob_write(&f, 2, 300000, &b), -QE_QUORUM_WRITE);
	erasure_set_writers(f.set, 0x3);
	fault_bench_rule(f.bench, NULL);
	assert_int_equal(blob_write(&f, 3, 300000, &b), 0);
	assert_true(b.offset_4k >= 2 + 74);
	fault_bench_release(f.bench);
	while (erasure_slot_inflight(f.set, 1))
		clock_sleep_ns(MS);
	blob_expect(&f, &b, 3, NULL);
	erasure_blob_free(&a);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void lost_and_misdirected_writes_are_decoded(void **state)
{
	static const enum fault_kind kinds[] = {FAULT_LOST, FAULT_MISDIRECTED};

	for (unsigned i = 0; i < 2; i++) {
		struct fixture f;
		struct erasure_blob a, b;
		bool degraded;
		fixture_start(&f, 4, 2, 2, 16 << 20, true);
		assert_int_equal(blob_write(&f, 1, 100, &a), 0);
		unsigned slot = blob_slot(&a, 0);
		rule(&f, kinds[i], (int)slot, DRIVE_IO_WRITE, 1, true);
		assert_int_equal(blob_write(&f, 2, 900000, &b), 0);
		assert_int_equal(b.stripes[0].slot_mask, 0xf);
		blob_expect(&f, &b, 2, &degraded);
		assert_true(degraded);
		assert_int_equal(erasure_cell_check(f.set, &b.stripes[0], slot), 0);
		erasure_blob_free(&a);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

/* ---- Recovery's calls ------------------------------------------------------------------------------------------- */
static void cells_are_checked_and_repaired(void **state)
{
	struct fixture f;
	struct erasure_blob b;

	fixture_start(&f, 4, 2, 2, 16 << 20, false);
	assert_int_equal(blob_write(&f, 2, 1200000, &b), 0);
	for (unsigned s = 0; s < 4; s++)
		assert_int_equal(flush(&f, s), 1);
	flip_byte(&f, 0, b.segment, BYTES_4K(b.stripes[1].offset_4k) + 9);
	delete_file(&f, 1, b.segment);
	fixture_reopen(&f);
	assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
	for (unsigned s = 0; s < 4; s++)
		assert_int_equal(erasure_slot_settle(f.set, s), 0);
	for (unsigned i = 0; i < b.nstripes; i++)
		for (unsigned s = 0; s < 4; s++)
			assert_int_equal(erasure_cell_check(f.set, &b.stripes[i], s), s != 1 && (s != 0 || i != 1));
	for (unsigned i = 0; i < b.nstripes; i++)
		assert_int_equal(erasure_cell_repair(f.set, &b.stripes[i], 0x3), 0);
	assert_int_equal(unflushed(&f, 1, b.segment), b.offset_4k);
	assert_int_equal(flush(&f, 0), 1);
	assert_int_equal(flush(&f, 1), 1);
	assert_int_equal(unflushed(&f, 1, b.segment), OFFSET_NONE);
	delete_file(&f, 2, b.segment);
	delete_file(&f, 3, b.segment);
	fixture_reopen(&f);
	assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
	for (unsigned i = 0; i < b.nstripes; i++)
		for (unsigned s = 0; s < 4; s++)
			assert_int_equal(erasure_cell_check(f.set, &b.stripes[i], s), s < 2);
	blob_expect(&f, &b, 2, NULL);
	/* The file that was made anew has its header. */
	uint8_t block[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	struct drive_file *file;
	char name[SEGMENT_NAME_MAX];
	segment_name(b.segment, name);
	assert_int_equal(drive_open(f.drive[1], name, 0, 0, &file), 0);
	assert_int_equal(drive_pread(file, block, sizeof block, 0, 0), 0);
	drive_file_unref(file);
	assert_int_equal(segment_header_decode(block, &h), 0);
	assert_int_equal(h.slot, 1);
	assert_int_equal(h.info.id, b.segment);
	/* Too few. */
	flip_byte(&f, 0, b.segment, BYTES_4K(b.offset_4k) + 9);
	assert_int_equal(erasure_cell_repair(f.set, &b.stripes[0], 0xc), -QE_QUORUM_READ);
	struct erasure_stripe bad = b.stripes[0];
	bad.cell_4k = 9999;
	assert_int_equal(erasure_cell_check(f.set, &bad, 0), -QE_CORRUPT);
	erasure_blob_free(&b);
	fixture_end(&f);
}

/* The reader takes another drive, and the next one does not wait for the same drive again. */
static void hung_read_is_given_up(void **state)
{
	struct fixture f;
	struct erasure_blob b;

	fixture_start(&f, 4, 2, 2, 16 << 20, true);
	f.timeout_ns = 500 * MS;
	fixture_reopen(&f);
	assert_int_equal(blob_write(&f, 2, 3000000, &b), 0);
	for (unsigned s = 0; s < 4; s++)
		flush(&f, s);
	unsigned slow = blob_slot(&b, 1), broken = blob_slot(&b, 3);
	flip_byte(&f, broken, b.segment, BYTES_4K(b.offset_4k));
	flip_byte(&f, broken, b.segment, BYTES_4K(b.stripes[1].offset_4k));
	rule(&f, FAULT_HANG, (int)slow, DRIVE_IO_READ, 1, false);
	uint64_t start = clock_mono_ns();
	assert_int_equal(erasure_cell_repair(f.set, &b.stripes[0], 1u << broken), 0);
	assert_true(clock_mono_ns() - start >= f.timeout_ns);
	assert_int_equal(erasure_slot_inflight(f.set, slow), 1);
	assert_int_equal(erasure_cell_repair(f.set, &b.stripes[1], 1u << broken), 0);
	assert_int_equal(erasure_slot_inflight(f.set, slow), 1);
	fault_bench_rule(f.bench, NULL);
	fault_bench_release(f.bench);
	while (erasure_slot_inflight(f.set, slow))
		clock_sleep_ns(MS);
	for (unsigned i = 0; i < b.nstripes; i++)
		assert_int_equal(erasure_cell_check(f.set, &b.stripes[i], broken), 1);
	blob_expect(&f, &b, 2, NULL);
	erasure_blob_free(&b);
	fixture_end(&f);
}

/* After a power loss a cell of an unflushed stripe may be anything; what is valid says so, the rest is written anew. */
static void torn_cells_are_repaired(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct fixture f;
		struct erasure_blob b;
		unsigned good = 0;
		fixture_start(&f, 4, 2, 2, 16 << 20, true);
		fixture_close(&f);
		fault_bench_free(f.bench);
		f.bench = fault_bench_new(seed);
		fixture_open(&f);
		assert_int_equal(blob_write(&f, seed, 700000, &b), 0);
		fixture_close(&f);
		fault_bench_power_loss(f.bench, 0xf);
		fixture_open(&f);
		assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
		uint32_t bad = 0;
		for (unsigned s = 0; s < 4; s++) {
			assert_int_equal(erasure_slot_settle(f.set, s), 0);
			int rc = erasure_cell_check(f.set, &b.stripes[0], s);
			assert_true(rc >= 0);
			good += rc > 0;
			bad |= rc ? 0 : 1u << s;
		}
		int rc = erasure_cell_repair(f.set, &b.stripes[0], bad);
		if (good >= 2) {
			assert_int_equal(rc, 0);
			for (unsigned s = 0; s < 4; s++)
				assert_int_equal(erasure_cell_check(f.set, &b.stripes[0], s), 1);
			blob_expect(&f, &b, seed, NULL);
		} else {
			/* Torn cells may still make up whole rows. */
			assert_true(rc == 0 || rc == -QE_QUORUM_READ);
		}
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

/* ---- Many at once ------------------------------------------------------------------------------------------------ */
#define THREADS 6
#define ROUNDS 12

struct worker {
	struct fixture *f;
	unsigned number;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t state = w->number;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct erasure_blob b;
		uint64_t seed = w->number * 1000 + i, len = 1 + rnd(&state) % 3000000;
		int rc = blob_write_max(w->f, seed, len, len + rnd(&state) % 1000000, &b);
		assert_int_equal(rc, 0);
		if (i % 3 == 0)
			for (unsigned s = 0; s < 4; s++)
				flush(w->f, s);
		if (i % 5 == 0)
			for (unsigned s = 0; s < 4; s++)
				(void)unflushed(w->f, s, b.segment);
		blob_expect(w->f, &b, seed, NULL);
		erasure_blob_free(&b);
	}
	return NULL;
}

static void many_writers_and_readers(void **state)
{
	struct fixture f;
	struct worker w[THREADS];

	fixture_start(&f, 4, 2, 2, 4 << 20, false);
	f.set->max_files = 20;
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.f = &f, .number = i + 1};
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		erasure_set_writers(f.set, i % 2 ? 0xf : 0x7);
		clock_sleep_ns(3 * MS);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	for (unsigned s = 0; s < 4; s++) {
		flush(&f, s);
		assert_int_equal(erasure_slot_inflight(f.set, s), 0);
	}
	assert_int_equal(f.reported, 0);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_slot_is_left_out),
		cmocka_unit_test(slot_that_cannot_create_is_left_out),
		cmocka_unit_test(too_few_cells_fail_the_blob),
		cmocka_unit_test(flush_covers_what_returned_before),
		cmocka_unit_test(rolled_segments_are_flushed),
		cmocka_unit_test(failed_flush_is_reported_and_kept),
		cmocka_unit_test(hung_write_is_given_up),
		cmocka_unit_test(hung_packed_write_keeps_its_bytes),
		cmocka_unit_test(hung_room_is_not_reused),
		cmocka_unit_test(lost_and_misdirected_writes_are_decoded),
		cmocka_unit_test(cells_are_checked_and_repaired),
		cmocka_unit_test(hung_read_is_given_up),
		cmocka_unit_test(torn_cells_are_repaired),
		cmocka_unit_test(many_writers_and_readers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
