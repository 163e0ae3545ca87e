/* SPDX-License-Identifier: Apache-2.0
 *
 * The histories that broke drafts of the storage contract, each as a test of its own: those that need no drive that
 * returns while its set lives. Slots are counted from 0 here.
 */
#include "set_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "lib/testdir.h"
#include "meta/set_internal.h"

#define SLOT(n) (1u << (n))
#define BYTES 300000u

static struct fixture f;

/* A start that dies at the nth write to a journal. */
static void boot_dies(uint32_t mask, unsigned nth_write)
{
	stop_at_journal(&f, DRIVE_IO_WRITE, nth_write);
	assert_true(fixture_open(&f, mask) < 0);
	assert_true(fault_bench_stopped(f.bench));
	fault_bench_rule(f.bench, NULL);
}

/* Recovery zeroes the end on each drive and writes EPOCH on each: EPOCH is the write number (drives + 1). */
static void dead_epoch_has_no_vote_H1(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put(&f, META_ORDERED, 1, 11), 0);
	fixture_kill(&f);
	lose_power(&f, SLOT(0), 0);
	boot_dies(SLOT(1) | SLOT(2), 4);
	lose_power(&f, ALL(&f), ALL(&f)); /* EPOCH{2,0} is on slot 1 only */
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_true(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_true(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	fixture_end(&f);
}

static void dead_epoch_gives_no_durable_seq_H2(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(0) | SLOT(1));
	boot_dies(SLOT(0) | SLOT(1), 4);
	lose_power(&f, ALL(&f), ALL(&f));
	fixture_boot(&f, SLOT(1) | SLOT(2));
	assert_int_equal(get(&f, 1), 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_true(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 0);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	fixture_end(&f);
}

static void no_index_row_above_durable_H3(void **state)
{
	for (unsigned nth = 1; nth <= 3; nth++) {
		fixture_start_known(&f, 3, 1);
		assert_int_equal(put(&f, META_ORDERED, 1, 11), 0);
		stop_at_journal(&f, DRIVE_IO_SYNC, nth);
		assert_true(meta_checkpoint(f.s) < 0);
		fixture_kill(&f);
		lose_power(&f, 0, 0);
		fixture_boot(&f, ALL(&f));
		assert_true(nth > 1 || get(&f, 1) == 0);
		fixture_end(&f);
	}
}

static void absent_cells_are_missing_H4(void **state)
{
	struct meta_stats st;

	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(0) | SLOT(1));
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	meta_stats(f.s, &st);
	assert_int_equal(st.missing_ranges, 1);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	meta_stats(f.s, &st);
	assert_int_equal(st.missing_ranges, 1);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_end(&f);
}

static void blank_drive_does_not_count_H6(void **state)
{
	fixture_start_known(&f, 3, 1);
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(get(&f, 1), 11);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	make_blank(&f, 1);
	fault_bench_rule(f.bench, NULL);
	assert_int_equal(fixture_open(&f, SLOT(0) | SLOT(1)), -QE_QUORUM_READ);
	assert_non_null(strstr(f.detail, "bring more"));
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_int_equal(get(&f, 1), 11);
	fixture_end(&f);
}

/* A start that dies anywhere: what three of its drives then vouch for is so for the last four as well,
 * two of which it never saw. Kept or dropped, it stays so when all are back. False: it did not die. */
static bool unfinished_start(unsigned nth)
{
	uint64_t shown = 0;

	fixture_start_known(&f, 6, 2);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(0) | SLOT(1) | SLOT(2) | SLOT(3));
	boot_dies(SLOT(0) | SLOT(1) | SLOT(2) | SLOT(3), 6);
	lose_power(&f, ALL(&f), ALL(&f)); /* EPOCH{2,1} is on slot 0 only */
	fault_bench_rule(f.bench, &(struct fault_rule){.kind = FAULT_STOP, .slot = -1, .op = -1, .nth = nth});
	bool ended = fixture_open(&f, SLOT(0) | SLOT(1) | SLOT(4) | SLOT(5)) == 0;
	if (ended)
		fixture_kill(&f);
	lose_power(&f, ALL(&f), ALL(&f));
	fixture_boot(&f, SLOT(0) | SLOT(4) | SLOT(5));
	assert_false(meta_writable(f.s));
	int rc = get_durable(&f, 1, &shown);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(2) | SLOT(3) | SLOT(4) | SLOT(5));
	assert_true(meta_writable(f.s));
	uint64_t kept = get(&f, 1);
	if (rc == 0)
		assert_int_equal(kept, shown);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	fixture_kill(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), kept);
	fixture_end(&f);
	return !ended;
}

static void an_unfinished_start_vouches_for_nothing_H32(void **state)
{
	unsigned nth = 1;

	while (unfinished_start(nth))
		nth++;
	assert_true(nth > 20);
}

static void what_read_only_showed_stays_H7(void **state)
{
	uint64_t v;

	fixture_start_known(&f, 4, 2);
	assert_int_equal(put(&f, META_ORDERED, 1, 11), 0);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_false(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get_durable(&f, 1, &v), -QE_UNKNOWN_OUTCOME);
	assert_int_equal(put(&f, META_DURABLE, 2, 2), -QE_QUORUM_WRITE);
	fixture_close(&f);
	lose_power(&f, 0, 0); /* the read-only start flushed what it showed */
	fixture_boot(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	fixture_end(&f);
}

static void read_only_vouches_for_nothing_in_doubt_H8(void **state)
{
	uint64_t v;

	fixture_start_known(&f, 4, 2);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(0) | SLOT(1));
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(get_durable(&f, 1, &v), -QE_UNKNOWN_OUTCOME);
	fixture_close(&f);
	fixture_boot(&f, SLOT(0) | SLOT(2) | SLOT(3));
	assert_true(meta_writable(f.s));
	assert_int_equal(get_durable(&f, 1, &v), 0);
	assert_true(v == 0 || check_blob(&f, 1, 1, BYTES) == 1);
	fixture_end(&f);
}

/* The same while it serves: a record that one drive has and the other has not may be kept when both are back, so neither the
 * old value nor the absence of the new one is told until then. The mount sees what it saw. */
static void falling_below_w_vouches_for_nothing_in_doubt(void **state)
{
	uint64_t v;

	fixture_start_known(&f, 2, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 12), -QE_UNKNOWN_OUTCOME);
	assert_false(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get_durable(&f, 1, &v), -QE_UNKNOWN_OUTCOME);
	assert_int_equal(get_durable(&f, 3, &v), 0);
	assert_int_equal(v, 33);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), -QE_QUORUM_WRITE);
	assert_int_equal(get_durable(&f, 2, &v), 0);
	fixture_kill(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(get_durable(&f, 1, &v), 0);
	assert_int_equal(v, 12);
	fixture_end(&f);
}

static void one_of_two_never_writes_H10(void **state)
{
	fixture_start_known(&f, 2, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 2, 22) < 0);
	assert_false(meta_writable(f.s));
	fixture_kill(&f);
	for (unsigned i = 0; i < 2; i++) {
		fixture_boot(&f, SLOT(i));
		assert_false(meta_writable(f.s));
		assert_int_equal(get(&f, 1), 11);
		assert_int_equal(put(&f, META_DURABLE, 3, 33), -QE_QUORUM_WRITE);
		fixture_close(&f);
	}
	fixture_boot(&f, ALL(&f));
	assert_true(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 3), 0);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	fixture_end(&f);
}

static void silence_is_padded_H16(void **state)
{
	uint64_t v;

	fixture_start_known(&f, 4, 2);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	uint64_t before = meta_applied_seq(f.s);
	for (unsigned i = 0; i < 10; i++) {
		clock_sleep_ns(100 * NS_PER_MS);
		meta_tick(f.s);
	}
	assert_int_equal(meta_applied_seq(f.s), before + 1); /* one PAD, never another */
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_false(meta_writable(f.s));
	assert_int_equal(get_durable(&f, 1, &v), 0);
	assert_int_equal(v, 11);
	fixture_end(&f);
}

static void a_removed_drive_proves_nothing_H17(void **state)
{
	fixture_start_known(&f, 5, 2);
	/* A round syncs the journal, then segments: slot 0 fails with its cell, slot 1 with the record that removes 0. */
	fail_io(&f, 0, NULL, DRIVE_IO_SYNC, 2);
	fail_io(&f, 1, NULL, DRIVE_IO_SYNC, 3);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	struct meta_stats st;
	meta_stats(f.s, &st);
	assert_int_equal(st.isr.slot[0].state, ISR_OUT);
	assert_int_equal(st.isr.slot[1].state, ISR_OUT);
	assert_int_equal(st.missing_ranges, 2); /* the open segment, for each of them */
	fixture_kill(&f);
	lose_power(&f, SLOT(0), SLOT(1));
	fixture_boot(&f, SLOT(0) | SLOT(1) | SLOT(2));
	assert_true(meta_writable(f.s));
	assert_true(get(&f, 1) != 0);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), -QE_QUORUM_READ);
	fixture_close(&f);
	/* The cells of 3 and 4 are named missing, not known to be flushed as they were: readable once healing has looked. */
	fixture_boot(&f, ALL(&f));
	assert_true(get(&f, 1) != 0);
	int rc = check_blob(&f, 1, 1, BYTES);
	assert_true(rc == 1 || rc == -QE_QUORUM_READ);
	fixture_end(&f);
}

static void no_answer_before_the_isr_is_flushed_H18(void **state)
{
	for (unsigned nth = 1; nth <= 3; nth++) {
		fixture_start_known(&f, 4, 2);
		fault_bench_rule(f.bench, NULL);
		fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
		fault_bench_rule(f.bench, &(struct fault_rule){
			.kind = FAULT_STOP, .slot = -1, .name = "journal/", .op = DRIVE_IO_SYNC, .nth = nth});
		assert_true(put(&f, META_DURABLE, 1, 11) < 0);
		fixture_kill(&f);
		fixture_end(&f);
	}
}

static int answer;

static void note_answer(void *arg, struct meta_batch *b, int rc)
{
	answer = rc;
	meta_batch_free(b);
}

/* A round that began before the record of the change was built ends after it. */
static void a_round_in_flight_waits_for_the_isr_H18(void **state)
{
	struct meta_batch *b;

	fixture_start_known(&f, 4, 2);
	assert_int_equal(put(&f, META_ORDERED, 1, 11), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 0, .op = DRIVE_IO_SYNC, .nth = 1, .once = true});
	b = meta_batch_new(f.s, META_DURABLE, OP_S3);
	answer = 1;
	meta_submit(b, note_answer, NULL);
	meta_drive(f.s);
	clock_sleep_ns(10 * NS_PER_MS);
	meta_drive(f.s);
	assert_int_equal(answer, 1);
	isr_slot_error(f.s, 1, -EIO);
	meta_drive(f.s);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_STOP, .slot = 2, .op = DRIVE_IO_SYNC, .nth = 1});
	fault_bench_release(f.bench);
	for (unsigned i = 0; i < 100 && answer == 1; i++) {
		clock_sleep_ns(NS_PER_MS);
		meta_drive(f.s);
	}
	assert_int_equal(answer, -QE_UNKNOWN_OUTCOME);
	fixture_kill(&f);
	fixture_end(&f);
}

static void payload_is_made_whole_everywhere_H34(void **state)
{
	fixture_start_known(&f, 3, 1);
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put_blob(&f, META_DURABLE, 2, 2, 9000), 0);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(get(&f, 2), 2);
	assert_int_equal(check_blob(&f, 2, 2, 9000), -QE_QUORUM_READ);
	assert_true(meta_checkpoint(f.s) < 0); /* it would lose the cells that slot 2 has */
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	assert_int_equal(get(&f, 3), 33);
	fixture_end(&f);
}

static void torn_cells_are_rebuilt(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(1) | SLOT(2));
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	for (unsigned away = 0; away < 3; away++) {
		fixture_boot(&f, ALL(&f) & ~SLOT(away));
		assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
		fixture_kill(&f);
		lose_power(&f, 0, 0);
	}
	fixture_end(&f);
}

/* Copies of whole files, not only of the one that EPOCH is flushed with. */
static void copies_are_flushed_before_epoch(void **state)
{
	fixture_start_known(&f, 3, 1);
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	for (uint64_t i = 1; i <= 60; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 60000), 0);
	fixture_kill(&f);
	fixture_boot(&f, ALL(&f));
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	for (uint64_t i = 1; i <= 60; i++)
		assert_int_equal(check_blob(&f, i, i, 60000), 1);
	fixture_end(&f);
}

static void run(const char *fmt)
{
	char cmd[400];

	snprintf(cmd, sizeof cmd, fmt, f.root, f.root);
	assert_int_equal(system(cmd), 0);
}

/* A crash between the copies of a checkpoint: each is read from where the slowest stands. */
static void replay_starts_at_the_slowest_copy(void **state)
{
	fixture_start_known(&f, 3, 1);
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(put(&f, META_DURABLE, i, 100 + i), 0);
	assert_int_equal(drop(&f, 7), 0);
	run("cp -r %s/d1/index %s/saved");
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_STOP, .slot = -1, .name = "super", .op = DRIVE_IO_WRITE, .nth = 1});
	assert_true(meta_checkpoint(f.s) < 0);
	fixture_kill(&f);
	run("cp -r %s/saved/. %s/d1/index/");
	fixture_boot(&f, ALL(&f));
	for (unsigned turn = 0; turn < 4; turn++)
		for (uint64_t i = 1; i <= 20; i++)
			assert_int_equal(get(&f, i), i == 7 ? 0 : 100 + i);
	expect_counters(&f);
	fixture_end(&f);
}

/* Each drive is away once, for longer than the journal reaches back. */
static void index_copies_come_back(void **state)
{
	struct meta_stats st;

	fixture_start_known(&f, 3, 1);
	for (uint64_t i = 1; i <= 30; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 20000), 0);
	for (unsigned away = 0; away < 3; away++) {
		fixture_close(&f);
		fixture_boot(&f, ALL(&f) & ~SLOT(away));
		assert_int_equal(put(&f, META_DURABLE, 40 + away, 400 + away), 0);
		assert_int_equal(drop(&f, 1 + away), 0);
		assert_int_equal(meta_checkpoint(f.s), 0);
		assert_int_equal(put(&f, META_DURABLE, 50 + away, 500 + away), 0);
		fixture_close(&f);
		fixture_boot(&f, ALL(&f));
		meta_stats(f.s, &st);
		assert_int_equal(st.isr.slot[away].index, ISR_INDEX_NONE);
		assert_int_equal(meta_checkpoint(f.s), 0);
		meta_stats(f.s, &st);
		assert_int_equal(st.isr.slot[away].index, ISR_INDEX_GOOD);
	}
	for (unsigned away = 0; away < 3; away++) {
		fixture_close(&f);
		fixture_boot(&f, ALL(&f) & ~SLOT(away));
		expect_counters(&f);
		for (uint64_t i = 1; i <= 3; i++) {
			assert_int_equal(get(&f, i), 0);
			assert_int_equal(get(&f, 39 + i), 399 + i);
			assert_int_equal(get(&f, 49 + i), 499 + i);
		}
		assert_int_equal(meta_checkpoint(f.s), 0);
	}
	fixture_end(&f);
}

static void recovery_flushes_what_it_did_not_write_H19(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	assert_int_equal(put_blob(&f, META_ORDERED, 2, 2, 9000), 0);
	fixture_kill(&f);
	fixture_boot(&f, ALL(&f));
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	fixture_end(&f);
}

static void rot_is_never_the_older_value_H20(void **state)
{
	uint64_t v;

	fixture_start_known(&f, 4, 2);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put(&f, META_DURABLE, 1, 12), 0);
	fixture_kill(&f);
	rot_last_record(&f, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(get_durable(&f, 1, &v), -QE_UNKNOWN_OUTCOME);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(get_durable(&f, 1, &v), 0);
	assert_int_equal(v, 12);
	fixture_end(&f);
}

static void unserved_epoch_vouches_for_nothing_H24(void **state)
{
	uint64_t v;

	fixture_start_known(&f, 4, 1);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f) & ~SLOT(0), ALL(&f) & ~SLOT(0));
	boot_dies(SLOT(1) | SLOT(2) | SLOT(3), 5);
	lose_power(&f, SLOT(1), 0);
	fixture_boot(&f, SLOT(1) | SLOT(3));
	assert_false(meta_writable(f.s));
	assert_int_equal(get_durable(&f, 1, &v), -QE_UNKNOWN_OUTCOME);
	fixture_close(&f);
	fixture_boot(&f, SLOT(0) | SLOT(2) | SLOT(3));
	assert_int_equal(get(&f, 1), 0);
	fixture_end(&f);
}

static void torn_superblocks_promise_once_H30(void **state)
{
	struct meta_stats st;

	fixture_start_known(&f, 3, 1);
	uint64_t id = meta_new_id(f.s);
	fixture_kill(&f);
	for (unsigned nth = 1; nth <= 8; nth++) {
		fault_bench_rule(f.bench, NULL);
		fault_bench_rule(f.bench, &(struct fault_rule){
			.kind = nth % 2 ? FAULT_TORN : FAULT_STOP, .slot = -1, .name = "super", .op = DRIVE_IO_WRITE, .nth = nth});
		assert_true(fixture_open(&f, ALL(&f)) < 0);
		lose_power(&f, ALL(&f), ALL(&f));
	}
	fixture_boot(&f, ALL(&f));
	meta_stats(f.s, &st);
	assert_true(st.epoch >= 4);
	assert_true(meta_new_id(f.s) > id);
	fixture_end(&f);
}

/* One slot of a superblock rots, the newest in turn, and another drive is away. */
static void a_rotten_slot_returns_no_epoch_and_no_id_H14(void **state)
{
	uint64_t epoch = 0, id = 0;
	char name[32];

	fixture_start(&f, 3, 1, false);
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 0; i < 8; i++) {
		struct meta_stats st;
		meta_stats(f.s, &st);
		uint64_t next = meta_new_id(f.s);
		assert_true(st.epoch > epoch && next > id);
		epoch = st.epoch;
		id = next;
		assert_int_equal(put(&f, META_DURABLE, i, i), 0);
		fixture_kill(&f);
		snprintf(name, sizeof name, "d%u/super", i % 3);
		testdir_corrupt(f.root, name, i / 3 % 2 * DRIVE_BLOCK + 300, 1);
		fixture_reopen(&f, ALL(&f) & ~(1u << (i + 1) % 3));
	}
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(&f, i), i);
	fixture_end(&f);
}

static void position_waits_for_destage_H38(void **state)
{
	for (unsigned nth = 1; nth <= 12; nth++) {
		fixture_start_known(&f, 3, 1);
		assert_int_equal(put_blob(&f, META_DURABLE, 1, 1, 9000), 0);
		assert_int_equal(put_blob(&f, META_DURABLE, 2, 2, 30000), 0);
		fault_bench_rule(f.bench, NULL);
		fault_bench_rule(f.bench, &(struct fault_rule){
			.kind = FAULT_STOP, .slot = -1, .op = DRIVE_IO_SYNC, .nth = nth});
		(void)!meta_checkpoint(f.s);
		fixture_kill(&f);
		lose_power(&f, 0, 0);
		fixture_boot(&f, ALL(&f));
		assert_int_equal(check_blob(&f, 1, 1, 9000), 1);
		assert_int_equal(check_blob(&f, 2, 2, 30000), 1);
		fixture_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_epoch_has_no_vote_H1),
		cmocka_unit_test(dead_epoch_gives_no_durable_seq_H2),
		cmocka_unit_test(no_index_row_above_durable_H3),
		cmocka_unit_test(absent_cells_are_missing_H4),
		cmocka_unit_test(blank_drive_does_not_count_H6),
		cmocka_unit_test(an_unfinished_start_vouches_for_nothing_H32),
		cmocka_unit_test(what_read_only_showed_stays_H7),
		cmocka_unit_test(read_only_vouches_for_nothing_in_doubt_H8),
		cmocka_unit_test(falling_below_w_vouches_for_nothing_in_doubt),
		cmocka_unit_test(one_of_two_never_writes_H10),
		cmocka_unit_test(silence_is_padded_H16),
		cmocka_unit_test(a_removed_drive_proves_nothing_H17),
		cmocka_unit_test(no_answer_before_the_isr_is_flushed_H18),
		cmocka_unit_test(a_round_in_flight_waits_for_the_isr_H18),
		cmocka_unit_test(payload_is_made_whole_everywhere_H34),
		cmocka_unit_test(torn_cells_are_rebuilt),
		cmocka_unit_test(copies_are_flushed_before_epoch),
		cmocka_unit_test(replay_starts_at_the_slowest_copy),
		cmocka_unit_test(index_copies_come_back),
		cmocka_unit_test(recovery_flushes_what_it_did_not_write_H19),
		cmocka_unit_test(rot_is_never_the_older_value_H20),
		cmocka_unit_test(unserved_epoch_vouches_for_nothing_H24),
		cmocka_unit_test(torn_superblocks_promise_once_H30),
		cmocka_unit_test(a_rotten_slot_returns_no_epoch_and_no_id_H14),
		cmocka_unit_test(position_waits_for_destage_H38),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
