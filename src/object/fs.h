/* SPDX-License-Identifier: Apache-2.0
 *
 * The same objects as files and directories, for a mount. Inode numbers are file and directory ids; 1 is the mount
 * root,
 * whose children are the buckets (mkdir and rmdir there create and delete buckets, nothing else can be made there).
 *
 * All calls block and may be made from any thread; they return 0 (or a count) or a negative error (err_errno gives the
 * errno). Calls that change names or attributes promise `ordered`: they survive kill -9 when they return; fs_fsync and
 * fs_syncfs promise `durable`. No call waits for a notification.
 *
 * A node stands for an inode that the kernel, or a call, holds. Nodes are counted: fs_lookup, fs_create, ... return one
 * reference; fs_forget gives references back. A node keeps its content readable and its inode alive until then, even
 * when its last name is gone (unlink while open).
 */
#ifndef QUOIN_OBJECT_FS_H
#define QUOIN_OBJECT_FS_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "object/notify.h"
#include "object/store.h"

#define FS_ROOT_INO 1

struct fs; /* one mount's view of a store */
struct fs_node;
struct fs_file; /* an open file */
struct fs_dir;  /* an open directory */

struct fs_params {
	struct object_store *store;
	struct str bucket, prefix; /* shown as the root; empty: all buckets */
	void *mount;               /* argument of notify, and the `mount` of changes made here */
	/* Names that fs_readdir (plus) is about to tell, before it reads what they stand for. May be NULL. */
	void (*name_told)(void *mount, uint64_t dir, struct str name);
};

struct fs *fs_new(const struct fs_params *p, int *ret_rc); /* NULL: *ret_rc tells (no such bucket, ...) */
struct fs *fs_free(struct fs *f);                          /* publishes dirty data of all files */

/* Who asks: ctx->uid, gid, umask. Permission checks are the kernel's (default_permissions). */
int fs_root(struct fs *f, struct fs_node **ret) WARN_UNUSED;
int fs_lookup(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct fs_node **ret,
              struct stat *st) WARN_UNUSED; /* -ENOENT */
void fs_forget(struct fs_node *n, uint64_t count);
uint64_t fs_node_ino(const struct fs_node *n);

/* For the mount's side of the notifier. A node is `told` from before its state is read for a reply until fs_notice.
 * fs_told is quick and takes only a lock below LOCK_NOTIFY; fs_notice gives one reference, NULL when there is no such
 * node; with ret_told NULL it stays told. */
bool fs_told(struct fs *f, uint64_t ino);
struct fs_node *fs_notice(struct fs *f, uint64_t ino, bool *ret_told);
/* All of them, one reference each, in memory to be freed; 0 also when memory is out. */
size_t fs_nodes(struct fs *f, struct fs_node ***ret);
/* Where the node was last seen: its directory (one reference) and name, both only a hint. False: not known. */
bool fs_node_place(struct fs *f, struct fs_node *n, struct fs_node **ret_parent, char name[256]);
int fs_getattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct stat *st) WARN_UNUSED;
enum fs_set {
	FS_SET_MODE = 1,
	FS_SET_UID = 2,
	FS_SET_GID = 4,
	FS_SET_SIZE = 8,
	FS_SET_ATIME = 16,
	FS_SET_MTIME = 32,
	FS_SET_ATIME_NOW = 64,
	FS_SET_MTIME_NOW = 128,
	FS_SET_CTIME = 256,
	FS_CLEAR_SUID = 512
};
int fs_setattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, const struct stat *in, unsigned set,
               struct stat *st) WARN_UNUSED;

int fs_mkdir(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, mode_t mode, struct fs_node **ret,
             struct stat *st) WARN_UNUSED;
int fs_mknod(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, mode_t mode, dev_t rdev,
             struct fs_node **ret, struct stat *st) WARN_UNUSED;
int fs_symlink(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct str target,
               struct fs_node **ret, struct stat *st) WARN_UNUSED;
int fs_readlink(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str *ret) WARN_UNUSED; /* in ctx->arena */
int fs_link(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct fs_node *dir, struct str name, struct stat *st)
	WARN_UNUSED; /* one more reference of n */
int fs_unlink(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name) WARN_UNUSED;
int fs_rmdir(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name) WARN_UNUSED;
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. -EXDEV between buckets. */
int fs_rename(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct fs_node *newdir,
              struct str newname, unsigned flags) WARN_UNUSED;

int fs_create(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, mode_t mode, int flags,
              struct fs_node **ret, struct fs_file **ret_file, struct stat *st) WARN_UNUSED;
int fs_open(struct fs *f, struct op_ctx *ctx, struct fs_node *n, int flags, struct fs_file **ret)
	WARN_UNUSED; /* O_TRUNC is honoured */
struct fs_node *fs_file_node(const struct fs_file *file);
/* False: the kernel may have pages of it that were given up after a close that failed, and has not heard so yet. */
bool fs_file_keeps_cache(const struct fs_file *file);
ssize_t fs_read(struct fs_file *file, struct op_ctx *ctx, void *p, size_t len, uint64_t off)
	WARN_UNUSED; /* short at the end */
ssize_t fs_write(struct fs_file *file, struct op_ctx *ctx, const void *p, size_t len, uint64_t off)
	WARN_UNUSED; /* O_APPEND: at the end */
/* Of a page that was written through a mapping: at its offset, whatever the flags say. */
ssize_t fs_write_page(struct fs_file *file, struct op_ctx *ctx, const void *p, size_t len, uint64_t off) WARN_UNUSED;
int fs_flush(struct fs_file *file, struct op_ctx *ctx) WARN_UNUSED; /* close(2) of a descriptor: publishes, ordered */
int fs_fsync(struct fs_file *file, struct op_ctx *ctx, bool data_only) WARN_UNUSED;
void fs_release(struct fs_file *file);
int fs_fallocate(struct fs_file *file, struct op_ctx *ctx, int mode, uint64_t off, uint64_t len) WARN_UNUSED;
int64_t fs_lseek(struct fs_file *file, struct op_ctx *ctx, uint64_t off, int whence)
	WARN_UNUSED; /* SEEK_DATA, SEEK_HOLE */
ssize_t fs_copy_range(struct fs_file *in, uint64_t off_in, struct fs_file *out, uint64_t off_out, size_t len,
                      struct op_ctx *ctx) WARN_UNUSED;

struct fs_dirent {
	struct str name;
	uint64_t ino;
	unsigned type; /* S_IFMT bits */
	uint64_t next; /* offset to resume */
	bool has_stat;
	struct stat st;
	struct fs_node *node;
};
int fs_opendir(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct fs_dir **ret) WARN_UNUSED;
/* The entry behind `off` (0: the first; "." and ".." come first). plus: also node (one reference) and stat. 1, 0 at the end, < 0. Names live until the
 * next call. Stable under changes: every name present all along is returned exactly once. */
int fs_readdir(struct fs_dir *d, struct op_ctx *ctx, uint64_t off, bool plus, struct fs_dirent *ret) WARN_UNUSED;
int fs_fsyncdir(struct fs_dir *d, struct op_ctx *ctx) WARN_UNUSED;
void fs_closedir(struct fs_dir *d);

/* The set was revived (meta_set_revive): what is told of names and content may have been taken back. After the kernel was
 * told; what is unpublished is submitted again. */
void fs_revived(struct fs *f);

int fs_statfs(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct statvfs *ret) WARN_UNUSED;
int fs_syncfs(struct fs *f) WARN_UNUSED;
ssize_t fs_getxattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str name, void *p, size_t size)
	WARN_UNUSED;
int fs_setxattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str name, const void *p, size_t size,
                int flags) WARN_UNUSED;
ssize_t fs_listxattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, void *p, size_t size) WARN_UNUSED;
int fs_removexattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str name) WARN_UNUSED;

#endif
