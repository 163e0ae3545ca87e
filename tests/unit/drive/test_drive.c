/* SPDX-License-Identifier: Apache-2.0
 *
 * Local drives: files, names, health.
 */
#include "unit/drive/unit.h"
#include "unit/drive/held.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"

static int count_names(void *arg, const char *name)
{
	++*(int *)arg;
	return 0;
}

static int names_in(const char *sub)
{
	int n = 0;

	assert_int_equal(drive_list(d, sub, count_names, &n), 0);
	return n;
}

static int stop_at_first(void *arg, const char *name)
{
	return 7;
}

static void open_makes_nothing(void **state)
{
	assert_int_equal(names_in("."), 0);
}

static void open_reports_bad_directories(void **state)
{
	struct drive *other;
	char *path = testdir_path(dir, "none");

	assert_int_equal(drive_posix_open(path, &other), -ENOENT);
	testdir_write(dir, "none", "x", 1);
	assert_int_equal(drive_posix_open(path, &other), -ENOTDIR);
	free(path);
}

static void bytes_come_back(unsigned flags)
{
	struct drive_file *f;
	char *w = block_of('w', 4);
	char *r = block_of(0, 4);

	assert_int_equal(drive_open(d, "seg/1.seg", DRIVE_CREATE | DRIVE_PREWRITE, 1 << 20, &f), 0);
	assert_int_equal(f->size, 1 << 20);
	assert_int_equal(drive_pwrite(f, w, 4 * DRIVE_BLOCK, 2 * DRIVE_BLOCK, flags), 0);
	assert_int_equal(drive_pread(f, r, 4 * DRIVE_BLOCK, 2 * DRIVE_BLOCK, flags), 0);
	assert_memory_equal(w, r, 4 * DRIVE_BLOCK);
	assert_int_equal(drive_pread(f, r, DRIVE_BLOCK, DRIVE_BLOCK, flags), 0);
	assert_int_equal(r[0] | r[DRIVE_BLOCK - 1], 0);
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(drive_drop_clean(f), 0);
	/* Behind the end. */
	assert_int_equal(drive_pread(f, r, DRIVE_BLOCK, 1 << 20, flags), -QE_END_OF_FILE);
	drive_file_unref(f);
	assert_int_equal(drive_open(d, "seg/1.seg", 0, 0, &f), 0);
	assert_int_equal(f->size, 1 << 20);
	drive_file_unref(f);
	free(w);
	free(r);
}

static void buffered_io(void **state)
{
	bytes_come_back(0);
}

static void direct_io(void **state)
{
	bytes_come_back(DRIVE_DIRECT);
}

static void direct_dsync_io(void **state)
{
	bytes_come_back(DRIVE_DIRECT | DRIVE_DSYNC);
}

static void direct_io_falls_back_where_it_is_refused(void **state)
{
	d->direct = false;
	bytes_come_back(DRIVE_DIRECT);
}

static void misaligned_direct_io_is_refused(void **state)
{
	struct drive_file *f;
	char *p = block_of(1, 2);

	assert_int_equal(drive_open(d, "a", DRIVE_CREATE, 8192, &f), 0);
	assert_int_equal(drive_pwrite(f, p + 1, 4096, 0, DRIVE_DIRECT), -EINVAL);
	assert_int_equal(drive_pwrite(f, p, 4095, 0, DRIVE_DIRECT), -EINVAL);
	assert_int_equal(drive_pread(f, p, 4096, 512, DRIVE_DIRECT), -EINVAL);
	assert_int_equal(drive_pwrite(f, p + 1, 4095, 7, 0), 0);
	drive_file_unref(f);
	free(p);
}

static void direct_io_follows_a_renamed_file(void **state)
{
	struct drive_file *f, *g;
	char *p = block_of('x', 1);
	char *r = block_of(0, 1);

	assert_int_equal(drive_open(d, "spare/1", DRIVE_CREATE, 4096, &f), 0);
	assert_int_equal(drive_rename(d, "spare/1", "seg/1.seg"), 0);
	assert_int_equal(drive_open(d, "spare/1", DRIVE_CREATE, 4096, &g), 0);
	assert_int_equal(drive_pwrite(f, p, 4096, 0, DRIVE_DIRECT), 0);
	assert_int_equal(drive_pread(g, r, 4096, 0, 0), 0);
	assert_int_equal(r[0], 0);
	drive_file_unref(f);
	drive_file_unref(g);
	assert_int_equal(drive_open(d, "seg/1.seg", 0, 0, &f), 0);
	assert_int_equal(drive_pread(f, r, 4096, 0, 0), 0);
	assert_memory_equal(p, r, 4096);
	drive_file_unref(f);
	free(p);
	free(r);
}

static void nowait_reads_the_cache_or_says_eagain(void **state)
{
	struct drive_file *f;
	char *p = block_of('x', 1);

	assert_int_equal(drive_open(d, "a", DRIVE_CREATE | DRIVE_PREWRITE, 4096, &f), 0);
	assert_int_equal(drive_pwrite(f, p, 4096, 0, 0), 0);
	int rc = drive_pread(f, p, 4096, 0, DRIVE_NOWAIT);
	assert_true(rc == 0 || rc == -EAGAIN);
	drive_file_unref(f);
	struct drive_stats st;
	drive_stats(d, &st);
	assert_int_equal(st.errors, 0);
	free(p);
}

static void names(void **state)
{
	struct drive_file *f;

	assert_int_equal(drive_open(d, "journal/1.log", 0, 0, &f), -ENOENT);
	assert_int_equal(drive_open(d, "journal/1.log", DRIVE_CREATE, 100, &f), 0);
	drive_file_unref(f);
	assert_int_equal(drive_open(d, "journal/1.log", DRIVE_CREATE, 100, &f), -EEXIST);
	assert_int_equal(drive_rename(d, "journal/1.log", "journal/2.log"), 0);
	assert_int_equal(drive_rename(d, "journal/1.log", "journal/3.log"), -ENOENT);
	assert_int_equal(drive_open(d, "journal/2.log", 0, 0, &f), 0);
	drive_file_unref(f);
	assert_int_equal(names_in("journal"), 1);
	assert_int_equal(drive_list(d, "journal", stop_at_first, NULL), 7);
	assert_int_equal(drive_list(d, "nothing", stop_at_first, NULL), -ENOENT);
	assert_int_equal(drive_unlink(d, "journal/2.log"), 0);
	assert_int_equal(drive_unlink(d, "journal/2.log"), -ENOENT);
	assert_int_equal(names_in("journal"), 0);
	assert_int_equal(drive_mkdir(d, "seg"), 0);
	assert_int_equal(drive_mkdir(d, "seg"), 0);
	assert_int_equal(drive_open(d, "seg", 0, 0, &f), -EISDIR);
}

static void failed_create_leaves_nothing(void **state)
{
	struct drive_file *f;

	/* Larger than any file system allows. */
	assert_true(drive_open(d, "big", DRIVE_CREATE, 1ULL << 62, &f) < 0);
	assert_int_equal(names_in("."), 0);
}

static uint64_t blocks_taken(const char *name)
{
	struct stat st;
	char *path = testdir_path(dir, name);

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return (uint64_t)st.st_blocks * 512;
}

static void a_hole_reads_zero_and_is_filled_when_asked_for(void **state)
{
	struct drive_file *f;
	char *p = block_of('x', 256);
	char *r = block_of('x', 256);

	assert_int_equal(drive_open(d, "a", DRIVE_CREATE | DRIVE_PREWRITE, 1 << 20, &f), 0);
	assert_int_equal(drive_pwrite(f, p, 1 << 20, 0, 0), 0);
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(drive_punch(f, 4096, 1 << 19), 0);
	memset(p + 4096, 0, 1 << 19);
	assert_int_equal(drive_pread(f, r, 1 << 20, 0, 0), 0);
	assert_memory_equal(p, r, 1 << 20);
	drive_file_unref(f);
	assert_true(blocks_taken("a") < 1 << 20);
	assert_int_equal(drive_open(d, "a", DRIVE_NO_HOLES, 0, &f), 0);
	assert_true(blocks_taken("a") >= 1 << 20);
	assert_int_equal(drive_pread(f, r, 1 << 20, 0, 0), 0);
	assert_memory_equal(p, r, 1 << 20);
	drive_file_unref(f);
	free(p);
	free(r);
}

static void space_is_told(void **state)
{
	struct drive_space sp;

	assert_int_equal(drive_space(d, &sp), 0);
	assert_true(sp.total_bytes > 0 && sp.free_bytes <= sp.total_bytes);
	drive_set_spare_bytes(d, UINT64_MAX / 2); /* they are on it */
	assert_int_equal(drive_space(d, &sp), 0);
	assert_true(sp.free_bytes == sp.total_bytes);
	drive_set_spare_bytes(d, 0);
}

static void root_disk_is_seen(void **state)
{
	struct stat a, b;

	assert_int_equal(stat("/", &a), 0);
	assert_int_equal(stat(dir, &b), 0);
	if (a.st_dev == b.st_dev)
		assert_true(d->root_disk);
}

static void stats_count_and_keep_the_last_error(void **state)
{
	struct drive_file *f, *g;
	struct drive_stats st;
	char *p = block_of('x', 1);

	assert_int_equal(drive_open(d, "a", DRIVE_CREATE, 4096, &f), 0);
	assert_int_equal(drive_pwrite(f, p, 4096, 0, 0), 0);
	assert_int_equal(drive_pread(f, p, 100, 0, 0), 0);
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(drive_open(d, "a/b", 0, 0, &g), -ENOTDIR);
	/* What a file lacks is no error of the drive. */
	assert_int_equal(drive_pread(f, p, 4096, 4096, 0), -QE_END_OF_FILE);
	drive_stats(d, &st);
	assert_int_equal(st.writes, 1);
	assert_int_equal(st.bytes_written, 4096);
	assert_int_equal(st.reads, 2);
	assert_int_equal(st.bytes_read, 100);
	assert_int_equal(st.syncs, 1);
	assert_int_equal(st.errors, 1);
	assert_true(st.last_error_ns > 0);
	assert_string_equal(st.last_error, "open a/b: Not a directory");
	drive_file_unref(f);
	free(p);
}

static void a_drive_that_is_out_fails_at_once(void **state)
{
	struct drive_file *f, *g;
	struct drive_space sp;
	struct drive_stats st;
	char *p = block_of('x', 1);
	int n;

	assert_int_equal(drive_open(d, "a", DRIVE_CREATE, 4096, &f), 0);
	drive_set_out(d, true, "timed out");
	assert_true(drive_is_out(d));
	assert_int_equal(drive_pwrite(f, p, 4096, 0, 0), -EIO);
	assert_int_equal(drive_pread(f, p, 4096, 0, 0), -EIO);
	assert_int_equal(drive_sync(f), -EIO);
	assert_int_equal(drive_drop_clean(f), -EIO);
	assert_int_equal(drive_punch(f, 0, 4096), -EIO);
	assert_int_equal(drive_open(d, "a", 0, 0, &g), -EIO);
	assert_int_equal(drive_rename(d, "a", "b"), -EIO);
	assert_int_equal(drive_unlink(d, "a"), -EIO);
	assert_int_equal(drive_mkdir(d, "seg"), -EIO);
	assert_int_equal(drive_list(d, ".", count_names, &n), -EIO);
	assert_int_equal(drive_space(d, &sp), -EIO);
	drive_stats(d, &st);
	assert_true(st.out);
	assert_string_equal(st.last_error, "timed out");
	assert_int_equal(st.errors, 0);
	drive_set_out(d, false, NULL);
	assert_int_equal(drive_pwrite(f, p, 4096, 0, 0), 0);
	drive_set_out(d, true, NULL);
	drive_file_unref(f);
	free(p);
}

/* ---- Calls that do not return ------------------------------------------------------------------------------------- */
static void wait_until_unused(unsigned users)
{
	while (drive_users(d) > users || drive_changes(d))
		clock_sleep_ns(NS_PER_MS);
}

static void begin_held(struct drive_file **f, uint64_t timeout_ns)
{
	assert_int_equal(drive_open(d, "seg/1", DRIVE_CREATE, 2 * DRIVE_BLOCK, f), 0);
	hold_calls();
	d->timeout_ns = timeout_ns;
}

static void end_held(struct drive_file *f)
{
	let_calls_go();
	wait_until_unused(1);
	drive_file_unref(f);
	held_done();
	d->timeout_ns = 0;
}

/* Given up after the timeout; then nobody waits for the drive any more, and it is not through before the call is. */
static void a_call_that_hangs_is_given_up(void **state)
{
	struct drive_file *f;
	uint8_t *w = block_of('x', 1), r[DRIVE_BLOCK];

	begin_held(&f, 100 * NS_PER_MS);
	uint64_t begun = clock_mono_ns();
	assert_int_equal(drive_pwrite(f, w, DRIVE_BLOCK, 0, 0), -QE_DRIVE_TIMEOUT);
	assert_true(clock_mono_ns() - begun >= 100 * NS_PER_MS);
	assert_true(drive_is_out(d));
	assert_int_equal(drive_pwrite(f, w, DRIVE_BLOCK, 0, 0), -EIO);
	assert_int_equal(drive_changes(d), 1);
	assert_int_equal(drive_users(d), 2);
	memset(w, 'y', DRIVE_BLOCK); /* it has its own */
	free(w);
	let_calls_go();
	wait_until_unused(1);
	drive_set_out(d, false, NULL);
	assert_int_equal(drive_pread(f, r, DRIVE_BLOCK, 0, 0), 0);
	assert_int_equal(r[17], 'x');
	end_held(f);
}

/* Each kind of call, and nothing is left of a file that was opened too late. */
static void no_call_waits_for_longer(void **state)
{
	struct drive_file *f, *late;
	unsigned n = 0;

	for (int kind = 0; kind < 4; kind++) {
		begin_held(&f, 50 * NS_PER_MS);
		uint64_t begun = clock_mono_ns();
		int rc = kind == 0 ? drive_open(d, "held", DRIVE_CREATE, DRIVE_BLOCK, &late) :
			 kind == 1 ? drive_unlink(d, "held") :
			 kind == 2 ? drive_list(d, "seg", count_names, &n) : drive_sync(f);
		assert_int_equal(rc, -QE_DRIVE_TIMEOUT);
		/* What waits for names may wait as long as what changes them. */
		assert_true(clock_mono_ns() - begun >= (kind < 3 ? 4 : 1) * 50 * NS_PER_MS);
		end_held(f);
		drive_set_out(d, false, NULL);
		assert_int_equal(drive_unlink(d, "seg/1"), 0);
	}
	assert_int_equal(n, 0); /* nor is anybody called back late */
}

/* The drive is taken out by somebody else meanwhile: who waits for it is free at once. */
static void *take_out(void *arg)
{
	clock_sleep_ns(50 * NS_PER_MS);
	drive_set_out(d, true, "test");
	return NULL;
}

static void a_call_of_a_drive_that_leaves_is_given_up(void **state)
{
	struct drive_file *f;
	pthread_t t;

	begin_held(&f, 3600 * NS_PER_S);
	assert_int_equal(thread_start(&t, "qn-test", take_out, NULL), 0);
	assert_int_equal(drive_sync(f), -QE_DRIVE_TIMEOUT);
	thread_join(t);
	end_held(f);
}

static int stop_at_once(void *arg, const char *name)
{
	return 7;
}

/* As without a bound. */
static void bounded_calls_do_the_same(void **state)
{
	struct drive_file *f;
	uint8_t *w = block_of('x', 2), r[DRIVE_BLOCK];
	unsigned n = 0;

	d->timeout_ns = 10 * NS_PER_S;
	assert_int_equal(drive_mkdir(d, "seg"), 0);
	assert_int_equal(drive_open(d, "seg/a", 0, 0, &f), -ENOENT);
	assert_int_equal(drive_open(d, "seg/a", DRIVE_CREATE | DRIVE_PREWRITE, 2 * DRIVE_BLOCK, &f), 0);
	assert_int_equal(f->size, 2 * DRIVE_BLOCK);
	assert_int_equal(drive_pwrite(f, w, DRIVE_BLOCK, DRIVE_BLOCK, DRIVE_DSYNC), 0);
	assert_int_equal(drive_sync(f), 0);
	assert_int_equal(drive_drop_clean(f), 0);
	assert_int_equal(drive_pread(f, r, DRIVE_BLOCK, DRIVE_BLOCK, 0), 0);
	assert_memory_equal(r, w, DRIVE_BLOCK);
	assert_int_equal(drive_punch(f, DRIVE_BLOCK, DRIVE_BLOCK), 0);
	assert_int_equal(drive_rename(d, "seg/a", "seg/b"), 0);
	assert_int_equal(drive_list(d, "seg", count_names, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(drive_list(d, ".", stop_at_once, NULL), 7);
	assert_int_equal(drive_list(d, "none", count_names, &n), -ENOENT);
	assert_int_equal(drive_unlink(d, "seg/a"), -ENOENT);
	assert_int_equal(drive_unlink(d, "seg/b"), 0);
	drive_file_unref(f);
	assert_int_equal(drive_users(d), 0);
	assert_int_equal(drive_changes(d), 0);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_makes_nothing),
		TEST(open_reports_bad_directories),
		TEST(buffered_io),
		TEST(direct_io),
		TEST(direct_dsync_io),
		TEST(direct_io_falls_back_where_it_is_refused),
		TEST(misaligned_direct_io_is_refused),
		TEST(direct_io_follows_a_renamed_file),
		TEST(nowait_reads_the_cache_or_says_eagain),
		TEST(names),
		TEST(failed_create_leaves_nothing),
		TEST(a_hole_reads_zero_and_is_filled_when_asked_for),
		TEST(space_is_told),
		TEST(root_disk_is_seen),
		TEST(stats_count_and_keep_the_last_error),
		TEST(a_drive_that_is_out_fails_at_once),
		TEST(a_call_that_hangs_is_given_up),
		TEST(no_call_waits_for_longer),
		TEST(a_call_of_a_drive_that_leaves_is_given_up),
		TEST(bounded_calls_do_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
