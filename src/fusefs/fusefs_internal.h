/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of fusefs/.
 */
#ifndef QUOIN_FUSEFS_FUSEFS_INTERNAL_H
#define QUOIN_FUSEFS_FUSEFS_INTERNAL_H

#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/fdio.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/thread.h"
#include "fusefs/fusefs.h"
#include "object/fs.h"

/* ---- names.c: which names the kernel may hold -------------------------------------------------------------- */
struct names;
struct names *names_new(uint64_t life_ns); /* life of a name in the kernel; NULL: no memory */
struct names *names_free(struct names *n);
void names_add(struct names *n, uint64_t parent, struct str name);
bool names_has(struct names *n, uint64_t parent, struct str name); /* may say yes too often, never no too often */

struct fusefs {
	struct fuse_session *se;
	struct fs *fs;
	struct fs_node *root;
	struct object_store *store;
	struct names *names;
	struct notify_mount *notify;
	struct fusefs_guard *guard; /* the caller's; may be NULL */
	char *path;
	double cache_s;
	bool killpriv;        /* the kernel leaves dropping set-id bits to us */
	uint64_t init_unique; /* of the INIT request, to find its reply */
	uint32_t init_flags;  /* that the kernel offers */
	char dev[32];         /* "0:53", the mount's device, "" if unknown */
	unsigned read_ahead_kb;

	struct mutex lock; /* LOCK_QUEUE: the threads */
	struct cond changed;
	struct list workers, ended; /* of struct worker */
	unsigned threads, keep, max;
	atomic_uint idle;
	bool stopping;
	unsigned reset_jobs; /* queued or running */
	struct work reset_work;
	atomic_bool resetting; /* queued */
	void (*on_end)(void *arg);
	void *arg;
	atomic_uint_fast64_t requests, notifications;
};

/* ---- connection.c: a path is absolute and has no links -------------------------------------------------------- */
/* Makes it so. What is mounted there is not asked, for that may hang. */
int connection_place(const char *path, char ret[PATH_MAX]) WARN_UNUSED;
/* The device, "0:53", of quoin's mount at the path, if that is the topmost there; else "". */
void connection_find(const char *path, char ret[32]);
bool connection_is_at(const char *path, const char *dev);
int connection_unmount(const char *path, bool lazy) WARN_UNUSED;
/* A descriptor: whatever is written to it aborts the connection. It stays bound to this one. -ENOENT: it is gone, or
 * fusectl is not mounted. */
int connection_control(const char *dev) WARN_UNUSED;
int connection_abort(const char *dev) WARN_UNUSED;
int connection_force(const char *path, const char *dev) WARN_UNUSED; /* the same without fusectl, by root */

/* ---- guard.c: what the guard, if any, is told ---------------------------------------------------------------- */
void guard_mounted(const struct fusefs_guard *g, const char *path, const char *dev);
void guard_unmounted(const struct fusefs_guard *g);

/* ---- loop.c ------------------------------------------------------------------------------------------------ */
int loop_start(struct fusefs *m) WARN_UNUSED;
void loop_join(struct fusefs *m);
/* Waits for all workers to end, at most so long. */
bool loop_ended(struct fusefs *m, uint64_t wait_ns);
/* The request context of this worker, reset for a new request. */
struct op_ctx *loop_ctx(fuse_req_t req);
/* A buffer of this worker, 4 KiB aligned, for replies to read and readdir. */
void *loop_buffer(size_t len);

/* ---- ops.c and its parts ----------------------------------------------------------------------------------- */
extern const struct fuse_lowlevel_ops fusefs_ops;
static inline struct fusefs *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}
static inline struct fs_node *node_of(struct fusefs *m, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? m->root : (struct fs_node *)(uintptr_t)ino;
}
static inline fuse_ino_t ino_of(const struct fusefs *m, const struct fs_node *n)
{
	return n == m->root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)n;
}
void entry_fill(struct fusefs *m, struct fuse_entry_param *e, struct fs_node *n, const struct stat *st);
void reply_rc(fuse_req_t req, int rc); /* 0 or a negative error */
/* A new reference of n goes to the kernel; it comes back when the reply is not delivered. */
void reply_entry(fuse_req_t req, struct fs_node *n, const struct stat *st);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
               unsigned flags);

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t size, off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                        fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ---- notify.c ---------------------------------------------------------------------------------------------- */
extern const struct notify_ops fusefs_notify_ops;

#endif
