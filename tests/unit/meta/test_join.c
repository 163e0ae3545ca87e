/* SPDX-License-Identifier: Apache-2.0
 *
 * R10: a drive that comes back, or a blank one in its place, is taken in while the set serves. Slots count from 0.
 */
#include "set_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

#define SLOT(n) (1u << (n))
#define BYTES 300000u

static struct fixture f;

static void expect_index(unsigned slot, enum isr_index state)
{
	struct meta_stats st;

	meta_stats(f.s, &st);
	assert_int_equal(st.isr.slot[slot].index, state);
}

/* Keys base .. base + 2: a row, an inline blob, a large one. */
static void put_some(uint64_t base)
{
	assert_int_equal(put(&f, META_DURABLE, base, base), 0);
	assert_int_equal(put_blob(&f, META_DURABLE, base + 1, base + 1, 9000), 0);
	assert_int_equal(put_large(&f, META_DURABLE, base + 2, base + 2, BYTES), 0);
}

static void expect_some(uint64_t base)
{
	assert_int_equal(get(&f, base), base);
	assert_int_equal(check_blob(&f, base + 1, base + 1, 9000), 1);
	assert_int_equal(check_blob(&f, base + 2, base + 2, BYTES), 1);
}

/* ---- The same drive ----------------------------------------------------------------------------------------------- */
static void a_drive_comes_back(void **state)
{
	fixture_start_known(&f, 4, 2);
	put_some(10);
	drive_leaves(&f, 1);
	put_some(20);
	drive_returns(&f, 1);
	expect_index(1, ISR_INDEX_GOOD); /* no checkpoint was made without it */
	put_some(30);
	/* Its journal is whole: with one other drive it serves all rows and small blobs. What it missed of segments waits for
	 * healing, the rest of the segments is read. */
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(1) | SLOT(3));
	assert_int_equal(get(&f, 10), 10);
	expect_some(30);
	assert_int_equal(get(&f, 20), 20);
	assert_int_equal(check_blob(&f, 21, 21, 9000), 1);
	fixture_end(&f);
}

/* Segments that were born while it was joining or in are whole on it; those from before or meanwhile are named. */
static void missing_rows_are_exact(void **state)
{
	fixture_start_known(&f, 4, 2);
	put_some(10);
	assert_int_equal(meta_sync(f.s), 0);
	drive_leaves(&f, 1);
	assert_int_equal(missing_ranges(&f), 1); /* the open segment */
	put_some(20);
	assert_int_equal(missing_ranges(&f), 1); /* it goes on there */
	drive_returns(&f, 1);
	put_some(30);
	assert_int_equal(missing_ranges(&f), 1);
	fixture_kill(&f);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(missing_ranges(&f), 1);
	drive_leaves(&f, 2);
	put_some(40); /* a new segment, of a new epoch */
	assert_int_equal(missing_ranges(&f), 2);
	drive_returns(&f, 2);
	assert_int_equal(missing_ranges(&f), 2);
	fixture_end(&f);
}

/* More than the journal holds goes by while it is away. */
static void the_journal_went_on_without_it(void **state)
{
	fixture_start_known(&f, 4, 2);
	put_some(10);
	drive_leaves(&f, 2);
	for (uint64_t i = 100; i < 260; i++) {
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 30000), 0);
		if (i % 32 == 0)
			assert_int_equal(meta_checkpoint(f.s), 0);
	}
	drive_returns(&f, 2);
	expect_index(2, ISR_INDEX_NONE);
	for (uint64_t i = 300; i < 340; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 30000), 0);
	assert_int_equal(meta_checkpoint(f.s), 0); /* its index copy too */
	expect_index(2, ISR_INDEX_GOOD);
	put_some(20);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, ALL(&f));
	assert_int_equal(meta_checkpoint(f.s), 0);
	fixture_kill(&f);
	fixture_boot(&f, SLOT(2) | SLOT(3));
	for (uint64_t i = 100; i < 260; i++)
		assert_int_equal(get(&f, i), i);
	for (uint64_t i = 300; i < 340; i++)
		assert_int_equal(check_blob(&f, i, i, 30000), 1);
	expect_some(20);
	expect_counters(&f);
	fixture_end(&f);
}

/* An old drive with records of its own that the set dropped. */
static void a_dead_branch_is_cut(void **state)
{
	fixture_start_known(&f, 4, 2);
	put_some(10);
	assert_int_equal(put(&f, META_ORDERED, 20, 1), 0);
	assert_int_equal(put(&f, META_ORDERED, 21, 1), 0);
	fixture_kill(&f);
	lose_power(&f, SLOT(3), SLOT(3));
	fixture_boot(&f, SLOT(0) | SLOT(1) | SLOT(2));
	assert_int_equal(get(&f, 20), 0);
	assert_int_equal(put(&f, META_DURABLE, 20, 2), 0);
	drive_returns(&f, 3);
	put_some(30);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		fixture_boot(&f, SLOT(i) | SLOT(3));
		assert_int_equal(get(&f, 20), 2);
		assert_int_equal(get(&f, 21), 0);
		expect_some(30);
		fixture_close(&f);
	}
	fixture_end(&f);
}

/* ---- Another drive ------------------------------------------------------------------------------------------------ */
static void a_blank_drive_is_taken_in(void **state)
{
	struct super sup;

	fixture_start_known(&f, 4, 2);
	put_some(10);
	assert_int_equal(meta_checkpoint(f.s), 0);
	put_some(20);
	drive_leaves(&f, 1);
	drive_given_back(&f, 1);
	make_blank(&f, 1);
	assert_int_equal(drive_joins(&f, 1), 0);
	assert_true(slot_is_in(&f, 1));
	assert_int_equal(super_read(f.drive[1], true, &sup), 0);
	assert_true(sup.member);
	assert_int_equal(super_read(f.drive[0], true, &sup), 0);
	assert_int_equal(sup.isr.slot[1].state, ISR_IN);
	assert_memory_equal(sup.isr.slot[1].drive, f.drive[1]->id, 16);
	put_some(30);
	assert_int_equal(meta_checkpoint(f.s), 0);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_boot(&f, SLOT(1) | SLOT(2));
	assert_int_equal(get(&f, 10), 10);
	assert_int_equal(get(&f, 20), 20);
	expect_some(30);
	expect_counters(&f);
	fixture_end(&f);
}

/* A format that comes to nothing is begun again; what is formatted already is taken as it is. */
static void a_blank_drive_at_a_start_waits_until_the_set_serves(void **state)
{
	fixture_start_known(&f, 4, 2);
	put_some(10);
	fixture_close(&f);
	make_blank(&f, 3);
	fixture_boot(&f, ALL(&f));
	assert_false(slot_is_in(&f, 3));
	assert_null(meta_drive_of(f.s, 3));
	f.drive[3] = drive_close(f.drive[3]);
	assert_int_equal(drive_joins(&f, 3), 0);
	put_some(20);
	fixture_close(&f);
	fixture_boot(&f, SLOT(3) | SLOT(0));
	assert_int_equal(get(&f, 10), 10);
	expect_some(20);
	fixture_end(&f);
}

static void expect_refused(unsigned slot, int rc, const char *why)
{
	assert_int_equal(drive_joins(&f, slot), rc);
	assert_non_null(strstr(f.detail, why));
	assert_false(slot_is_in(&f, slot));
	drive_given_back(&f, slot);
}

static void run(const char *fmt)
{
	char cmd[400];

	snprintf(cmd, sizeof cmd, fmt, f.root, f.root);
	assert_int_equal(system(cmd), 0);
}

static void what_does_not_belong_here_is_refused(void **state)
{
	uint64_t ops;

	fixture_start_known(&f, 4, 2);
	put_some(10);
	drive_leaves(&f, 1);
	drive_given_back(&f, 1);
	run("mv %s/d1 %s/kept");
	/* Somebody's files. */
	run("mkdir %s/d1; touch %s/d1/thesis.tex");
	ops = fault_bench_ops(f.bench);
	expect_refused(1, -QE_DRIVE_FORMAT, "quoin drive");
	/* Another slot's drive, another set's, one that nothing tells who it is. */
	run("rm -r %s/d1; cp -r %s/d2 %1$s/d1");
	expect_refused(1, -QE_DRIVE_FOREIGN, "slot 2");
	run("rm -r %s/d1; cp -r %s/kept %1$s/d1; for f in identity super; do head -c 4096 /dev/zero | "
	    "dd of=%1$s/d1/$f conv=notrunc status=none; done; printf x | dd of=%1$s/d1/super bs=1 seek=4100 conv=notrunc status=none");
	expect_refused(1, -QE_DRIVE_FORMAT, "check that the directory");
	run("rm -r %s/d1; cp -r %s/kept %1$s/d1; for at in 4 4100; do "
	    "printf x | dd of=%1$s/d1/super bs=1 seek=$at conv=notrunc status=none; done");
	expect_refused(1, -QE_CORRUPT, "superblock");
	assert_int_equal(fault_bench_ops(f.bench), ops); /* nothing was written */
	run("rm -r %s/d1; mv %s/kept %1$s/d1");
	assert_int_equal(drive_joins(&f, 1), 0);
	fixture_end(&f);
}

/* Its drive may not be taken out, or nobody has the rows that the journal has dropped. */
static void the_last_index_copy_stays(void **state)
{
	fixture_start_known(&f, 4, 2);
	for (unsigned slot = 0; slot < 3; slot++) {
		drive_leaves(&f, slot);
		drive_given_back(&f, slot);
		make_blank(&f, slot);
		assert_int_equal(drive_joins(&f, slot), 0);
	}
	assert_int_equal(meta_slot_remove(f.s, 3, false, "the test says so"), -QE_BUSY);
	assert_true(slot_is_in(&f, 3));
	assert_int_equal(meta_checkpoint(f.s), 0);
	drive_leaves(&f, 3);
	fixture_end(&f);
}

static unsigned copies(void)
{
	struct meta_index_check c;

	assert_int_equal(meta_index_check(f.s, &c), 0);
	assert_int_equal(c.bad, 0);
	return c.copies;
}

static unsigned index_of(unsigned slot)
{
	struct meta_stats st;

	meta_stats(f.s, &st);
	return st.isr.slot[slot].index;
}

static void comes_back_blank(unsigned slot)
{
	drive_leaves(&f, slot);
	drive_given_back(&f, slot);
	make_blank(&f, slot);
	assert_int_equal(drive_joins(&f, slot), 0);
}

/* A wide set has copies on M + 2 drives: one that comes back blank gets one where there was one, the others never. */
static void a_wide_set_has_few_index_copies(void **state)
{
	fixture_start_known(&f, 8, 3);
	assert_int_equal(copies(), 5);
	put_some(10);
	assert_int_equal(meta_checkpoint(f.s), 0);
	comes_back_blank(6);
	comes_back_blank(4);
	for (unsigned i = 0; i < 3; i++) {
		put_some(20 + i);
		assert_int_equal(meta_checkpoint(f.s), 0);
	}
	assert_int_equal(copies(), 5);
	assert_int_equal(index_of(4), ISR_INDEX_GOOD);
	assert_int_equal(index_of(6), ISR_INDEX_NONE);
	put_some(30);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f) & ~(SLOT(0) | SLOT(1) | SLOT(2)));
	assert_int_equal(get(&f, 10), 10);
	expect_some(30);
	expect_counters(&f);
	fixture_end(&f);
}

/* ---- Failures ----------------------------------------------------------------------------------------------------- */
/* One operation of the joining drive fails: it is out as before, the set goes on, and the next attempt succeeds. */
static void every_failure_of_the_drive_leaves_it_out(void **state)
{
	unsigned failed = 0, nth = 1;

	for (bool blank = false;; blank = true) {
		for (nth = 1;; nth += 3) {
			fixture_start_known(&f, 4, 2);
			put_some(10);
			drive_leaves(&f, 1);
			put_some(20);
			drive_given_back(&f, 1);
			if (blank)
				make_blank(&f, 1);
			fault_bench_rule(f.bench, &(struct fault_rule){
				.kind = FAULT_ERROR, .slot = 1, .op = -1, .nth = nth, .once = true});
			int rc = drive_joins(&f, 1);
			put_some(30);
			assert_true(meta_writable(f.s));
			if (rc == 0) {
				fixture_end(&f);
				break;
			}
			failed++;
			assert_false(slot_is_in(&f, 1));
			fault_bench_rule(f.bench, NULL);
			drive_returns(&f, 1);
			put_some(40);
			fixture_kill(&f);
			lose_power(&f, 0, 0);
			fixture_boot(&f, SLOT(1) | SLOT(2));
			assert_int_equal(get(&f, 10), 10);
			assert_int_equal(get(&f, 20), 20);
			assert_int_equal(get(&f, 30), 30);
			expect_some(40);
			fixture_end(&f);
		}
		if (blank)
			break;
	}
	assert_true(failed > 10);
}

/* The process dies, or the power fails, at every operation of R10 on any drive: what was answered is there, whoever of the
 * set is left, and the drive joins afterwards. */
static void expect_after_crash(uint32_t mask)
{
	fixture_boot(&f, mask);
	assert_int_equal(get(&f, 10), 10);
	assert_int_equal(get(&f, 20), 20);
	assert_int_equal(check_blob(&f, 21, 21, 9000), 1);
	expect_counters(&f);
	fixture_close(&f);
}

static bool crash_at(unsigned nth, bool blank, bool power)
{
	fixture_start_known(&f, 4, 2);
	put_some(10);
	drive_leaves(&f, 1);
	put_some(20);
	drive_given_back(&f, 1);
	if (blank)
		make_blank(&f, 1);
	fault_bench_rule(f.bench, &(struct fault_rule){.kind = FAULT_STOP, .slot = -1, .op = -1, .nth = nth});
	int rc = drive_joins(&f, 1);
	bool stopped = fault_bench_stopped(f.bench);
	assert_true(stopped || rc == 0);
	fixture_kill(&f);
	if (power)
		fault_bench_power_loss(f.bench, ALL(&f));
	if (stopped) {
		expect_after_crash(SLOT(0) | SLOT(2) | SLOT(3));
		fixture_boot(&f, ALL(&f));
		if (!slot_is_in(&f, 1)) {
			drive_given_back(&f, 1);
			assert_int_equal(drive_joins(&f, 1), 0);
		}
		put_some(30);
		fixture_kill(&f);
		lose_power(&f, 0, 0);
		fixture_boot(&f, SLOT(1) | SLOT(nth % 2 ? 2 : 3));
		assert_int_equal(get(&f, 10), 10);
		assert_int_equal(get(&f, 20), 20);
		expect_some(30);
	}
	fixture_end(&f);
	return stopped;
}

static void a_crash_anywhere_is_safe(void **state)
{
	uint64_t step = 7;
	unsigned crashes = 0;

	(void)!str_to_u64(str_of(getenv("QUOIN_CRASH_STEP")), &step);
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned nth = 1 + kind; crash_at(nth, kind & 1, kind & 2); nth += (unsigned)step)
			crashes++;
	assert_true(crashes > 20);
}

/* ---- Under load --------------------------------------------------------------------------------------------------- */
struct load {
	pthread_t thread;
	bool stop;
	uint64_t base, done;
	int rc;
};

static void *load_run(void *arg)
{
	struct load *l = arg;

	while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
		uint64_t key = l->base + l->done;
		int rc = l->done % 5 == 4 ? put_large(&f, META_DURABLE, key, key, BYTES) :
					    put_blob(&f, META_DURABLE, key, key, 5000);
		if (rc == -QE_QUORUM_WRITE)
			continue; /* two drives left, one after the other, while it was on its way */
		if (rc < 0) {
			l->rc = rc; /* cmocka's asserts are for its own thread */
			break;
		}
		l->done++;
	}
	return NULL;
}

static void writers_go_on_while_it_joins(void **state)
{
	struct load l[3] = {{.base = 10000}, {.base = 20000}, {.base = 30000}};

	fixture_start(&f, 4, 2, false);
	f.p.no_background = false;
	f.p.journal_files = 16;
	f.p.checkpoint_idle_ns = NS_PER_S;
	fixture_reopen(&f, ALL(&f));
	put_some(10);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&l[i].thread, NULL, load_run, &l[i]), 0);
	for (unsigned turn = 0; turn < 6; turn++) {
		unsigned slot = turn % 4;
		drive_leaves(&f, slot);
		clock_sleep_ns(20 * NS_PER_MS);
		drive_given_back(&f, slot);
		if (turn == 2)
			make_blank(&f, slot);
		/* On a busy disk it may not keep up with the writers: then it is out as before, and comes again. */
		int rc = drive_joins(&f, slot);
		for (unsigned again = 0; rc < 0 && again < 10; again++) {
			drive_given_back(&f, slot);
			rc = drive_joins(&f, slot);
		}
		if (rc < 0)
			fail_msg("turn %u: %s", turn, f.detail);
		clock_sleep_ns(20 * NS_PER_MS);
	}
	for (unsigned i = 0; i < 3; i++) {
		__atomic_store_n(&l[i].stop, true, __ATOMIC_RELAXED);
		assert_int_equal(pthread_join(l[i].thread, NULL), 0);
		if (l[i].rc < 0)
			fail_msg("after %llu puts: %s", (unsigned long long)l[i].done, err_text(l[i].rc));
	}
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < 3; i++)
			for (uint64_t k = 0; k < l[i].done; k++) {
				uint64_t key = l[i].base + k;
				assert_int_equal(check_blob(&f, key, key, k % 5 == 4 ? BYTES : 5000), 1);
			}
		if (turn == 0) {
			fixture_kill(&f);
			fixture_reopen(&f, ALL(&f));
		}
	}
	expect_counters(&f);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drive_comes_back),
		cmocka_unit_test(missing_rows_are_exact),
		cmocka_unit_test(the_journal_went_on_without_it),
		cmocka_unit_test(a_dead_branch_is_cut),
		cmocka_unit_test(a_blank_drive_is_taken_in),
		cmocka_unit_test(a_blank_drive_at_a_start_waits_until_the_set_serves),
		cmocka_unit_test(what_does_not_belong_here_is_refused),
		cmocka_unit_test(the_last_index_copy_stays),
		cmocka_unit_test(a_wide_set_has_few_index_copies),
		cmocka_unit_test(every_failure_of_the_drive_leaves_it_out),
		cmocka_unit_test(a_crash_anywhere_is_safe),
		cmocka_unit_test(writers_go_on_while_it_joins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
