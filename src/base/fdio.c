/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole reads and writes.
 */
#include "base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"

#define READ_STEP 16384

int fd_pread_full(int fd, void *p, size_t len, uint64_t off)
{
	char *at = p;

	while (len) {
		ssize_t n = pread(fd, at, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -QE_END_OF_FILE;
		at += n;
		off += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_pwrite_full(int fd, const void *p, size_t len, uint64_t off)
{
	const char *at = p;

	while (len) {
		ssize_t n = pwrite(fd, at, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		off += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Reads to the end of file rather than by st_size, which is 0 for files of /proc and /sys. */
int fd_read_file(const char *path, size_t max, struct buf *ret)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t total = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		void *room = buf_reserve(ret, READ_STEP);
		ssize_t n;

		if (!room)
			return buf_err(ret);
		n = read(fd, room, READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if ((size_t)n > max - total)
			return -EFBIG;
		total += (size_t)n;
		buf_commit(ret, (size_t)n);
	}
}

int fd_fsync_dir(const char *path)
{
	CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

void fd_closep(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}
