/* SPDX-License-Identifier: Apache-2.0
 *
 * Open directories.
 */
#include "fusefs/fusefs_internal.h"

static struct fs_dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct fs_dir *)(uintptr_t)fi->fh;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fusefs *m = mount_of(req);
	struct fs_dir *d;
	int rc = fs_opendir(m->fs, loop_ctx(req), node_of(m, ino), &d);

	if (rc < 0) {
		reply_rc(req, rc);
		return;
	}
	fi->fh = (uintptr_t)d;
	if (fuse_reply_open(req, fi) < 0)
		fs_closedir(d);
}

/* One more entry at buf, or 0 when there is no room. */
static size_t add_entry(fuse_req_t req, char *buf, size_t room, const struct fs_dirent *de, const char *name)
{
	struct stat st = {.st_ino = de->ino, .st_mode = de->type};
	size_t need = fuse_add_direntry(req, NULL, 0, name, NULL, 0);

	if (need > room)
		return 0;
	return fuse_add_direntry(req, buf, room, name, &st, (off_t)de->next);
}

static size_t add_entry_plus(fuse_req_t req, char *buf, size_t room, const struct fs_dirent *de, const char *name)
{
	struct fusefs *m = mount_of(req);
	struct fuse_entry_param e;
	size_t need = fuse_add_direntry_plus(req, NULL, 0, name, NULL, 0);

	if (need > room)
		return 0;
	entry_fill(m, &e, de->node, &de->st);
	if (!de->node) { /* "." and "..", or gone meanwhile: only the number and the type are told */
		e.attr.st_ino = de->ino;
		e.attr.st_mode = de->type;
		e.entry_timeout = 0;
	}
	return fuse_add_direntry_plus(req, buf, room, name, &e, (off_t)de->next);
}

static int fill(fuse_req_t req, struct fs_dir *d, char *buf, size_t size, uint64_t off, bool plus, size_t *ret_len)
{
	struct op_ctx *ctx = loop_ctx(req);
	struct fs_dirent de;
	char name[256];
	size_t len = 0, n;
	int rc;

	while ((rc = fs_readdir(d, ctx, off, plus, &de)) > 0) {
		memcpy(name, de.name.p, MIN(de.name.len, sizeof name - 1));
		name[MIN(de.name.len, sizeof name - 1)] = '\0';
		n = plus ? add_entry_plus(req, buf + len, size - len, &de, name)
		         : add_entry(req, buf + len, size - len, &de, name);
		if (n == 0) {
			if (de.node)
				fs_forget(de.node, 1);
			break;
		}
		len += n;
		off = de.next;
	}
	*ret_len = len;
	return rc < 0 && len == 0 ? rc : 0; /* what was found before the error is told first */
}

static void read_dir(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	char *buf = loop_buffer(size);
	size_t len = 0;
	int rc = buf ? fill(req, dir_of(fi), buf, size, (uint64_t)off, plus, &len) : -ENOMEM;

	if (rc < 0)
		reply_rc(req, rc);
	else
		fuse_reply_buf(req, buf, len);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, size, off, fi, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fs_closedir(dir_of(fi));
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	reply_rc(req, fs_fsyncdir(dir_of(fi), loop_ctx(req)));
}
