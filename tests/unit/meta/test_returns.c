/* SPDX-License-Identifier: Apache-2.0
 *
 * The histories of TRACES.md in which a drive returns to its set, or is replaced, while it serves; and the property that
 * stands behind most of them: whatever was answered while a drive joined is there after a power loss. Slots count from 0.
 */
#include "heal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

#define SLOT(n) (1u << (n))
#define BYTES 300000u

static struct fixture f;

static void run(const char *fmt)
{
	char cmd[400];

	snprintf(cmd, sizeof cmd, fmt, f.root, f.root);
	assert_int_equal(system(cmd), 0);
}

/* Leaves, and a blank one in its place is in. */
static void replace(unsigned slot)
{
	drive_leaves(&f, slot);
	drive_given_back(&f, slot);
	make_blank(&f, slot);
	if (drive_joins(&f, slot) < 0)
		fail_msg("slot %u is not replaced: %s", slot, f.detail);
}

static void rule(enum fault_kind kind, int slot, const char *name, int op, uint64_t nth, bool once)
{
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = kind, .slot = slot, .name = name, .op = op, .nth = nth, .once = once});
}

/* ---- A drive that joins, held in the middle ------------------------------------------------------------------------ */
static pthread_t joiner;
static int join_rc;

static void *join_main(void *arg)
{
	join_rc = drive_joins(&f, (unsigned)(uintptr_t)arg);
	return NULL;
}

/* It gets all that is written from here on, and hangs in the flush of what was copied. */
static void joins_and_hangs(unsigned slot)
{
	bool gets_all = false;

	rule(FAULT_HANG, (int)slot, "journal/", DRIVE_IO_SYNC, 1, true);
	assert_int_equal(pthread_create(&joiner, NULL, join_main, (void *)(uintptr_t)slot), 0);
	for (unsigned i = 0; i < 5000 && !gets_all; i++) {
		clock_sleep_ns(NS_PER_MS);
		mutex_lock(&f.s->writer);
		gets_all = f.s->join_mask & 1u << slot;
		mutex_unlock(&f.s->writer);
	}
	assert_true(gets_all);
}

/* The process dies there. */
static void dies_while_it_joins(void)
{
	fault_bench_rule(f.bench, NULL);
	rule(FAULT_STOP, -1, NULL, -1, 1, false);
	fault_bench_release(f.bench);
	assert_int_equal(pthread_join(joiner, NULL), 0);
	assert_true(join_rc < 0);
	fixture_kill(&f);
}

/* A start without a drive names its cells missing, since it cannot know them flushed: readable once healing has looked. */
static void expect_unless_named(uint64_t key)
{
	int rc = check_blob(&f, key, key, BYTES);

	assert_true(rc == 1 || rc == -QE_QUORUM_READ);
}

/* ---- The histories ------------------------------------------------------------------------------------------------- */
static void a_cell_that_was_absent_stays_named_H4(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_ORDERED, 1, 1, BYTES), 0);
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(0) | SLOT(1));
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(missing_ranges(&f), 1);
	drive_returns(&f, 2);
	assert_int_equal(missing_ranges(&f), 1);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), -QE_QUORUM_READ); /* never wrong, never thought to be whole */
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_end(&f);
}

static void cells_for_a_joining_slot_are_named_until_it_is_in_H5_H22(void **state)
{
	fixture_start_known(&f, 3, 1);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	joins_and_hangs(0);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	dies_while_it_joins();
	lose_power(&f, ALL(&f), SLOT(1) | SLOT(2)); /* the cell of 0 is gone */
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_true(meta_writable(f.s));
	assert_true(slot_is_in(&f, 0));
	assert_true(get(&f, 1) != 0);
	assert_true(missing_ranges(&f) >= 1);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), -QE_QUORUM_READ);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	expect_unless_named(1);
	fixture_end(&f);
}

static void *put_main(void *arg)
{
	const char *what = arg;
	int rc = *what == 'j' ? put_blob(&f, META_DURABLE, 1, 1, 9000) : put_large(&f, META_DURABLE, 1, 1, BYTES);

	assert_int_equal(rc, 0);
	return NULL;
}

/* A write hangs in the kernel; its drive is removed by the timeout, and may not come back before the write has landed. */
static void late_write(const char *name)
{
	pthread_t writer;
	struct drive *old;

	fixture_start_known(&f, 4, 2);
	fixture_kill(&f);
	f.p.drive_timeout_ns = 50 * NS_PER_MS;
	fixture_boot(&f, ALL(&f));
	rule(FAULT_HANG, 0, name, DRIVE_IO_WRITE, *name == 'j' ? 1 : 2, true);
	assert_int_equal(pthread_create(&writer, NULL, put_main, (void *)(uintptr_t)name), 0);
	for (unsigned i = 0; i < 2000 && slot_is_in(&f, 0); i++) {
		clock_sleep_ns(NS_PER_MS);
		meta_tick(f.s);
	}
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_false(slot_is_in(&f, 0));
	assert_int_equal(put_blob(&f, META_DURABLE, 2, 2, 9000), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(meta_slot_release(f.s, 0, &old), -EBUSY);
	fault_bench_release(f.bench);
	for (unsigned i = 0; i < 50; i++) {
		clock_sleep_ns(NS_PER_MS);
		meta_tick(f.s);
	}
	drive_returns(&f, 0);
	assert_int_equal(put_blob(&f, META_DURABLE, 3, 3, 9000), 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1) | SLOT(2));
	assert_true(meta_writable(f.s));
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	assert_int_equal(check_blob(&f, 3, 3, 9000), 1);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 1, 1, *name == 'j' ? 9000 : BYTES), 1);
	fixture_end(&f);
}

static void a_late_write_is_harmless_H12_H33(void **state)
{
	late_write("journal/");
	late_write("seg/");
}

static void replaced_drives_carry_the_set_H13(void **state)
{
	fixture_start_known(&f, 4, 2);
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 20000), 0);
	for (unsigned slot = 0; slot < 2; slot++) {
		replace(slot);
		assert_int_equal(meta_checkpoint(f.s), 0); /* its index copy */
	}
	for (uint64_t i = 21; i <= 40; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 20000), 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_false(meta_writable(f.s));
	for (uint64_t i = 1; i <= 40; i++)
		assert_int_equal(get(&f, i), i);
	for (uint64_t i = 21; i <= 40; i++)
		assert_int_equal(check_blob(&f, i, i, 20000), 1);
	expect_counters(&f);
	fixture_end(&f);
}

static void an_old_drive_does_not_speak_for_its_slot_H15(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	drive_leaves(&f, 2);
	drive_given_back(&f, 2);
	run("cp -r %s/d2 %s/old");
	make_blank(&f, 2);
	assert_int_equal(drive_joins(&f, 2), 0);
	drive_leaves(&f, 0);
	assert_int_equal(put(&f, META_DURABLE, 1, 12), 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	run("mv %s/d2 %s/new");
	run("mv %s/old %s/d2");
	fault_bench_rule(f.bench, NULL);
	assert_int_equal(fixture_open(&f, SLOT(0) | SLOT(2)), -QE_QUORUM_READ);
	run("mv %s/d2 %s/old");
	run("mv %s/new %s/d2");
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_int_equal(get(&f, 1), 12);
	fixture_end(&f);
}

static void a_drive_whose_joining_was_lost_does_not_count_H21(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	drive_leaves(&f, 0);
	drive_given_back(&f, 0);
	make_blank(&f, 0);
	rule(FAULT_STOP, -1, "journal/", DRIVE_IO_SYNC, 1, false); /* the flush of the record `joining` */
	assert_true(drive_joins(&f, 0) < 0);
	assert_true(fault_bench_stopped(f.bench));
	fixture_kill(&f);
	lose_power(&f, SLOT(0), SLOT(0));
	fault_bench_rule(f.bench, NULL);
	assert_int_equal(fixture_open(&f, SLOT(0) | SLOT(2)), -QE_QUORUM_READ);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_end(&f);
}

static void a_cell_from_before_it_left_is_in_no_mask_H23(void **state)
{
	struct erasure_blob eb;

	fixture_start_known(&f, 3, 1);
	assert_int_equal(large_begin(&f, 1, BYTES, &eb), 0);
	assert_int_equal(eb.stripes[0].slot_mask, 7);
	drive_leaves(&f, 0);
	drive_returns(&f, 0);
	assert_int_equal(put_large_begun(&f, META_DURABLE, 1, 1, BYTES, &eb), 0);
	assert_true(missing_ranges(&f) >= 1);
	fixture_kill(&f);
	lose_power(&f, 0, 0); /* what slot 0 had unflushed when it left is gone */
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_true(meta_writable(f.s));
	assert_true(get(&f, 1) != 0); /* not dropped: slot 0 was never said to have it */
	assert_int_equal(check_blob(&f, 1, 1, BYTES), -QE_QUORUM_READ);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	expect_unless_named(1);
	fixture_end(&f);
}

static void a_replacement_is_known_to_the_others_H27(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	replace(2);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_true(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 2), 22);
	fixture_end(&f);
}

static void rows_that_were_lost_are_put_again_H28(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	drive_leaves(&f, 2);
	unsigned before = missing_ranges(&f);
	drive_given_back(&f, 2);
	make_blank(&f, 2);
	/* The record `joining` is written, and lost with the power. */
	rule(FAULT_STOP, -1, "journal/", DRIVE_IO_SYNC, 1, false);
	assert_true(drive_joins(&f, 2) < 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(missing_ranges(&f), before);
	drive_given_back(&f, 2);
	assert_int_equal(drive_joins(&f, 2), 0);
	assert_true(missing_ranges(&f) > before);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), -QE_QUORUM_READ);
	fixture_end(&f);
}

static void a_payload_is_whole_when_its_drive_is_in_H34_H35(void **state)
{
	fixture_start_known(&f, 3, 1);
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put_blob(&f, META_DURABLE, 2, 2, 9000), 0);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(check_blob(&f, 2, 2, 9000), -QE_QUORUM_READ);
	assert_true(meta_checkpoint(f.s) < 0);
	/* The drive with the other cell comes while the set serves: the payload is there again, whole on every drive. */
	drive_returns(&f, 2);
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(0) | SLOT(1));
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	fixture_end(&f);
}

/* ---- A power loss around the record `in` --------------------------------------------------------------------------- */
/* The cells of all payloads in the newest log of a drive, as when a record was written and only its first block arrived. */
static void lose_payload_cells(unsigned slot)
{
	char path[128];
	uint8_t block[4096], zero[4096] = {0};

	snprintf(path, sizeof path, "%s/d%u/journal/0000000000000001.log", f.root, slot);
	int fd = open(path, O_RDWR);
	if (fd < 0) /* a blank drive that got no log yet */
		return;
	for (off_t off = 4096; pread(fd, block, sizeof block, off) == (ssize_t)sizeof block; off += 4096)
		if (memcmp(block, "QJR1", 4) == 0 && le32_get(block + 72) > 4096)
			assert_int_equal(pwrite(fd, zero, sizeof zero, off + 4096), sizeof zero);
	close(fd);
}

/* With the drive back, and healed, it is as good as the others. */
static void healed_it_is_whole(void (*check)(void))
{
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	for (unsigned i = 0; i < 4; i++) /* with an index copy on each */
		assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(heal(&f), 1);
	check();
	for (unsigned lost = 1; lost < 3; lost++) {
		fixture_close(&f);
		fixture_boot(&f, ALL(&f) & ~SLOT(lost));
		check();
	}
}

static void large_is_there(void)
{
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
}

static void both_are_there(void)
{
	large_is_there();
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
}

/* While slot 0 joins, something is put and answered; then it goes on, and the power fails at the nth change of any drive from
 * there on: slot 0 keeps its records and loses every cell that it has not flushed. False: it was in before. */
static bool power_fails_at(uint64_t nth, bool payload, uint32_t boot, bool *ret_named)
{
	fixture_start_known(&f, 3, 1);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	joins_and_hangs(0);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	if (payload)
		assert_int_equal(put_blob(&f, META_DURABLE, 2, 2, 9000), 0);
	fault_bench_rule(f.bench, NULL);
	rule(FAULT_STOP, -1, NULL, -1, nth, false);
	fault_bench_release(f.bench);
	assert_int_equal(pthread_join(joiner, NULL), 0);
	bool stopped = fault_bench_stopped(f.bench), lost = join_rc < 0;
	fixture_kill(&f);
	lose_power(&f, ALL(&f), SLOT(1) | SLOT(2));
	if (payload && lost)
		lose_payload_cells(0);
	fixture_boot(&f, boot);
	assert_true(meta_writable(f.s));
	assert_true(get(&f, 1) != 0);
	*ret_named = missing_ranges(&f) > 0;
	return stopped;
}

static void a_stripe_is_listed_until_the_joiner_has_flushed_it_H31(void **state)
{
	bool named;

	for (uint64_t nth = 1; power_fails_at(nth, false, SLOT(0) | SLOT(2), &named); nth++) {
		int rc = check_blob(&f, 1, 1, BYTES);
		assert_true(rc == 1 || (rc == -QE_QUORUM_READ && named));
		healed_it_is_whole(large_is_there);
		fixture_end(&f);
	}
	large_is_there();
	fixture_end(&f);
}

static void nothing_becomes_durable_while_in_is_written_H36(void **state)
{
	bool named;

	for (uint64_t nth = 1; power_fails_at(nth, true, ALL(&f), &named); nth++) {
		both_are_there();
		fixture_kill(&f);
		fixture_boot(&f, SLOT(0) | SLOT(1));
		assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
		int rc = check_blob(&f, 1, 1, BYTES);
		assert_true(rc == 1 || (rc == -QE_QUORUM_READ && named));
		healed_it_is_whole(both_are_there);
		fixture_end(&f);
	}
	both_are_there();
	fixture_end(&f);
}

static int put_rc;

static void *put_second_main(void *arg)
{
	put_rc = put_blob(&f, META_DURABLE, 1, 22, 9000);
	return NULL;
}

/* Slot 0 joins while the second value of a key is on its way, the flush of slot 1 fails at once and it leaves; the power
 * fails at the nth change. Slot 0 has records and no cells of them, slot 1 nothing that it had not flushed. */
static bool a_flush_fails_then_power(uint64_t nth)
{
	pthread_t putter;

	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_blob(&f, META_DURABLE, 1, 11, 9000), 0);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	joins_and_hangs(0);
	fault_bench_rule(f.bench, NULL);
	fail_io(&f, 1, "journal/", DRIVE_IO_SYNC, 1);
	rule(FAULT_STOP, -1, NULL, -1, nth, false);
	assert_int_equal(pthread_create(&putter, NULL, put_second_main, NULL), 0);
	fault_bench_release(f.bench);
	assert_int_equal(pthread_join(joiner, NULL), 0);
	assert_int_equal(pthread_join(putter, NULL), 0);
	bool stopped = fault_bench_stopped(f.bench);
	fixture_kill(&f);
	lose_power(&f, SLOT(0) | SLOT(2), SLOT(2));
	if (put_rc < 0)
		lose_payload_cells(0);
	return stopped;
}

static void an_unreadable_put_that_was_never_answered_is_dropped_H39(void **state)
{
	bool stopped = true;

	for (uint64_t nth = 1; stopped; nth++) {
		stopped = a_flush_fails_then_power(nth);
		fixture_boot(&f, ALL(&f));
		assert_true(meta_writable(f.s));
		uint64_t value = get(&f, 1);
		assert_true(put_rc < 0 ? value == 11 || value == 22 : value == 22);
		assert_int_equal(check_blob(&f, 1, value, 9000), 1);
		fixture_end(&f);
	}
}

static void an_old_drive_lacks_every_segment_H37(void **state)
{
	fixture_start_known(&f, 3, 1);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	drive_leaves(&f, 0);
	drive_given_back(&f, 0);
	run("cp -r %s/d0 %s/old");
	make_blank(&f, 0);
	assert_int_equal(drive_joins(&f, 0), 0);
	assert_int_equal(put_large(&f, META_DURABLE, 4, 4, BYTES), 0);
	fixture_kill(&f);
	run("rm -r %s/d0 && mv %s/old %1$s/d0");
	fixture_boot(&f, SLOT(1) | SLOT(2));
	unsigned before = missing_ranges(&f);
	drive_given_back(&f, 0);
	assert_int_equal(drive_joins(&f, 0), 0);
	assert_true(missing_ranges(&f) > before);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(0) | SLOT(2));
	assert_true(get(&f, 4) != 0);
	assert_int_equal(check_blob(&f, 4, 4, BYTES), -QE_QUORUM_READ);
	fixture_close(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 4, 4, BYTES), 1);
	fixture_end(&f);
}

/* Its calls do not return; when the journal gets full, the set goes on without it. */
static void a_drive_that_hangs_while_it_joins_delays_nobody(void **state)
{
	struct meta_stats st;
	unsigned checkpoints = 0;

	fixture_start_known(&f, 4, 2);
	drive_leaves(&f, 1);
	drive_given_back(&f, 1);
	joins_and_hangs(1);
	for (uint64_t i = 1; i <= 600; i++) {
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 30000), 0);
		meta_stats(f.s, &st);
		if (st.journal_free > 3)
			continue;
		assert_int_equal(meta_checkpoint(f.s), 0);
		checkpoints++;
	}
	assert_true(checkpoints > 1);
	assert_int_equal(f.s->join_mask, 0);
	fault_bench_release(f.bench);
	assert_int_equal(pthread_join(joiner, NULL), 0);
	assert_true(join_rc < 0);
	assert_false(slot_is_in(&f, 1));
	fault_bench_rule(f.bench, NULL);
	drive_returns(&f, 1);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, ALL(&f) & ~SLOT(0));
	for (uint64_t i = 1; i <= 600; i++)
		assert_int_equal(check_blob(&f, i, i, 30000), 1);
	fixture_end(&f);
}

/* ---- in_built_before_flush, old_drive_back, payload_whole ---------------------------------------------------------- */
#define KEYS 400

struct writing {
	pthread_t thread;
	bool stop;
	unsigned answered; /* keys 1000 .. 1000 + answered */
};

static bool is_large(unsigned i)
{
	return i % 4 == 3;
}

static void *write_main(void *arg)
{
	struct writing *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED) && w->answered < KEYS) {
		uint64_t key = 1000 + w->answered;
		int rc = is_large(w->answered) ? put_large(&f, META_DURABLE, key, key, BYTES) :
						 put_blob(&f, META_DURABLE, key, key, 3000);
		if (rc < 0)
			break;
		w->answered++;
	}
	return NULL;
}

static void expect_answered(const struct writing *w)
{
	for (unsigned i = 0; i < w->answered; i++) {
		int rc = check_blob(&f, 1000 + i, 1000 + i, is_large(i) ? BYTES : 3000);
		if (rc != 1)
			fail_msg("key %u of %u answered: %d", i, w->answered, rc);
	}
}

static void one_life(uint64_t seed)
{
	struct writing w = {0};
	unsigned slot = (unsigned)(rnd64(&seed) % 4);
	bool blank = rnd64(&seed) % 2;

	fixture_start_known(&f, 4, 2);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	drive_leaves(&f, slot);
	assert_int_equal(put_large(&f, META_DURABLE, 2, 2, BYTES), 0);
	drive_given_back(&f, slot);
	if (blank)
		make_blank(&f, slot);
	rule(FAULT_STOP, -1, NULL, -1, 1 + rnd64(&seed) % 500, false);
	assert_int_equal(pthread_create(&w.thread, NULL, write_main, &w), 0);
	(void)!drive_joins(&f, slot);
	for (unsigned i = 0; i < 200 && !fault_bench_stopped(f.bench); i++)
		clock_sleep_ns(NS_PER_MS);
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(w.thread, NULL), 0);
	fixture_kill(&f);
	fault_bench_power_loss(f.bench, ALL(&f));
	/* One may be away; the one that joined lacks at most its own cells. */
	uint32_t away = rnd64(&seed) % 2 ? SLOT(rnd64(&seed) % 4) : 0;
	fixture_boot(&f, ALL(&f) & ~away);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	assert_int_equal(check_blob(&f, 2, 2, BYTES), 1);
	expect_answered(&w);
	expect_counters(&f);
	fixture_end(&f);
}

static void what_was_answered_while_a_drive_joined_is_there(void **state)
{
	uint64_t lives = 40;

	(void)!str_to_u64(str_of(getenv("QUOIN_RETURN_LIVES")), &lives);
	for (uint64_t seed = 1; seed <= lives; seed++)
		one_life(seed * 7919);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cell_that_was_absent_stays_named_H4),
		cmocka_unit_test(cells_for_a_joining_slot_are_named_until_it_is_in_H5_H22),
		cmocka_unit_test(a_late_write_is_harmless_H12_H33),
		cmocka_unit_test(replaced_drives_carry_the_set_H13),
		cmocka_unit_test(an_old_drive_does_not_speak_for_its_slot_H15),
		cmocka_unit_test(a_drive_whose_joining_was_lost_does_not_count_H21),
		cmocka_unit_test(a_cell_from_before_it_left_is_in_no_mask_H23),
		cmocka_unit_test(a_replacement_is_known_to_the_others_H27),
		cmocka_unit_test(rows_that_were_lost_are_put_again_H28),
		cmocka_unit_test(a_payload_is_whole_when_its_drive_is_in_H34_H35),
		cmocka_unit_test(a_stripe_is_listed_until_the_joiner_has_flushed_it_H31),
		cmocka_unit_test(nothing_becomes_durable_while_in_is_written_H36),
		cmocka_unit_test(an_unreadable_put_that_was_never_answered_is_dropped_H39),
		cmocka_unit_test(an_old_drive_lacks_every_segment_H37),
		cmocka_unit_test(a_drive_that_hangs_while_it_joins_delays_nobody),
		cmocka_unit_test(what_was_answered_while_a_drive_joined_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
