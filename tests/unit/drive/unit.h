/* SPDX-License-Identifier: Apache-2.0
 *
 * What the unit tests of drive share: cmocka with the headers that it wants first, and one drive in a directory.
 */
#ifndef QUOIN_TESTS_UNIT_DRIVE_UNIT_H
#define QUOIN_TESTS_UNIT_DRIVE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "drive/drive.h"
#include "lib/testdir.h"

static char *dir;
static struct drive *d;

static inline void open_drive(void)
{
	assert_int_equal(drive_posix_open(dir, &d), 0);
}

static inline int setup_drive(void **state)
{
	dir = testdir_new();
	open_drive();
	return 0;
}

static inline int teardown_drive(void **state)
{
	d = drive_close(d);
	testdir_remove(dir);
	dir = NULL;
	return 0;
}

/* One aligned block, filled with c. */
static inline void *block_of(int c, size_t blocks)
{
	void *p = NULL;

	assert_int_equal(posix_memalign(&p, DRIVE_BLOCK, blocks * DRIVE_BLOCK), 0);
	return memset(p, c, blocks * DRIVE_BLOCK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_drive, teardown_drive)

#endif
