/* SPDX-License-Identifier: Apache-2.0
 *
 * Open files.
 */
#include <fcntl.h>

#include "fusefs/fusefs_internal.h"

static struct fs_file *file_of(const struct fuse_file_info *fi)
{
	return (struct fs_file *)(uintptr_t)fi->fh;
}

static void fill_info(struct fuse_file_info *fi, struct fs_file *file)
{
	fi->fh = (uintptr_t)file;
	/* Content of one file id changes only through this mount, whose kernel sees it, or with a notification; one that may
	 * still be under way is not waited for. */
	fi->keep_cache = fs_file_keeps_cache(file);
	/* Nothing can be dirty behind a descriptor that only reads: its close needs no round trip. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fusefs *m = mount_of(req);
	struct fuse_entry_param e;
	struct fs_file *file;
	struct fs_node *n;
	struct stat st;
	int rc;

	names_add(m->names, fs_node_ino(node_of(m, parent)), str_of(name));
	rc = fs_create(m->fs, loop_ctx(req), node_of(m, parent), str_of(name), mode, fi->flags, &n, &file, &st);
	if (rc < 0) {
		reply_rc(req, rc);
		return;
	}
	entry_fill(m, &e, n, &st);
	fill_info(fi, file);
	if (fuse_reply_create(req, &e, fi) < 0) {
		fs_release(file);
		fs_forget(n, 1);
	}
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fusefs *m = mount_of(req);
	struct fs_file *file;
	int rc = fs_open(m->fs, loop_ctx(req), node_of(m, ino), fi->flags, &file);

	if (rc < 0) {
		reply_rc(req, rc);
		return;
	}
	fill_info(fi, file);
	if (fuse_reply_open(req, fi) < 0)
		fs_release(file);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	void *p = loop_buffer(size);
	ssize_t n;

	if (!p) {
		reply_rc(req, -ENOMEM);
		return;
	}
	n = fs_read(file_of(fi), loop_ctx(req), p, size, (uint64_t)off);
	if (n < 0)
		reply_rc(req, (int)n);
	else
		fuse_reply_buf(req, p, (size_t)n);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs_file *file = file_of(fi);
	struct op_ctx *ctx = loop_ctx(req);
	ssize_t n = fi->writepage ? fs_write_page(file, ctx, p, size, (uint64_t)off)
	                          : fs_write(file, ctx, p, size, (uint64_t)off);

	if (n < 0)
		reply_rc(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	reply_rc(req, fs_flush(file_of(fi), loop_ctx(req)));
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fs_release(file_of(fi));
	fuse_reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	reply_rc(req, fs_fsync(file_of(fi), loop_ctx(req), datasync != 0));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	reply_rc(req, fs_fallocate(file_of(fi), loop_ctx(req), mode, (uint64_t)off, (uint64_t)len));
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	int64_t at = fs_lseek(file_of(fi), loop_ctx(req), (uint64_t)off, whence);

	if (at < 0)
		reply_rc(req, (int)at);
	else
		fuse_reply_lseek(req, at);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                        fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags)
{
	ssize_t n = fs_copy_range(file_of(fi_in), (uint64_t)off_in, file_of(fi_out), (uint64_t)off_out, len, loop_ctx(req));

	if (n < 0)
		reply_rc(req, (int)n);
	else
		fuse_reply_write(req, (size_t)n);
}
