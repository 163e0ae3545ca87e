/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors: whole transfers, end of file, limits.
 */
#include "unit/base/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fdio.h"

static char path[] = "/tmp/quoin-fdio-XXXXXX";
static int fd = -1;

static int setup(void **state)
{
	memcpy(path + sizeof path - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	return fd < 0;
}

static int teardown(void **state)
{
	unlink(path);
	fd_closep(&fd);
	return fd != -1;
}

static void written_bytes_come_back(void **state)
{
	char out[5];

	assert_int_equal(fd_pwrite_full(fd, "hello", 5, 100), 0);
	assert_int_equal(fd_pread_full(fd, out, 5, 100), 0);
	assert_memory_equal(out, "hello", 5);
	assert_int_equal(fd_pread_full(fd, out, 5, 101), -QE_END_OF_FILE);
	assert_int_equal(fd_pread_full(fd, NULL, 0, 1000), 0);
	assert_int_equal(fd_pread_full(-1, out, 5, 0), -EBADF);
	assert_int_equal(fd_pwrite_full(-1, out, 5, 0), -EBADF);
}

static void read_file_honours_its_limit(void **state)
{
	static char big[50000];
	CLEANUP_BUF struct buf b = BUF_INIT;

	memset(big, 'x', sizeof big);
	assert_int_equal(fd_pwrite_full(fd, big, sizeof big, 0), 0);
	assert_int_equal(fd_read_file(path, sizeof big, &b), 0);
	assert_true(str_eq(buf_str(&b), (struct str){big, sizeof big}));
	buf_reset(&b);
	assert_int_equal(fd_read_file(path, sizeof big - 1, &b), -EFBIG);
	buf_reset(&b);
	assert_int_equal(fd_read_file("/proc/self/stat", 100000, &b), 0);
	assert_true(b.len > 0);
	assert_int_equal(fd_read_file("/nonexistent/file", 10, &b), -ENOENT);
}

static void directories_sync(void **state)
{
	assert_int_equal(fd_fsync_dir("/tmp"), 0);
	assert_int_equal(fd_fsync_dir(path), -ENOTDIR);
	assert_int_equal(fd_fsync_dir("/nonexistent"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(written_bytes_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(read_file_honours_its_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(directories_sync, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
