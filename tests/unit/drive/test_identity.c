/* SPDX-License-Identifier: Apache-2.0
 *
 * Identity: blank, foreign, locked, newer; and that a refused drive is not written.
 */
#include "unit/drive/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "drive/identity.h"
#include "drive/super.h"

static const struct identity sample = {
	.deployment = {1, 2, 3}, .drive = {4, 5, 6}, .set = 1, .slot = 2, .n = 6, .k = 4, .m = 2, .created_ns = 99,
};

static void format_drive(void)
{
	struct super s = {.n = 6};

	assert_int_equal(super_format(d, &s), 0);
	assert_int_equal(identity_format(d, &sample), 0);
}

static void reopen(void)
{
	d = drive_close(d);
	open_drive();
}

static void blank_then_formatted(void **state)
{
	struct identity id;

	assert_int_equal(identity_read(d, &id), -ENODATA);
	testdir_mkdir(dir, "lost+found");
	testdir_write(dir, "lost+found/x", "x", 1);
	assert_int_equal(identity_read(d, &id), -ENODATA);
	format_drive();
	assert_int_equal(d->slot, 2);
	assert_memory_equal(d->id, sample.drive, 16);
	assert_int_equal(identity_format(d, &sample), -EEXIST);
	reopen();
	assert_int_equal(identity_read(d, &id), 0);
	assert_memory_equal(id.deployment, sample.deployment, 16);
	assert_memory_equal(id.drive, sample.drive, 16);
	assert_true(id.pool == 0 && id.set == 1 && id.slot == 2 && id.n == 6 && id.k == 4 && id.m == 2);
	assert_int_equal(id.created_ns, 99);
	assert_int_equal(d->slot, 2);
	assert_int_equal(identity_read(d, &id), 0);
	assert_int_equal(identity_format(d, &sample), -EEXIST);
	assert_false(testdir_exists(dir, "identity.tmp"));
}

static void the_layout_is_as_documented(void **state)
{
	size_t len;

	format_drive();
	uint8_t *p = testdir_read(dir, "identity", &len);
	assert_int_equal(len, 4096);
	assert_memory_equal(p, "QIDN\1\0\1\2\3", 9);
	assert_memory_equal(p + 22, "\4\5\6", 3);
	assert_memory_equal(p + 38, "\0\0\1\0\2\0\6\0\4\0\2\0", 12);
	assert_int_equal(le64_get(p + 50), 99);
	assert_int_equal(le32_get(p + 4092), checksum_crc32c(0, p, 4092));
	free(p);
}

static void a_format_that_was_cut_short_is_blank(void **state)
{
	struct identity id;
	struct super s = {.n = 6};
	uint8_t zeros[8192] = {0};

	assert_int_equal(drive_mkdir(d, "journal"), 0);
	assert_int_equal(identity_read(d, &id), -ENODATA);
	testdir_write(dir, "super", zeros, 4096);
	assert_int_equal(identity_read(d, &id), -ENODATA);
	testdir_write(dir, "super", zeros, 8192);
	assert_int_equal(identity_read(d, &id), -ENODATA);
	assert_int_equal(super_format(d, &s), 0);
	assert_int_equal(identity_read(d, &id), -ENODATA);
	testdir_write(dir, "identity.tmp", "x", 1);
	assert_int_equal(identity_read(d, &id), -ENODATA);
	assert_int_equal(identity_format(d, &sample), 0);
	reopen();
	assert_int_equal(identity_read(d, &id), 0);
}

static int count_names(void *arg, const char *name)
{
	++*(int *)arg;
	return 0;
}

static void foreign_content_is_refused_and_not_written(void **state)
{
	static const char *const names[] = {"file", "journal/1.log", "seg/x", "spare/x",
					    "index/data.mdb", "super", "other/"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct identity id;
		char first[32];
		int n = 0;
		snprintf(first, sizeof first, "%s", names[i]);
		char *slash = strchr(first, '/');
		if (slash)
			*slash = '\0';
		if (slash)
			testdir_mkdir(dir, first);
		if (!slash || slash[1])
			testdir_write(dir, names[i], "somebody else's", 15);
		if (strcmp(names[i], "super") == 0) {
			char junk[8192];
			memset(junk, 'j', sizeof junk);
			testdir_write(dir, names[i], junk, sizeof junk);
		}
		reopen();
		assert_int_equal(identity_read(d, &id), -QE_DRIVE_FORMAT);
		assert_int_equal(identity_format(d, &sample), -QE_DRIVE_FORMAT);
		assert_int_equal(d->lock_fd, -1);
		assert_int_equal(drive_list(d, ".", count_names, &n), 0);
		assert_int_equal(n, 1);
		teardown_drive(state);
		setup_drive(state);
	}
}

/* Any byte of it; the superblock says the same. */
static void a_damaged_one_is_mended(void **state)
{
	struct super s = {.deployment = {1, 2, 3}, .drive = {4, 5, 6}, .set = 1, .slot = 2, .n = 6, .k = 4, .m = 2};
	struct identity id;
	size_t len, len_now;

	assert_int_equal(super_format(d, &s), 0);
	assert_int_equal(identity_format(d, &sample), 0);
	uint8_t *p = testdir_read(dir, "identity", &len);
	for (unsigned at = 0; at < 4096; at += at < 80 || at >= 4090 ? 1 : 61) {
		bool created = at >= 50 && at < 58;
		testdir_corrupt(dir, "identity", at, 1);
		reopen();
		assert_int_equal(identity_read(d, &id), 0);
		assert_true(id.damaged);
		assert_true(id.slot == 2 && id.n == 6 && id.k == 4 && id.m == 2 && id.set == 1 && id.pool == 0);
		assert_memory_equal(id.deployment, sample.deployment, 16);
		assert_memory_equal(id.drive, sample.drive, 16);
		assert_int_equal(created || id.created_ns == 99, 1);
		assert_int_equal(d->slot, 2);
		assert_int_equal(identity_mend(d, &id), 0);
		assert_false(id.damaged);
		uint8_t *now = testdir_read(dir, "identity", &len_now);
		assert_int_equal(len_now, len);
		if (!created)
			assert_memory_equal(now, p, len);
		else
			testdir_write(dir, "identity", p, len);
		free(now);
		reopen();
		assert_int_equal(identity_read(d, &id), 0);
		assert_false(id.damaged);
	}
	free(p);
}

static void damage_of_both_and_newer_formats_are_refused(void **state)
{
	struct identity id;
	size_t len;

	format_drive();
	uint8_t *p = testdir_read(dir, "identity", &len);
	testdir_corrupt(dir, "identity", 30, 1);
	reopen();
	uint8_t *s = testdir_read(dir, "super", &len);
	testdir_corrupt(dir, "super", 100, 1);
	testdir_corrupt(dir, "super", 4196, 1);
	assert_int_equal(identity_read(d, &id), -QE_DRIVE_FORMAT);
	/* Of a later version, which may lay out the rest of its identity as it likes. */
	memcpy(s + 4, "\2\0\0", 4);
	le32_put(s + 4092, checksum_crc32c(0, s, 4092));
	testdir_write(dir, "super", s, len);
	assert_int_equal(identity_read(d, &id), -QE_DRIVE_FORMAT);
	free(s);
	len = 4096;
	p[4] = 2;
	le32_put(p + 4092, checksum_crc32c(0, p, 4092));
	testdir_write(dir, "identity", p, len);
	assert_int_equal(identity_read(d, &id), -QE_DRIVE_FORMAT);
	p[4] = 1;
	p[58] = 1;
	le32_put(p + 4092, checksum_crc32c(0, p, 4092));
	testdir_write(dir, "identity", p, len);
	assert_int_equal(identity_read(d, &id), -QE_DRIVE_FORMAT);
	testdir_write(dir, "identity", p, 100);
	assert_int_equal(identity_read(d, &id), -QE_DRIVE_FORMAT);
	assert_int_equal(identity_format(d, &sample), -QE_DRIVE_FORMAT);
	/* A refused drive is not kept locked. */
	assert_int_equal(d->lock_fd, -1);
	free(p);
}

static void another_process_is_locked_out(void **state)
{
	int status;

	format_drive();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct drive *other;
		struct identity id;
		int rc = drive_posix_open(dir, &other);
		_exit(rc == 0 && identity_read(other, &id) == -QE_DRIVE_LOCKED ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void the_lock_ends_with_the_drive(void **state)
{
	struct drive *other;
	struct identity id;

	format_drive();
	assert_int_equal(drive_posix_open(dir, &other), 0);
	assert_int_equal(identity_read(other, &id), -QE_DRIVE_LOCKED);
	d = drive_close(d);
	assert_int_equal(identity_read(other, &id), 0);
	drive_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blank_then_formatted),
		TEST(the_layout_is_as_documented),
		TEST(a_format_that_was_cut_short_is_blank),
		TEST(foreign_content_is_refused_and_not_written),
		TEST(a_damaged_one_is_mended),
		TEST(damage_of_both_and_newer_formats_are_refused),
		TEST(another_process_is_locked_out),
		TEST(the_lock_ends_with_the_drive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
