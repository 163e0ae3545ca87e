/* SPDX-License-Identifier: Apache-2.0
 *
 * The I/O queue, with io_uring (where the machine allows it) and with threads.
 */
#include "unit/drive/unit.h"
#include "unit/drive/held.h"

#include <poll.h>
#include <pthread.h>

#include "base/clock.h"

#define BLOCKS 64

static struct drive_file *f;
static unsigned done_count;

static int setup_file(void **state)
{
	setup_drive(state);
	done_count = 0;
	return drive_open(d, "seg/1", DRIVE_CREATE | DRIVE_PREWRITE, BLOCKS * DRIVE_BLOCK, &f);
}

static int teardown_file(void **state)
{
	drive_file_unref(f);
	return teardown_drive(state);
}

static void count_done(struct drive_io *io)
{
	__atomic_fetch_add(&done_count, 1, __ATOMIC_RELEASE);
}

static void reap_all(struct drive_queue *q)
{
	while (drive_queue_inflight(q))
		assert_true(drive_queue_reap(q, 10 * NS_PER_S) > 0);
}

static void fill_io(struct drive_io *io, enum drive_io_op op, unsigned flags, void *buf, size_t len, uint64_t off)
{
	*io = (struct drive_io){.file = f, .op = op, .flags = flags, .buf = buf, .len = len, .off = off};
	io->done = count_done;
}

static void write_sync_read(bool threads, unsigned flags)
{
	struct drive_queue *q = drive_queue_new(8, threads);
	struct drive_io io[BLOCKS];
	uint8_t *w = block_of(0, BLOCKS), *r = block_of(0, BLOCKS);

	assert_non_null(q);
	assert_true(!threads || !drive_queue_is_uring(q));
	for (unsigned i = 0; i < BLOCKS; i++) {
		memset(w + i * DRIVE_BLOCK, (int)i + 1, DRIVE_BLOCK);
		fill_io(&io[i], DRIVE_IO_WRITE, flags, w + i * DRIVE_BLOCK, DRIVE_BLOCK, i * DRIVE_BLOCK);
		drive_queue_submit(q, &io[i]);
	}
	/* Many more than the depth of 8. */
	drive_queue_flush(q);
	reap_all(q);
	assert_int_equal(done_count, BLOCKS);
	fill_io(&io[0], DRIVE_IO_SYNC, 0, NULL, 0, 0);
	drive_queue_submit(q, &io[0]);
	drive_queue_flush(q);
	reap_all(q);
	assert_int_equal(io[0].result, 0);
	fill_io(&io[1], DRIVE_IO_READ, flags & DRIVE_DIRECT, r, BLOCKS * DRIVE_BLOCK, 0);
	drive_queue_submit(q, &io[1]);
	drive_queue_flush(q);
	reap_all(q);
	assert_int_equal(io[1].result, 0);
	assert_memory_equal(w, r, BLOCKS * DRIVE_BLOCK);
	for (unsigned i = 2; i < BLOCKS; i++)
		assert_int_equal(io[i].result, 0);
	assert_null(drive_queue_free(q));
	struct drive_stats st;
	drive_stats(d, &st);
	assert_int_equal(st.writes, BLOCKS);
	assert_int_equal(st.bytes_written, BLOCKS * DRIVE_BLOCK);
	assert_int_equal(st.syncs, 1);
	assert_int_equal(st.reads, 1);
	free(w);
	free(r);
}

static void ring_buffered(void **state)
{
	write_sync_read(false, 0);
}

static void ring_direct_dsync(void **state)
{
	write_sync_read(false, DRIVE_DIRECT | DRIVE_DSYNC);
}

static void threads_buffered(void **state)
{
	write_sync_read(true, 0);
}

static void threads_direct_dsync(void **state)
{
	write_sync_read(true, DRIVE_DIRECT | DRIVE_DSYNC);
}

static void ends_and_errors(bool threads)
{
	struct drive_queue *q = drive_queue_new(4, threads);
	struct drive_io io[6];
	struct drive_stats st;
	char *p = block_of(0, 2);

	/* Short at the end of the file, behind it, empty, misaligned, on a drive that is out. */
	fill_io(&io[0], DRIVE_IO_READ, 0, p, 2 * DRIVE_BLOCK, (BLOCKS - 1) * DRIVE_BLOCK);
	fill_io(&io[1], DRIVE_IO_READ, DRIVE_DIRECT, p, DRIVE_BLOCK, BLOCKS * DRIVE_BLOCK);
	fill_io(&io[2], DRIVE_IO_READ, 0, p, 0, 0);
	fill_io(&io[3], DRIVE_IO_WRITE, DRIVE_DIRECT, p, 100, 0);
	fill_io(&io[4], DRIVE_IO_READ, 0, p, 1, BLOCKS * DRIVE_BLOCK - 1);
	for (int i = 0; i < 5; i++)
		drive_queue_submit(q, &io[i]);
	drive_set_out(d, true, NULL);
	fill_io(&io[5], DRIVE_IO_READ, 0, p, 1, 0);
	drive_queue_submit(q, &io[5]);
	drive_set_out(d, false, NULL);
	drive_queue_flush(q);
	reap_all(q);
	assert_int_equal(io[0].result, -QE_END_OF_FILE);
	assert_int_equal(io[1].result, -QE_END_OF_FILE);
	assert_int_equal(io[2].result, 0);
	assert_int_equal(io[3].result, -EINVAL);
	assert_int_equal(io[4].result, 0);
	assert_int_equal(io[5].result, -EIO);
	drive_stats(d, &st);
	assert_int_equal(st.errors, 1); /* not what the file lacks */
	drive_queue_free(q);
	free(p);
}

static void ring_ends_and_errors(void **state)
{
	ends_and_errors(false);
}

static void threads_ends_and_errors(void **state)
{
	ends_and_errors(true);
}

static void fd_becomes_readable(bool threads)
{
	struct drive_queue *q = drive_queue_new(4, threads);
	struct pollfd p = {.fd = drive_queue_fd(q), .events = POLLIN};
	struct drive_io io;
	char c;

	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(drive_queue_reap(q, 0), 0);
	assert_int_equal(drive_queue_reap(q, NS_PER_MS), 0);
	for (int i = 0; i < 3; i++) {
		fill_io(&io, DRIVE_IO_READ, 0, &c, 1, 0);
		drive_queue_submit(q, &io);
		drive_queue_flush(q);
		/* The kernel may signal more often than it completes. */
		do
			assert_int_equal(poll(&p, 1, 10000), 1);
		while (drive_queue_reap(q, 0) == 0);
		assert_int_equal(drive_queue_inflight(q), 0);
	}
	drive_queue_free(q);
}

static void ring_fd_becomes_readable(void **state)
{
	fd_becomes_readable(false);
}

static void threads_fd_becomes_readable(void **state)
{
	fd_becomes_readable(true);
}

static void submit_again(struct drive_io *io)
{
	if (++done_count < 50)
		drive_queue_submit(io->owner, io);
}

static void done_may_submit(bool threads)
{
	struct drive_queue *q = drive_queue_new(1, threads);
	struct drive_io io;
	char c;

	fill_io(&io, DRIVE_IO_READ, 0, &c, 1, 0);
	io.done = submit_again;
	io.owner = q;
	drive_queue_submit(q, &io);
	/* free flushes and waits, for what is submitted on the way too */
	drive_queue_free(q);
	assert_int_equal(done_count, 50);
}

static void ring_done_may_submit(void **state)
{
	done_may_submit(false);
}

static void threads_done_may_submit(void **state)
{
	done_may_submit(true);
}

#define PER_THREAD 500

static void *submit_many(void *arg)
{
	struct drive_queue *q = arg;
	struct drive_io *io = calloc(PER_THREAD, sizeof *io);
	static char sink[PER_THREAD];

	for (unsigned i = 0; i < PER_THREAD; i++) {
		fill_io(&io[i], DRIVE_IO_READ, 0, &sink[i], 1, 0);
		drive_queue_submit(q, &io[i]);
		if (i % 7 == 0)
			drive_queue_flush(q);
	}
	drive_queue_flush(q);
	return io;
}

static void many_submitters_and_reapers(bool threads)
{
	struct drive_queue *q = drive_queue_new(16, threads);
	pthread_t t[4];
	void *io[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, submit_many, q), 0);
	uint64_t end = clock_mono_ns() + 60 * NS_PER_S;
	while (__atomic_load_n(&done_count, __ATOMIC_RELAXED) < 4 * PER_THREAD) {
		drive_queue_reap(q, 100 * NS_PER_MS);
		assert_true(clock_mono_ns() < end);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], &io[i]);
	assert_int_equal(drive_queue_inflight(q), 0);
	drive_queue_free(q);
	for (int i = 0; i < 4; i++)
		free(io[i]);
}

static void ring_many_submitters(void **state)
{
	many_submitters_and_reapers(false);
}

static void threads_many_submitters(void **state)
{
	many_submitters_and_reapers(true);
}

/* ---- The lane ----------------------------------------------------------------------------------------------------- */
struct lane_owner {
	struct drive_queue *q;
	unsigned calls;
};

static void lane_finished(void *arg)
{
	struct lane_owner *o = arg;

	drive_queue_reap(o->q, 0);
	__atomic_fetch_add(&o->calls, 1, __ATOMIC_RELAXED);
}

static bool done_within(unsigned n, uint64_t ns)
{
	uint64_t end = clock_mono_ns() + ns;

	while (__atomic_load_n(&done_count, __ATOMIC_ACQUIRE) < n && clock_mono_ns() < end)
		clock_sleep_ns(NS_PER_MS);
	return __atomic_load_n(&done_count, __ATOMIC_ACQUIRE) >= n;
}

static void submit_blocks(struct drive_queue *q, struct drive_io *io, uint8_t *w)
{
	for (unsigned i = 0; i < 4; i++) {
		memset(w + i * DRIVE_BLOCK, (int)i + 1, DRIVE_BLOCK);
		fill_io(&io[i], DRIVE_IO_WRITE, 0, w + i * DRIVE_BLOCK, DRIVE_BLOCK, i * DRIVE_BLOCK);
		drive_queue_submit(q, &io[i]);
	}
	drive_queue_flush(q);
}

/* What waits behind it is done by another thread; it stays with its buffer until it returns. */
static void lane_goes_on_behind_a_write_that_hangs(void **state)
{
	struct lane_owner o = {0};
	struct drive_io io[4];
	uint8_t *w = block_of(0, 4), r[DRIVE_BLOCK];

	hold_calls();
	o.q = drive_queue_new_lane(lane_finished, &o);
	assert_non_null(o.q);
	submit_blocks(o.q, io, w);
	assert_false(done_within(1, 50 * NS_PER_MS));
	for (unsigned i = 1; i < 4; i++)
		assert_true(__atomic_load_n(&io[i].submit_ns, __ATOMIC_RELAXED) == DRIVE_NOT_BEGUN);
	drive_queue_watch(o.q, NS_PER_S);
	assert_false(done_within(1, 20 * NS_PER_MS));
	drive_queue_watch(o.q, 10 * NS_PER_MS);
	assert_true(done_within(3, 10 * NS_PER_S));
	assert_int_equal(drive_queue_inflight(o.q), 1);
	assert_int_equal(drive_changes(d), 1);
	let_calls_go();
	assert_true(done_within(4, 10 * NS_PER_S));
	o.q = drive_queue_free(o.q);
	held_done();
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(io[i].result, 0);
		assert_int_equal(drive_pread(f, r, DRIVE_BLOCK, i * DRIVE_BLOCK, 0), 0);
		assert_memory_equal(r, w + i * DRIVE_BLOCK, DRIVE_BLOCK);
	}
	free(w);
}

/* One call for all that waited, by the lane's own thread; more may be submitted from it. */
static void lane_tells_its_owner(void **state)
{
	struct lane_owner o = {0};
	struct drive_io io[4];
	uint8_t *w = block_of(0, 4);

	o.q = drive_queue_new_lane(lane_finished, &o);
	assert_non_null(o.q);
	for (unsigned turn = 1; turn <= 100; turn++) {
		submit_blocks(o.q, io, w);
		assert_true(done_within(4 * turn, 10 * NS_PER_S));
	}
	o.q = drive_queue_free(o.q);
	assert_true(o.calls >= 100 && o.calls <= 400);
	free(w);
}

#define QTEST(name) cmocka_unit_test_setup_teardown(name, setup_file, teardown_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		QTEST(ring_buffered),
		QTEST(ring_direct_dsync),
		QTEST(threads_buffered),
		QTEST(threads_direct_dsync),
		QTEST(ring_ends_and_errors),
		QTEST(threads_ends_and_errors),
		QTEST(ring_fd_becomes_readable),
		QTEST(threads_fd_becomes_readable),
		QTEST(ring_done_may_submit),
		QTEST(threads_done_may_submit),
		QTEST(ring_many_submitters),
		QTEST(threads_many_submitters),
		QTEST(lane_goes_on_behind_a_write_that_hangs),
		QTEST(lane_tells_its_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
