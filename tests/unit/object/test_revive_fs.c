/* SPDX-License-Identifier: Apache-2.0
 *
 * The mount's side over a set that falls below its write quorum and is revived: open files keep what was written to them,
 * what was taken back is seen as it was before, and is told.
 */
#include "fs_unit.h"

#define BYTES 3000000u

static struct fsfix x;

static bool keep_none(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	return false;
}

static void open_again(struct drive *drives[SUPER_MAX_SLOTS])
{
	struct drive *old;
	char path[96];

	for (unsigned i = 0; i < FIX_DRIVES; i++) {
		for (unsigned tries = 0; meta_slot_release(x.f.set, i, &old) < 0; tries++) {
			assert_true(tries < 1000);
			meta_tick(x.f.set);
			clock_sleep_ns(NS_PER_MS);
		}
		drive_close(old);
		snprintf(path, sizeof path, "%s/d%u", x.f.dir, i);
		assert_int_equal(drive_faulty_open(x.f.bench, path, &drives[i]), 0);
		x.f.drive[i] = drives[i];
	}
}

/* All drives fail and come back. lost: with nothing that was not flushed. */
static void fall(bool lost)
{
	fault_bench_rule(x.f.bench, &(struct fault_rule){
		.kind = FAULT_ERROR, .slot = -1, .op = DRIVE_IO_WRITE, .nth = 1});
	assert_true(object_bucket_create(x.f.store, &x.f.ctx, STR_LIT("another"), NULL, NULL) < 0);
	assert_false(meta_writable(x.f.set));
	if (lost)
		fault_bench_power_loss_by(x.f.bench, (1u << FIX_DRIVES) - 1, keep_none, NULL);
}

static void rise(void)
{
	struct drive *drives[SUPER_MAX_SLOTS] = {NULL};

	open_again(drives);
	fault_bench_rule(x.f.bench, NULL);
	int rc = meta_set_revive(x.f.set, drives, &x.f.ctx);
	if (rc < 0)
		fail_msg("revive: %s (%s)", err_text(rc), x.f.ctx.detail);
	fs_revived(x.fs); /* what a mount does at its reset */
}

static void start(void)
{
	fsfix_open_on(&x, true);
}

static struct fs_file *file_with(const char *name, const char *text)
{
	struct fs_file *file = x_create(&x, x.dir, name);

	assert_int_equal(fs_write(file, &x.ctx, text, strlen(text), 0), (ssize_t)strlen(text));
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	return file;
}

static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off * 2654435761u >> 13);
}

static void write_bytes(struct fs_file *file, uint64_t off, size_t len)
{
	uint8_t *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = byte_at(off + i);
	assert_int_equal(fs_write(file, &x.ctx, p, len, off), (ssize_t)len);
	free(p);
}

static void check_bytes(struct fs_file *file, size_t len)
{
	uint8_t *p = malloc(len);

	assert_int_equal(fs_read(file, &x.ctx, p, len, 0), (ssize_t)len);
	for (size_t i = 0; i < len; i++)
		if (p[i] != byte_at(i))
			fail_msg("byte %zu of %zu is wrong", i, len);
	free(p);
}

static void bytes_in_memory_survive(void **state)
{
	start();
	struct fs_file *file = file_with("a", "");
	write_bytes(file, 0, 200000);
	fall(true);
	write_bytes(file, 200000, 100000);
	assert_true(fs_fsync(file, &x.ctx, false) < 0);
	rise();
	write_bytes(file, 300000, 1000);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	check_bytes(file, 301000);
	x_close(&x, file);
	fsfix_close(&x);
}

/* They lie in cells of a segment that no row names. */
static void bytes_in_blobs_survive(void **state)
{
	start();
	struct fs_file *file = file_with("a", "");
	for (uint64_t at = 0; at < BYTES; at += 100000)
		write_bytes(file, at, 100000);
	check_bytes(file, BYTES); /* ends the stream */
	fall(false);
	assert_true(fs_fsync(file, &x.ctx, false) < 0);
	rise();
	check_bytes(file, BYTES);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	check_bytes(file, BYTES);
	x_close(&x, file);
	fsfix_close(&x);
}

/* Some of it in stripes that went out, the rest in a stripe that is being filled. */
static void bytes_of_a_stream_survive(void **state)
{
	start();
	struct fs_file *file = file_with("a", "");
	for (uint64_t at = 0; at < BYTES; at += 100000)
		write_bytes(file, at, 100000);
	fall(false);
	write_bytes(file, BYTES, 300000);
	write_bytes(file, BYTES + 300000, 1u << 20);
	rise();
	write_bytes(file, BYTES + 300000 + (1u << 20), 2000000);
	check_bytes(file, BYTES + 2300000 + (1u << 20));
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	check_bytes(file, BYTES + 2300000 + (1u << 20));
	x_close(&x, file);
	fsfix_close(&x);
}

/* The stream is met only when the set writes again. */
static void a_stream_that_slept_over_it_goes_on(void **state)
{
	start();
	struct fs_file *file = file_with("a", "");
	for (uint64_t at = 0; at < BYTES; at += 100000)
		write_bytes(file, at, 100000);
	fall(false);
	rise();
	write_bytes(file, BYTES, 2000000);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	check_bytes(file, BYTES + 2000000);
	x_close(&x, file);
	fsfix_close(&x);
}

static void what_was_published_and_taken_back_is_told(void **state)
{
	start();
	struct fs_file *file = file_with("a", "one");
	assert_int_equal(fs_write(file, &x.ctx, "two", 3, 3), 3);
	assert_int_equal(fs_flush(file, &x.ctx), 0);
	fall(true);
	rise();
	x_assert_text(&x, x.dir, "a", "one");
	assert_int_equal(fs_fsync(file, &x.ctx, false), -EIO);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	assert_int_equal(fs_write(file, &x.ctx, "2", 1, 3), 1);
	x_close(&x, file);
	x_assert_text(&x, x.dir, "a", "one2");
	fsfix_close(&x);
}

static void a_rename_that_was_taken_back_leaves_open_files_usable(void **state)
{
	char got[8];

	start();
	struct fs_file *file = file_with("a", "one");
	assert_int_equal(fs_rename(x.fs, &x.ctx, x.dir, STR_LIT("a"), x.dir, STR_LIT("b"), 0), 0);
	x_assert_text(&x, x.dir, "b", "one");
	fall(true);
	rise();
	assert_int_equal(fs_read(file, &x.ctx, got, sizeof got, 0), 3);
	assert_int_equal(fs_write(file, &x.ctx, "1", 1, 3), 1);
	x_close(&x, file);
	x_assert_text(&x, x.dir, "a", "one1");
	assert_int_equal(x_exists(&x, x.dir, "b", NULL), ENOENT);
	fsfix_close(&x);
}

static void a_removal_that_was_taken_back_leaves_the_file(void **state)
{
	start();
	struct fs_file *file = file_with("a", "one");
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("a")), 0);
	assert_int_equal(x_exists(&x, x.dir, "a", NULL), ENOENT);
	fall(true);
	rise();
	x_assert_text(&x, x.dir, "a", "one");
	assert_int_equal(fs_write(file, &x.ctx, "1", 1, 3), 1);
	x_close(&x, file);
	x_assert_text(&x, x.dir, "a", "one1");
	fsfix_close(&x);
}

/* Below W nobody is told what may be taken back, not that there is nothing either. */
static void absence_in_doubt_is_not_vouched_for(void **state)
{
	struct object_handle *h;
	uint64_t seq = 0;

	start();
	struct fs_file *file = file_with("a", "one");
	x_close(&x, file);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("a")), 0);
	fall(false);
	assert_true(object_open(x.f.store, &x.f.ctx, STR_LIT("bucket"), STR_LIT("a"), (struct str){"", 0}, &h, &seq) < 0);
	assert_int_equal(object_wait_blocking(x.f.store, seq, false), -QE_UNKNOWN_OUTCOME);
	rise();
	assert_true(object_open(x.f.store, &x.f.ctx, STR_LIT("bucket"), STR_LIT("a"), (struct str){"", 0}, &h, &seq) < 0);
	assert_int_equal(object_wait_blocking(x.f.store, seq, false), 0);
	fsfix_close(&x);
}

/* A drive that hangs still writes from memory of the mount when that has ended. */
static void bytes_under_way_outlive_the_mount(void **state)
{
	struct stat st;

	fix_timeout_ns = 300 * NS_PER_MS;
	start();
	fault_bench_rule(x.f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 1, .name = "seg/", .op = DRIVE_IO_WRITE, .queued = true, .nth = 1});
	struct fs_file *file = x_create(&x, x.dir, "a");
	for (uint64_t at = 0; at < BYTES; at += 100000)
		write_bytes(file, at, 100000);
	x_close(&x, file);
	fsfix_unmount(&x);
	fault_bench_rule(x.f.bench, NULL);
	fault_bench_release(x.f.bench);
	/* What was written is there, by the other drives. */
	fsfix_mount(&x);
	assert_int_equal(x_exists(&x, x.dir, "a", &st), 0);
	assert_int_equal(st.st_size, BYTES);
	fsfix_close(&x);
	fix_timeout_ns = 30 * NS_PER_S;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_in_memory_survive),
		cmocka_unit_test(bytes_in_blobs_survive),
		cmocka_unit_test(bytes_of_a_stream_survive),
		cmocka_unit_test(a_stream_that_slept_over_it_goes_on),
		cmocka_unit_test(what_was_published_and_taken_back_is_told),
		cmocka_unit_test(a_rename_that_was_taken_back_leaves_open_files_usable),
		cmocka_unit_test(a_removal_that_was_taken_back_leaves_the_file),
		cmocka_unit_test(absence_in_doubt_is_not_vouched_for),
		cmocka_unit_test(bytes_under_way_outlive_the_mount),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
