/* SPDX-License-Identifier: Apache-2.0
 *
 * A drive that is a local directory. Each file has a buffered descriptor and, from its first DRIVE_DIRECT I/O on, an
 * O_DIRECT one of the same inode.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fdio.h"
#include "base/log.h"
#include "drive/drive.h"
#include "drive/drive_internal.h"

#define ZERO_CHUNK (1024 * 1024)
#define PROBE_NAME "spare/.direct-probe"

struct posix_drive {
	struct drive d;
	int access;     /* O_RDWR, O_RDONLY */
	bool warned;    /* atomic: of a refused O_DIRECT */
};

struct posix_file {
	struct drive_file f;
	int fd;
	int direct_fd;  /* atomic; -1: not opened yet */
};

static struct posix_drive *posix_drive(struct drive *d)
{
	return CONTAINER_OF(d, struct posix_drive, d);
}

static struct posix_file *posix_file(struct drive_file *f)
{
	return CONTAINER_OF(f, struct posix_file, f);
}

/* ---- O_DIRECT --------------------------------------------------------------------------------------------------- */

static void refuse_direct(struct posix_drive *pd)
{
	__atomic_store_n(&pd->d.direct, false, __ATOMIC_RELAXED);
	if (!__atomic_exchange_n(&pd->warned, true, __ATOMIC_RELAXED))
		log_warn("drive", "the file system refuses O_DIRECT, reads and writes go through the page cache drive=%s",
			 pd->d.path);
}

/* 1: a block can be written and read back with O_DIRECT; 0: refused. */
static int probe_fd(int fd)
{
	void *block = NULL;

	if (posix_memalign(&block, DRIVE_BLOCK, DRIVE_BLOCK))
		return 0;
	memset(block, 0x5a, DRIVE_BLOCK);
	int ok = pwrite(fd, block, DRIVE_BLOCK, 0) == DRIVE_BLOCK && pread(fd, block, DRIVE_BLOCK, 0) == DRIVE_BLOCK;
	free(block);
	return ok;
}

static void probe_direct(struct posix_drive *pd)
{
	bool named = false;

	pd->d.direct = true;
	int fd = openat(pd->d.dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC | O_DIRECT, 0600);
	if (fd < 0 && errno != EINVAL) {
		/* No files without a name here: a name is made only on a drive that is ours. */
		if (faccessat(pd->d.dir_fd, IDENTITY_NAME, F_OK, 0) != 0)
			return;
		unlinkat(pd->d.dir_fd, PROBE_NAME, 0);
		fd = openat(pd->d.dir_fd, PROBE_NAME, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_DIRECT, 0600);
		named = true;
	}
	bool refused = fd < 0 && errno == EINVAL;
	/* When it failed too: some file systems create the file before they refuse the flag. */
	if (named)
		unlinkat(pd->d.dir_fd, PROBE_NAME, 0);
	if (refused || (fd >= 0 && !probe_fd(fd)))
		refuse_direct(pd);
	fd_closep(&fd);
}

/* By /proc, not by name: the file may have been renamed since it was opened. */
static int open_direct(struct posix_file *pf)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", pf->fd);
	int how = posix_drive(pf->f.drive)->access | O_CLOEXEC | O_DIRECT;
	int fd = open(path, how | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(path, how);
	if (fd < 0) {
		if (errno == EINVAL || errno == ENOENT)
			refuse_direct(posix_drive(pf->f.drive));
		return -1;
	}
	int none = -1;
	if (!__atomic_compare_exchange_n(&pf->direct_fd, &none, fd, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		close(fd);
		fd = none;
	}
	return fd;
}

int drive_posix_fd(struct drive_file *f, unsigned flags)
{
	struct posix_file *pf = posix_file(f);

	if (!(flags & DRIVE_DIRECT) || !__atomic_load_n(&f->drive->direct, __ATOMIC_RELAXED))
		return pf->fd;
	int fd = __atomic_load_n(&pf->direct_fd, __ATOMIC_ACQUIRE);
	if (fd < 0)
		fd = open_direct(pf);
	return fd < 0 ? pf->fd : fd;
}

/* ---- Names ------------------------------------------------------------------------------------------------------ */

/* The directory part of a name in ret ("." if there is none); false when it is too long. */
static bool parent_of(const char *name, char *ret, size_t cap)
{
	const char *slash = strrchr(name, '/');
	int n = slash ? snprintf(ret, cap, "%.*s", (int)(slash - name), name) : snprintf(ret, cap, ".");

	return n > 0 && (size_t)n < cap;
}

static int sync_dir(struct posix_drive *pd, const char *dir)
{
	CLEANUP_FD int fd = openat(pd->d.dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fsync(fd) == 0 ? 0 : -errno;
}

static int sync_parent(struct posix_drive *pd, const char *name)
{
	char dir[256];

	return parent_of(name, dir, sizeof dir) ? sync_dir(pd, dir) : -ENAMETOOLONG;
}

static int posix_mkdir(struct drive *d, const char *name)
{
	struct posix_drive *pd = posix_drive(d);

	if (mkdirat(pd->d.dir_fd, name, 0700) != 0)
		return errno == EEXIST ? 0 : -errno;
	return sync_parent(pd, name);
}

static int make_parent(struct posix_drive *pd, const char *name)
{
	char dir[256];

	if (!parent_of(name, dir, sizeof dir))
		return -ENAMETOOLONG;
	return posix_mkdir(&pd->d, dir);
}

static int posix_rename(struct drive *d, const char *from, const char *to)
{
	struct posix_drive *pd = posix_drive(d);

	if (faccessat(pd->d.dir_fd, from, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	int rc = make_parent(pd, to);
	if (rc < 0)
		return rc;
	if (renameat(pd->d.dir_fd, from, pd->d.dir_fd, to) != 0)
		return -errno;
	/* The new name first: between the two the file has both names or one, never none. */
	rc = sync_parent(pd, to);
	return rc < 0 ? rc : sync_parent(pd, from);
}

static int posix_unlink(struct drive *d, const char *name)
{
	struct posix_drive *pd = posix_drive(d);

	if (unlinkat(pd->d.dir_fd, name, 0) != 0)
		return -errno;
	return sync_parent(pd, name);
}

static int posix_list(struct drive *d, const char *dir, int (*fn)(void *arg, const char *name), void *arg)
{
	int fd = openat(d->dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dp = fdopendir(fd);
	if (!dp) {
		close(fd);
		return -ENOMEM;
	}
	int rc = 0;
	while (rc == 0) {
		errno = 0;
		struct dirent *e = readdir(dp);
		if (!e) {
			rc = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = fn(arg, e->d_name);
	}
	closedir(dp);
	return rc;
}

static int posix_space(struct drive *d, struct drive_space *ret)
{
	struct statvfs v;

	if (fstatvfs(d->dir_fd, &v) != 0)
		return -errno;
	ret->total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
	ret->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return 0;
}

/* ---- Files ------------------------------------------------------------------------------------------------------ */

static int write_zeros(int fd, uint64_t size)
{
	CLEANUP_FREE void *zeros = calloc(1, ZERO_CHUNK);
	int rc = 0;

	if (!zeros)
		return -ENOMEM;
	for (uint64_t off = 0; off < size && rc == 0; off += ZERO_CHUNK)
		rc = fd_pwrite_full(fd, zeros, MIN(size - off, (uint64_t)ZERO_CHUNK), off);
	return rc;
}

static int fill_new(struct posix_drive *pd, int fd, const char *name, unsigned flags, uint64_t size)
{
	int rc = 0;

	if (flags & DRIVE_PREWRITE) {
		rc = write_zeros(fd, size);
	} else if (size && fallocate(fd, 0, 0, (off_t)size) != 0) {
		rc = errno == EOPNOTSUPP ? ftruncate(fd, (off_t)size) : -1;
		rc = rc < 0 ? -errno : 0;
	}
	if (rc < 0)
		return rc;
	if (fsync(fd) != 0)
		return -errno;
	return sync_parent(pd, name);
}

/* The descriptor or -errno. */
static int open_fd(struct posix_drive *pd, const char *name, unsigned flags)
{
	int how = pd->access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (flags & DRIVE_CREATE ? O_CREAT | O_EXCL : 0);
	int fd = openat(pd->d.dir_fd, name, how | O_NOATIME, 0600);

	if (fd < 0 && errno == ENOENT && (flags & DRIVE_CREATE)) {
		int rc = make_parent(pd, name);
		if (rc < 0)
			return rc;
		fd = openat(pd->d.dir_fd, name, how | O_NOATIME, 0600);
	}
	/* O_NOATIME is for the owner of the file. */
	if (fd < 0 && errno == EPERM)
		fd = openat(pd->d.dir_fd, name, how, 0600);
	return fd < 0 ? -errno : fd;
}

static int open_checked(struct posix_drive *pd, const char *name, unsigned flags, uint64_t *size)
{
	struct stat st;
	int rc = 0;
	int fd = open_fd(pd, name, flags);

	if (fd < 0)
		return fd;
	if (flags & DRIVE_CREATE)
		rc = fill_new(pd, fd, name, flags, *size);
	if (rc == 0 && fstat(fd, &st) != 0)
		rc = -errno;
	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = -EINVAL;
	if (rc == 0 && (flags & DRIVE_NO_HOLES) && fallocate(fd, 0, 0, st.st_size) != 0 && errno != EOPNOTSUPP)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		if (flags & DRIVE_CREATE)
			unlinkat(pd->d.dir_fd, name, 0);
		return rc;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

static int posix_open(struct drive *d, const char *name, unsigned flags, uint64_t size, struct drive_file **ret)
{
	struct posix_file *pf = calloc(1, sizeof *pf);
	if (!pf)
		return -ENOMEM;
	int fd = open_checked(posix_drive(d), name, flags, &size);
	if (fd < 0) {
		free(pf);
		return fd;
	}
	pf->fd = fd;
	pf->direct_fd = -1;
	if (drive_file_init(&pf->f, d, name, size) < 0) {
		close(fd);
		if (flags & DRIVE_CREATE)
			unlinkat(d->dir_fd, name, 0);
		free(pf);
		return -ENOMEM;
	}
	*ret = &pf->f;
	return 0;
}

static void posix_close_file(struct drive_file *f)
{
	struct posix_file *pf = posix_file(f);

	if (pf->direct_fd >= 0)
		close(pf->direct_fd);
	close(pf->fd);
	drive_file_done(f);
	free(pf);
}

/* A short O_DIRECT transfer may end inside a block; what is left of it then goes through the page cache. */
static int fd_for(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags)
{
	if (((uintptr_t)p | len | off) & (DRIVE_BLOCK - 1))
		flags &= ~(unsigned)DRIVE_DIRECT;
	return drive_posix_fd(f, flags);
}

static int posix_pread(struct drive_file *f, void *p, size_t len, uint64_t off, unsigned flags)
{
	int rw = flags & DRIVE_NOWAIT ? RWF_NOWAIT : 0;

	while (len > 0) {
		struct iovec iov = {p, len};
		ssize_t n = preadv2(fd_for(f, p, len, off, flags), &iov, 1, (off_t)off, rw);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return rw && errno == EOPNOTSUPP ? -EAGAIN : -errno;
		if (n == 0)
			return -QE_END_OF_FILE;
		p = (char *)p + n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

static int posix_pwrite(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags)
{
	while (len > 0) {
		struct iovec iov = {(void *)(uintptr_t)p, len};
		ssize_t n = pwritev2(fd_for(f, p, len, off, flags), &iov, 1, (off_t)off, flags & DRIVE_DSYNC ? RWF_DSYNC : 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p = (const char *)p + n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

static int posix_sync(struct drive_file *f)
{
	return fdatasync(posix_file(f)->fd) == 0 ? 0 : -errno;
}

static int posix_drop_clean(struct drive_file *f)
{
	return -posix_fadvise(posix_file(f)->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int posix_punch(struct drive_file *f, uint64_t off, uint64_t len)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return fallocate(posix_file(f)->fd, mode, (off_t)off, (off_t)len) == 0 ? 0 : -errno;
}

/* ---- The drive -------------------------------------------------------------------------------------------------- */

static bool same_device(dev_t dev, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == dev;
}

/* In a container / is the image; what a forgotten volume would fill up is the disk behind /data. */
static bool on_root_disk(dev_t dev)
{
	bool container = access("/.dockerenv", F_OK) == 0 || getenv("KUBERNETES_SERVICE_HOST");

	return same_device(dev, "/") || (container && same_device(dev, "/data"));
}

static bool begins_at(int dirfd, dev_t dev)
{
	struct stat up;

	return fstatat(dirfd, "..", &up, 0) == 0 && up.st_dev != dev;
}

static void posix_close(struct drive *d)
{
	struct posix_drive *pd = posix_drive(d);

	close(pd->d.dir_fd);
	drive_done(d);
	free(pd);
}

static const struct drive_ops posix_ops = {
	.close = posix_close,
	.open = posix_open,
	.close_file = posix_close_file,
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.sync = posix_sync,
	.drop_clean = posix_drop_clean,
	.punch = posix_punch,
	.mkdir = posix_mkdir,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.list = posix_list,
	.space = posix_space,
	.submit = drive_queue_local,
};

/* ---- For who only looks ------------------------------------------------------------------------------------------ */

static int read_open(struct drive *d, const char *name, unsigned flags, uint64_t size, struct drive_file **ret)
{
	return flags & DRIVE_CREATE ? -EROFS : posix_open(d, name, flags, size, ret);
}

static int read_no_write(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags)
{
	return -EROFS;
}

static int read_no_sync(struct drive_file *f)
{
	return 0;
}

static int read_no_punch(struct drive_file *f, uint64_t off, uint64_t len)
{
	return -EROFS;
}

static int read_no_name(struct drive *d, const char *name)
{
	return -EROFS;
}

static int read_no_rename(struct drive *d, const char *from, const char *to)
{
	return -EROFS;
}

static const struct drive_ops read_ops = {
	.close = posix_close,
	.open = read_open,
	.close_file = posix_close_file,
	.pread = posix_pread,
	.pwrite = read_no_write,
	.sync = read_no_sync,
	.drop_clean = posix_drop_clean,
	.punch = read_no_punch,
	.mkdir = read_no_name,
	.rename = read_no_rename,
	.unlink = read_no_name,
	.list = posix_list,
	.space = posix_space,
	.submit = drive_queue_local,
};

static int open_as(const char *path, int access, const struct drive_ops *ops, struct posix_drive **ret)
{
	int need = R_OK | X_OK | (access == O_RDWR ? W_OK : 0);
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	struct posix_drive *pd = calloc(1, sizeof *pd);
	int rc = pd ? 0 : -ENOMEM;
	if (rc == 0 && (faccessat(fd, ".", need, AT_EACCESS) != 0 || fstat(fd, &st) != 0))
		rc = -errno;
	if (rc == 0)
		rc = drive_init(&pd->d, ops, path);
	if (rc < 0) {
		close(fd);
		free(pd);
		return rc;
	}
	pd->d.dir_fd = fd;
	pd->access = access;
	pd->d.root_disk = on_root_disk(st.st_dev);
	pd->d.mount_point = begins_at(fd, st.st_dev);
	*ret = pd;
	return 0;
}

int drive_posix_open(const char *path, struct drive **ret)
{
	struct posix_drive *pd;
	int rc = open_as(path, O_RDWR, &posix_ops, &pd);

	if (rc < 0)
		return rc;
	probe_direct(pd);
	*ret = &pd->d;
	return 0;
}

int drive_posix_open_read(const char *path, struct drive **ret)
{
	struct posix_drive *pd;
	int rc = open_as(path, O_RDONLY, &read_ops, &pd);

	if (rc < 0)
		return rc;
	pd->d.direct = true; /* until it is refused */
	*ret = &pd->d;
	return 0;
}
