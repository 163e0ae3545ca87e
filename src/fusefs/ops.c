/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of FUSE operations, the session's first words, and what all operations share.
 */
#include "base/log.h"
#include "fusefs/fusefs_internal.h"

#define MAX_WRITE (1u << 20)

static void want(struct fuse_conn_info *conn, unsigned cap)
{
	if (conn->capable & cap)
		conn->want |= cap;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->max_write = MAX_WRITE;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	conn->time_gran = 1;
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
	                          FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_POSIX_LOCKS |
	                          FUSE_CAP_FLOCK_LOCKS);
	want(conn, FUSE_CAP_ASYNC_READ);
	want(conn, FUSE_CAP_ATOMIC_O_TRUNC);
	want(conn, FUSE_CAP_PARALLEL_DIROPS);
	want(conn, FUSE_CAP_READDIRPLUS);
	want(conn, FUSE_CAP_READDIRPLUS_AUTO);
	want(conn, FUSE_CAP_CACHE_SYMLINKS);
	want(conn, FUSE_CAP_EXPLICIT_INVAL_DATA);
	want(conn, FUSE_CAP_EXPIRE_ONLY);
	want(conn, FUSE_CAP_ASYNC_DIO);
}

void entry_fill(struct fusefs *m, struct fuse_entry_param *e, struct fs_node *n, const struct stat *st)
{
	memset(e, 0, sizeof *e);
	e->ino = n ? ino_of(m, n) : 0;
	if (n)
		e->attr = *st;
	e->attr_timeout = m->cache_s;
	e->entry_timeout = m->cache_s;
}

void reply_rc(fuse_req_t req, int rc)
{
	fuse_reply_err(req, rc < 0 ? err_errno(rc) : 0);
}

void reply_entry(fuse_req_t req, struct fs_node *n, const struct stat *st)
{
	struct fuse_entry_param e;

	entry_fill(mount_of(req), &e, n, st);
	if (fuse_reply_entry(req, &e) < 0)
		fs_forget(n, 1);
}

const struct fuse_lowlevel_ops fusefs_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	/* No lock operations: the kernel keeps flock and fcntl locks of this mount itself. */
};
