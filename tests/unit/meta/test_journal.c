/* SPDX-License-Identifier: Apache-2.0
 *
 * Log files: made ready, rolled into, recycled.
 */
#include "meta/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"
#include "lib/testdir.h"

struct fix {
	char *dir;
	struct drive *d;
	struct journal j;
};

static void start(struct fix *f)
{
	struct super s = {.n = 1, .k = 1, .w = 1};

	f->dir = testdir_new();
	assert_int_equal(drive_posix_open(f->dir, &f->d), 0);
	assert_int_equal(super_format(f->d, &s), 0);
	journal_init(&f->j, 1, 20, 4);
	f->j.drive[0] = f->d;
}

static void stop(struct fix *f)
{
	journal_done(&f->j);
	drive_close(f->d);
	testdir_remove(f->dir);
}

static uint64_t inode_of(struct fix *f, uint64_t log)
{
	char name[40], path[256];
	struct stat st;

	journal_file_name(log, name, sizeof name);
	snprintf(path, sizeof path, "%s/%s", f->dir, name);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static int prepare(struct fix *f, uint64_t next)
{
	uint32_t failed;
	int rc = journal_prepare(&f->j, next, &failed);

	assert_int_equal(failed, 0);
	return rc;
}

/* Who makes files ready ahead asks without the writer's lock, so the number may be in use when it comes to it. */
static void a_late_request_leaves_the_file_in_use_alone(void **state)
{
	struct fix f;

	start(&f);
	assert_int_equal(prepare(&f, 1), 0);
	journal_roll(&f.j);
	uint64_t inode = inode_of(&f, 1);
	assert_true(inode != 0);
	assert_int_equal(prepare(&f, 1), 0);
	assert_true(inode_of(&f, 1) == inode);
	assert_int_equal(prepare(&f, 2), 0);
	journal_roll(&f.j);
	assert_true(f.j.cur->log == 2);
	assert_true(inode_of(&f, 1) == inode);
	stop(&f);
}

static void recycled_files_get_new_numbers(void **state)
{
	struct fix f;

	start(&f);
	for (uint64_t log = 1; log <= 4; log++) {
		assert_int_equal(prepare(&f, log), 0);
		journal_roll(&f.j);
	}
	assert_int_equal(prepare(&f, 5), -QE_FULL);
	uint64_t first = inode_of(&f, 1);
	journal_recycle(&f.j, 2);
	assert_int_equal(prepare(&f, 5), 0);
	assert_true(inode_of(&f, 5) == first);
	assert_true(inode_of(&f, 1) == 0);
	stop(&f);
}

/* A crash leaves the file that was ready, under its number, among the free ones: another one must not be renamed over it. */
static void a_free_file_that_has_the_name_goes_first(void **state)
{
	struct fix f;

	start(&f);
	for (uint64_t log = 1; log <= 3; log++) {
		assert_int_equal(prepare(&f, log), 0);
		journal_roll(&f.j);
	}
	/* As recovery takes them over: 2 is in use, 1 and 3 are free. */
	struct list *one = list_pop(&f.j.used), *two = list_pop(&f.j.used), *three = list_pop(&f.j.used);
	list_add_tail(&f.j.used, two);
	list_add_tail(&f.j.free, one);
	list_add_tail(&f.j.free, three);
	f.j.cur = LIST_ENTRY(two, struct log_file, node);
	f.j.nused = 1;
	f.j.nfree = 2;
	uint64_t first = inode_of(&f, 1), third = inode_of(&f, 3);
	assert_int_equal(prepare(&f, 3), 0);
	journal_roll(&f.j);
	assert_true(inode_of(&f, 3) == third);
	assert_true(inode_of(&f, 1) == first);
	assert_int_equal(prepare(&f, 4), 0);
	assert_true(inode_of(&f, 4) == first);
	assert_true(inode_of(&f, 3) == third); /* the log in use keeps its name */
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_late_request_leaves_the_file_in_use_alone),
		cmocka_unit_test(a_free_file_that_has_the_name_goes_first),
		cmocka_unit_test(recycled_files_get_new_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
