/* SPDX-License-Identifier: Apache-2.0
 *
 * The faulty drive: each fault, and what a kill and a power loss leave.
 */
#include "unit/drive/unit.h"

#include <stdio.h>

#include "base/clock.h"
#include "drive/drive_faulty.h"
#include "drive/identity.h"
#include "drive/super.h"

#define SIZE (16 * DRIVE_BLOCK)

static struct fault_bench *b;
static struct drive_file *f;

static void open_faulty(void)
{
	assert_int_equal(drive_faulty_open(b, dir, &d), 0);
}

static void close_faulty(void)
{
	drive_file_unref(f);
	f = NULL;
	d = drive_close(d);
}

/* The process is started again, without rules. */
static void restart(void)
{
	close_faulty();
	fault_bench_rule(b, NULL);
	open_faulty();
	assert_int_equal(drive_open(d, "journal/1", 0, 0, &f), 0);
}

static void lose_power(void)
{
	close_faulty();
	fault_bench_power_loss(b, 1);
	open_faulty();
	assert_int_equal(drive_open(d, "journal/1", 0, 0, &f), 0);
}

static int setup(void **state)
{
	dir = testdir_new();
	b = fault_bench_new(1);
	open_faulty();
	return drive_open(d, "journal/1", DRIVE_CREATE | DRIVE_PREWRITE, SIZE, &f);
}

static int teardown(void **state)
{
	close_faulty();
	b = fault_bench_free(b);
	testdir_remove(dir);
	return 0;
}

static void rule(enum fault_kind kind, int op, uint64_t nth, bool once)
{
	struct fault_rule r = {.kind = kind, .slot = -1, .op = op, .nth = nth, .once = once};

	fault_bench_rule(b, &r);
}

static int put(int c, unsigned block, unsigned flags)
{
	uint8_t p[DRIVE_BLOCK];

	memset(p, c, sizeof p);
	return drive_pwrite(f, p, sizeof p, block * DRIVE_BLOCK, flags);
}

/* The one byte that fills the block, or -1. */
static int get(unsigned block)
{
	uint8_t p[DRIVE_BLOCK];

	assert_int_equal(drive_pread(f, p, sizeof p, block * DRIVE_BLOCK, 0), 0);
	return memcmp(p, p + 1, sizeof p - 1) == 0 ? p[0] : -1;
}

static bool keep_none(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	return false;
}

static bool keep_all(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	return true;
}

static bool keep_block(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	assert_int_equal(slot, 0);
	assert_string_equal(name, "journal/1");
	return off == *(unsigned *)arg * DRIVE_BLOCK;
}

static void lose_power_by(bool (*keep)(void *, unsigned, const char *, uint64_t, size_t), void *arg)
{
	close_faulty();
	fault_bench_power_loss_by(b, 1, keep, arg);
	fault_bench_rule(b, NULL);
	open_faulty();
	assert_int_equal(drive_open(d, "journal/1", 0, 0, &f), 0);
}

static void it_works_like_a_drive(void **state)
{
	struct super sb = {.n = 4}, t;
	struct identity id = {.slot = 3}, got;
	struct drive_space sp;

	/* A blank one, in a directory of its own. */
	char *path = testdir_path(dir, "second");
	struct drive *second;
	testdir_mkdir(dir, "second");
	assert_int_equal(drive_faulty_open(b, path, &second), 0);
	assert_int_equal(identity_read(second, &got), -ENODATA);
	assert_int_equal(super_format(second, &sb), 0);
	assert_int_equal(identity_format(second, &id), 0);
	drive_close(second);
	fault_bench_power_loss(b, 2);
	assert_int_equal(drive_faulty_open(b, path, &second), 0);
	assert_int_equal(identity_read(second, &got), 0);
	assert_int_equal(got.slot, 3);
	assert_int_equal(super_read(second, false, &t), 0);
	assert_int_equal(t.generation, 1);
	assert_int_equal(drive_space(second, &sp), 0);
	drive_close(second);
	free(path);
}

static void kill_keeps_what_was_written(void **state)
{
	assert_int_equal(put('a', 1, 0), 0);
	restart();
	assert_int_equal(get(1), 'a');
	size_t len;
	char *p = testdir_read(dir, "journal/1", &len);
	assert_int_equal(len, SIZE);
	assert_int_equal(p[DRIVE_BLOCK], 'a');
	free(p);
	/* It is still not flushed. */
	assert_int_equal(fault_bench_missed_syncs(b), 1);
	lose_power_by(keep_none, NULL);
	assert_int_equal(get(1), 0);
	assert_int_equal(fault_bench_missed_syncs(b), 0);
}

static void power_loss_keeps_what_was_flushed(void **state)
{
	assert_int_equal(put('a', 1, 0), 0);
	assert_int_equal(put('b', 2, 0), 0);
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(put('c', 3, DRIVE_DSYNC), 0);
	assert_int_equal(put('d', 4, 0), 0);
	lose_power_by(keep_none, NULL);
	assert_int_equal(get(1), 'a');
	assert_int_equal(get(2), 'b');
	assert_int_equal(get(3), 'c');
	assert_int_equal(get(4), 0);
	assert_int_equal(put('d', 4, 0), 0);
	lose_power_by(keep_all, NULL);
	assert_int_equal(get(4), 'd');
}

static void each_unflushed_write_is_judged_alone(void **state)
{
	unsigned keep = 2;

	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(put('a', i, 0), 0);
	lose_power_by(keep_block, &keep);
	assert_int_equal(get(1), 0);
	assert_int_equal(get(2), 'a');
	assert_int_equal(get(3), 0);
}

static bool keep_nth(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	unsigned *mask = arg;
	bool keep = *mask & 1;

	*mask >>= 1;
	return keep;
}

static void overlapping_writes_keep_their_order(void **state)
{
	/* Of writes a, b over flushed f: none, a, b, both. */
	static const char left[] = {'f', 'a', 'b', 'b'};

	for (unsigned i = 0; i < 4; i++) {
		unsigned mask = i;
		assert_int_equal(put('f', 1, DRIVE_DSYNC), 0);
		assert_int_equal(put('a', 1, 0), 0);
		assert_int_equal(put('b', 1, 0), 0);
		assert_int_equal(get(1), 'b');
		lose_power_by(keep_nth, &mask);
		assert_int_equal(get(1), left[i]);
	}
}

static void a_flushed_write_covers_older_ones(void **state)
{
	uint8_t p[3 * DRIVE_BLOCK];

	memset(p, 'a', sizeof p);
	assert_int_equal(drive_pwrite(f, p, sizeof p, 0, 0), 0);
	assert_int_equal(put('b', 1, DRIVE_DSYNC), 0);
	lose_power_by(keep_none, NULL);
	assert_int_equal(get(0), 0);
	assert_int_equal(get(1), 'b');
	assert_int_equal(get(2), 0);
}

static void power_loss_drops_growth(void **state)
{
	assert_int_equal(put('a', 20, 0), 0);
	lose_power_by(keep_none, NULL);
	assert_int_equal(f->size, SIZE);
	assert_int_equal(put('a', 20, 0), 0);
	assert_int_equal(drive_sync(f), 0);
	lose_power_by(keep_none, NULL);
	assert_int_equal(f->size, 21 * DRIVE_BLOCK);
	assert_int_equal(get(20), 'a');
}

static void random_power_loss_shows_all_outcomes(void **state)
{
	int kept = 0, dropped = 0, torn = 0;

	for (int i = 0; i < 100; i++) {
		assert_int_equal(put('o', 1, DRIVE_DSYNC), 0);
		assert_int_equal(put('n', 1, 0), 0);
		lose_power();
		uint8_t p[DRIVE_BLOCK];
		assert_int_equal(drive_pread(f, p, sizeof p, DRIVE_BLOCK, 0), 0);
		for (int s = 0; s < DRIVE_BLOCK; s++)
			assert_true((p[s] == 'o' || p[s] == 'n') && p[s] == p[s / 512 * 512]);
		int c = get(1);
		kept += c == 'n';
		dropped += c == 'o';
		torn += c == -1;
	}
	assert_true(kept > 10 && dropped > 10 && torn > 10);
}

static void one_seed_gives_one_outcome(void **state)
{
	uint8_t *first = NULL;

	for (int i = 0; i < 2; i++) {
		teardown(state);
		setup(state);
		for (int n = 0; n < 30; n++)
			assert_int_equal(put('a' + n, (unsigned)n % 16, 0), 0);
		lose_power();
		uint8_t *p = testdir_read(dir, "journal/1", NULL);
		if (first)
			assert_memory_equal(first, p, SIZE);
		free(first);
		first = p;
	}
	free(first);
}

static void stop_changes_nothing_more(void **state)
{
	struct drive_file *g;

	rule(FAULT_STOP, -1, 2, false);
	assert_int_equal(put('a', 1, 0), 0);
	assert_false(fault_bench_stopped(b));
	assert_int_equal(put('b', 2, 0), -EIO);
	assert_true(fault_bench_stopped(b));
	assert_int_equal(put('c', 3, 0), -EIO);
	assert_int_equal(drive_sync(f), -EIO);
	assert_int_equal(drive_unlink(d, "journal/1"), -EIO);
	assert_int_equal(drive_open(d, "journal/1", 0, 0, &g), -EIO);
	restart();
	assert_int_equal(get(1), 'a');
	assert_int_equal(get(2), 0);
	assert_int_equal(get(3), 0);
}

static void ops_are_counted_as_rules_do(void **state)
{
	uint64_t before = fault_bench_ops(b);

	assert_int_equal(put('a', 1, 0), 0);
	assert_int_equal(get(1), 'a');
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(drive_rename(d, "journal/1", "journal/2"), 0);
	assert_int_equal(fault_bench_ops(b) - before, 3);
	assert_int_equal(drive_rename(d, "journal/2", "journal/1"), 0);
}

static void rules_match_slot_name_and_op(void **state)
{
	struct fault_rule r = {.kind = FAULT_ERROR, .slot = 1, .op = -1, .nth = 1};

	fault_bench_rule(b, &r);
	assert_int_equal(put('a', 1, 0), 0);
	r.slot = 0;
	r.name = "seg/";
	fault_bench_rule(b, &r);
	assert_int_equal(put('a', 1, 0), 0);
	r.name = "journal/";
	r.op = DRIVE_IO_READ;
	r.nth = 2;
	r.once = true;
	fault_bench_rule(b, &r);
	assert_int_equal(get(1), 'a');
	uint8_t c;
	assert_int_equal(drive_pread(f, &c, 1, 0, 0), -EIO);
	assert_int_equal(get(1), 'a');
	assert_int_equal(put('a', 1, 0), 0);
}

static void a_failed_write_and_a_full_drive_change_nothing(void **state)
{
	struct drive_file *g;

	rule(FAULT_ERROR, DRIVE_IO_WRITE, 1, true);
	rule(FAULT_ENOSPC, DRIVE_IO_WRITE, 2, true);
	assert_int_equal(put('a', 1, 0), -EIO);
	assert_int_equal(put('a', 1, 0), -ENOSPC);
	assert_int_equal(get(1), 0);
	fault_bench_rule(b, NULL);
	rule(FAULT_ENOSPC, -1, 1, true);
	assert_int_equal(drive_open(d, "seg/1", DRIVE_CREATE, 4096, &g), -ENOSPC);
	assert_false(testdir_exists(dir, "seg/1"));
}

static void a_cold_read_says_so_to_who_may_not_wait(void **state)
{
	uint8_t p[DRIVE_BLOCK];

	assert_int_equal(put('c', 1, 0), 0);
	rule(FAULT_COLD, DRIVE_IO_READ, 1, false);
	assert_int_equal(drive_pread(f, p, sizeof p, DRIVE_BLOCK, DRIVE_NOWAIT), -EAGAIN);
	assert_int_equal(drive_pread(f, p, sizeof p, DRIVE_BLOCK, 0), 0);
	assert_int_equal(p[0], 'c');
	assert_int_equal(drive_pread(f, p, sizeof p, DRIVE_BLOCK, DRIVE_NOWAIT), -EAGAIN);
	fault_bench_rule(b, NULL);
	assert_int_equal(drive_pread(f, p, sizeof p, DRIVE_BLOCK, DRIVE_NOWAIT), 0);
}

static void a_failed_sync_loses_its_pages(void **state)
{
	assert_int_equal(put('f', 1, DRIVE_DSYNC), 0);
	assert_int_equal(put('a', 1, 0), 0);
	assert_int_equal(put('a', 2, 0), 0);
	rule(FAULT_ERROR, DRIVE_IO_SYNC, 1, true);
	assert_int_equal(drive_sync(f), -EIO);
	assert_int_equal(put('b', 3, 0), 0);
	assert_int_equal(put('b', 2, 0), 0);
	/* The next one succeeds and lies, except for what was written since. */
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(get(1), 'a');
	assert_int_equal(fault_bench_missed_syncs(b), 1);
	assert_int_equal(put('c', 4, 0), 0);
	assert_int_equal(drive_drop_clean(f), 0);
	assert_int_equal(get(1), 'f');
	assert_int_equal(get(4), 'c');
	lose_power_by(keep_all, NULL);
	assert_int_equal(get(1), 'f');
	assert_int_equal(get(2), 'b');
	assert_int_equal(get(3), 'b');
	assert_int_equal(get(4), 'c');
}

static void a_failed_sync_is_dropped_by_power_loss(void **state)
{
	assert_int_equal(put('a', 1, 0), 0);
	rule(FAULT_ERROR, DRIVE_IO_SYNC, 1, true);
	assert_int_equal(drive_sync(f), -EIO);
	assert_int_equal(drive_sync(f), 0);
	lose_power_by(keep_all, NULL);
	assert_int_equal(get(1), 0);
}

static void a_torn_write_stops_the_process(void **state)
{
	uint8_t p[SIZE];

	rule(FAULT_TORN, DRIVE_IO_WRITE, 1, true);
	memset(p, 'a', sizeof p);
	assert_int_equal(drive_pwrite(f, p, sizeof p, 0, DRIVE_DSYNC), -EIO);
	assert_true(fault_bench_stopped(b));
	assert_int_equal(drive_sync(f), -EIO);
	restart();
	assert_int_equal(drive_pread(f, p, sizeof p, 0, 0), 0);
	unsigned n = 0;
	while (n < SIZE && p[n] == 'a')
		n++;
	assert_true(n < SIZE && n % 512 == 0);
	for (; n < SIZE; n++)
		assert_int_equal(p[n], 0);
	lose_power_by(keep_none, NULL);
	assert_int_equal(get(0), 0);
}

static void lost_and_misdirected_writes_report_success(void **state)
{
	rule(FAULT_LOST, DRIVE_IO_WRITE, 1, true);
	rule(FAULT_MISDIRECTED, DRIVE_IO_WRITE, 2, true);
	assert_int_equal(put('a', 1, DRIVE_DSYNC), 0);
	assert_int_equal(put('b', 3, DRIVE_DSYNC), 0);
	assert_int_equal(get(1), 0);
	assert_int_equal(get(3), 0);
	assert_int_equal(get(4), 'b');
}

static void punch_is_a_write(void **state)
{
	assert_int_equal(put('a', 1, DRIVE_DSYNC), 0);
	assert_int_equal(drive_punch(f, 0, SIZE), 0);
	assert_int_equal(get(1), 0);
	lose_power_by(keep_none, NULL);
	assert_int_equal(get(1), 'a');
}

static void a_torn_name_change_may_go_either_way(void **state)
{
	for (int keep = 0; keep < 2; keep++) {
		struct drive_file *g;
		assert_int_equal(drive_open(d, "spare/n", DRIVE_CREATE, 4096, &g), 0);
		drive_file_unref(g);
		assert_int_equal(drive_open(d, "seg/n", DRIVE_CREATE, 8192, &g), 0);
		drive_file_unref(g);
		rule(FAULT_TORN, -1, 1, true);
		assert_int_equal(drive_rename(d, "spare/n", "seg/n"), -EIO);
		lose_power_by(keep ? keep_all : keep_none, NULL);
		assert_int_equal(testdir_exists(dir, "spare/n"), !keep);
		assert_int_equal(drive_open(d, "seg/n", 0, 0, &g), 0);
		assert_int_equal(g->size, keep ? 4096 : 8192);
		drive_file_unref(g);

		rule(FAULT_TORN, -1, 1, true);
		assert_int_equal(drive_unlink(d, "seg/n"), -EIO);
		lose_power_by(keep ? keep_all : keep_none, NULL);
		assert_int_equal(testdir_exists(dir, "seg/n"), !keep);

		rule(FAULT_TORN, -1, 1, true);
		assert_int_equal(drive_open(d, "seg/c", DRIVE_CREATE, 8192, &g), -EIO);
		lose_power_by(keep ? keep_all : keep_none, NULL);
		assert_int_equal(testdir_exists(dir, "seg/c"), keep);
		if (!keep) {
			assert_int_equal(drive_unlink(d, "seg/n"), 0);
			assert_int_equal(drive_unlink(d, "spare/n"), 0);
		}
	}
}

static void unflushed_writes_follow_a_rename(void **state)
{
	assert_int_equal(put('a', 1, 0), 0);
	assert_int_equal(drive_rename(d, "journal/1", "journal/2"), 0);
	close_faulty();
	fault_bench_power_loss_by(b, 1, keep_none, NULL);
	open_faulty();
	assert_int_equal(drive_open(d, "journal/2", 0, 0, &f), 0);
	assert_int_equal(get(1), 0);
}

static void power_loss_kills_open_drives(void **state)
{
	struct drive_file *g;

	assert_int_equal(put('a', 1, 0), 0);
	fault_bench_power_loss(b, 1);
	assert_int_equal(put('a', 2, 0), -EIO);
	assert_int_equal(drive_open(d, "journal/1", 0, 0, &g), -EIO);
	restart();
	assert_int_equal(put('a', 2, 0), 0);
}

static unsigned done_count;

static void count_done(struct drive_io *io)
{
	done_count++;
}

static void queued_io(bool threads)
{
	struct drive_queue *q = drive_queue_new(4, threads);
	uint8_t p[DRIVE_BLOCK];
	struct drive_io io = {.file = f, .op = DRIVE_IO_WRITE, .buf = p, .len = sizeof p, .off = DRIVE_BLOCK};

	memset(p, 'q', sizeof p);
	io.done = count_done;
	done_count = 0;
	drive_queue_submit(q, &io);
	drive_queue_flush(q);
	assert_int_equal(drive_queue_reap(q, 0), 1);
	assert_int_equal(io.result, 0);
	assert_int_equal(get(1), 'q');

	rule(FAULT_HANG, DRIVE_IO_WRITE, 1, true);
	io.off = 2 * DRIVE_BLOCK;
	drive_queue_submit(q, &io);
	drive_queue_flush(q);
	assert_int_equal(drive_queue_reap(q, 5 * NS_PER_MS), 0);
	assert_int_equal(drive_queue_inflight(q), 1);
	assert_int_equal(get(2), 0);
	fault_bench_release(b);
	assert_int_equal(drive_queue_reap(q, 0), 1);
	assert_int_equal(get(2), 'q');

	rule(FAULT_ERROR, DRIVE_IO_SYNC, 1, true);
	io.op = DRIVE_IO_SYNC;
	drive_queue_submit(q, &io);
	assert_int_equal(drive_queue_reap(q, 0), 1);
	assert_int_equal(io.result, -EIO);
	assert_int_equal(done_count, 3);
	drive_queue_free(q);
	fault_bench_rule(b, NULL);
}

static void queued_io_on_a_ring(void **state)
{
	queued_io(false);
}

static void queued_io_on_threads(void **state)
{
	queued_io(true);
}

/* The promise of the superblock, stopped and torn at every operation, with every later power loss: an old state or the
 * new one is read, and the new one once super_write has returned 0. */
static void super_survives_a_crash_at_every_step(void **state)
{
	struct super s = {.n = 4}, t;
	uint64_t promised = 0;

	assert_int_equal(super_format(d, &s), 0);
	for (unsigned i = 0; i < 120; i++) {
		s.promised = promised + 1;
		rule(i % 2 ? FAULT_TORN : FAULT_STOP, -1, 1 + i % 3, true);
		int rc = super_write(d, &s);
		lose_power();
		fault_bench_rule(b, NULL);
		assert_int_equal(super_read(d, false, &t), 0);
		assert_true(t.promised == promised + 1 || (rc < 0 && t.promised == promised));
		promised = t.promised;
		s = t;
	}
	assert_true(promised > 40);
}

#define FTEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FTEST(it_works_like_a_drive),
		FTEST(kill_keeps_what_was_written),
		FTEST(power_loss_keeps_what_was_flushed),
		FTEST(each_unflushed_write_is_judged_alone),
		FTEST(overlapping_writes_keep_their_order),
		FTEST(a_flushed_write_covers_older_ones),
		FTEST(power_loss_drops_growth),
		FTEST(random_power_loss_shows_all_outcomes),
		FTEST(one_seed_gives_one_outcome),
		FTEST(stop_changes_nothing_more),
		FTEST(ops_are_counted_as_rules_do),
		FTEST(rules_match_slot_name_and_op),
		FTEST(a_failed_write_and_a_full_drive_change_nothing),
		FTEST(a_cold_read_says_so_to_who_may_not_wait),
		FTEST(a_failed_sync_loses_its_pages),
		FTEST(a_failed_sync_is_dropped_by_power_loss),
		FTEST(a_torn_write_stops_the_process),
		FTEST(lost_and_misdirected_writes_report_success),
		FTEST(punch_is_a_write),
		FTEST(a_torn_name_change_may_go_either_way),
		FTEST(unflushed_writes_follow_a_rename),
		FTEST(power_loss_kills_open_drives),
		FTEST(queued_io_on_a_ring),
		FTEST(queued_io_on_threads),
		FTEST(super_survives_a_crash_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
