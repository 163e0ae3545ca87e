/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes, extended attributes, the file system's own figures.
 */
#include "fusefs/fusefs_internal.h"

#define XATTR_MAX 65536u

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fusefs *m = mount_of(req);
	struct stat st;
	int rc = fs_getattr(m->fs, loop_ctx(req), node_of(m, ino), &st);

	if (rc < 0)
		reply_rc(req, rc);
	else
		fuse_reply_attr(req, &st, m->cache_s);
}

static unsigned set_of(int to_set)
{
	static const struct {
		int fuse;
		unsigned set;
	} map[] = {
		{FUSE_SET_ATTR_MODE, FS_SET_MODE},
		{FUSE_SET_ATTR_UID, FS_SET_UID},
		{FUSE_SET_ATTR_GID, FS_SET_GID},
		{FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
		{FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
		{FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
		{FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
		{FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
		{FUSE_SET_ATTR_CTIME, FS_SET_CTIME},
	};
	unsigned set = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (to_set & map[i].fuse)
			set |= map[i].set;
	return set;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct fusefs *m = mount_of(req);
	struct op_ctx *ctx = loop_ctx(req);
	unsigned set = set_of(to_set);
	struct stat st;
	int rc;

	/* With FUSE_HANDLE_KILLPRIV_V2 the kernel leaves it to us; root has CAP_FSETID, others seldom. */
	if (m->killpriv && ((set & (FS_SET_UID | FS_SET_GID)) || ((set & FS_SET_SIZE) && ctx->uid != 0)))
		set |= FS_CLEAR_SUID;
	rc = fs_setattr(m->fs, ctx, node_of(m, ino), attr, set, &st);
	if (rc < 0)
		reply_rc(req, rc);
	else
		fuse_reply_attr(req, &st, m->cache_s);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fusefs *m = mount_of(req);
	struct statvfs st;
	int rc = fs_statfs(m->fs, loop_ctx(req), node_of(m, ino), &st);

	if (rc < 0)
		reply_rc(req, rc);
	else
		fuse_reply_statfs(req, &st);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct fusefs *m = mount_of(req);

	reply_rc(req, fs_setxattr(m->fs, loop_ctx(req), node_of(m, ino), str_of(name), value, size, flags));
}

static void reply_xattr(fuse_req_t req, ssize_t n, const void *p, size_t size)
{
	if (n < 0)
		reply_rc(req, (int)n);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)n);
	else
		fuse_reply_buf(req, p, (size_t)n);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fusefs *m = mount_of(req);
	size_t room = MIN(size, XATTR_MAX);
	void *p = loop_buffer(XATTR_MAX);

	if (!p)
		reply_rc(req, -ENOMEM);
	else
		reply_xattr(req, fs_getxattr(m->fs, loop_ctx(req), node_of(m, ino), str_of(name), p, room), p, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fusefs *m = mount_of(req);
	size_t room = MIN(size, XATTR_MAX);
	void *p = loop_buffer(XATTR_MAX);

	if (!p)
		reply_rc(req, -ENOMEM);
	else
		reply_xattr(req, fs_listxattr(m->fs, loop_ctx(req), node_of(m, ino), p, room), p, size);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fusefs *m = mount_of(req);

	reply_rc(req, fs_removexattr(m->fs, loop_ctx(req), node_of(m, ino), str_of(name)));
}
