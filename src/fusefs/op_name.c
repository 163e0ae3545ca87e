/* SPDX-License-Identifier: Apache-2.0
 *
 * Names: lookup, making, removing, renaming. A name is registered before its state is read (STORAGE.md section 2,
 * Notifier rules 2); nodes register themselves in object/fs.
 */
#include "fusefs/fusefs_internal.h"

static void register_name(struct fusefs *m, fuse_ino_t parent, const char *name)
{
	names_add(m->names, fs_node_ino(node_of(m, parent)), str_of(name));
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fusefs *m = mount_of(req);
	struct fuse_entry_param e;
	struct fs_node *n;
	struct stat st;
	int rc;

	register_name(m, parent, name);
	rc = fs_lookup(m->fs, loop_ctx(req), node_of(m, parent), str_of(name), &n, &st);
	if (rc == 0) {
		reply_entry(req, n, &st);
	} else if (err_errno(rc) == ENOENT) {
		entry_fill(m, &e, NULL, NULL); /* node 0: the kernel keeps that there is nothing */
		fuse_reply_entry(req, &e);
	} else {
		reply_rc(req, rc);
	}
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	if (ino != FUSE_ROOT_ID)
		fs_forget(node_of(mount_of(req), ino), nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fusefs *m = mount_of(req);

	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			fs_forget(node_of(m, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void reply_made(fuse_req_t req, int rc, struct fs_node *n, const struct stat *st)
{
	if (rc < 0)
		reply_rc(req, rc);
	else
		reply_entry(req, n, st);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fusefs *m = mount_of(req);
	struct fs_node *n = NULL;
	struct stat st;
	int rc;

	register_name(m, parent, name);
	rc = fs_mkdir(m->fs, loop_ctx(req), node_of(m, parent), str_of(name), mode, &n, &st);
	reply_made(req, rc, n, &st);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct fusefs *m = mount_of(req);
	struct fs_node *n = NULL;
	struct stat st;
	int rc;

	register_name(m, parent, name);
	rc = fs_mknod(m->fs, loop_ctx(req), node_of(m, parent), str_of(name), mode, rdev, &n, &st);
	reply_made(req, rc, n, &st);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct fusefs *m = mount_of(req);
	struct fs_node *n = NULL;
	struct stat st;
	int rc;

	register_name(m, parent, name);
	rc = fs_symlink(m->fs, loop_ctx(req), node_of(m, parent), str_of(name), str_of(target), &n, &st);
	reply_made(req, rc, n, &st);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fusefs *m = mount_of(req);
	struct op_ctx *ctx = loop_ctx(req);
	struct str target;
	int rc = fs_readlink(m->fs, ctx, node_of(m, ino), &target);

	if (rc < 0)
		reply_rc(req, rc);
	else
		fuse_reply_readlink(req, arena_str(&ctx->arena, target).p);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct fusefs *m = mount_of(req);
	struct fs_node *n = node_of(m, ino);
	struct stat st;
	int rc;

	register_name(m, parent, name);
	rc = fs_link(m->fs, loop_ctx(req), n, node_of(m, parent), str_of(name), &st);
	reply_made(req, rc, n, &st);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fusefs *m = mount_of(req);

	register_name(m, parent, name);
	reply_rc(req, fs_unlink(m->fs, loop_ctx(req), node_of(m, parent), str_of(name)));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fusefs *m = mount_of(req);

	register_name(m, parent, name);
	reply_rc(req, fs_rmdir(m->fs, loop_ctx(req), node_of(m, parent), str_of(name)));
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
               unsigned flags)
{
	struct fusefs *m = mount_of(req);

	register_name(m, parent, name);
	register_name(m, newparent, newname);
	reply_rc(req, fs_rename(m->fs, loop_ctx(req), node_of(m, parent), str_of(name), node_of(m, newparent),
	                        str_of(newname), flags));
}
