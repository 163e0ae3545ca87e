/* SPDX-License-Identifier: Apache-2.0
 *
 * One drive: a directory, normally the root of its own file system. Three kinds can stand behind struct drive_ops: a
 * local directory (drive_posix.c), a peer's drive (later), and a local directory that lies on purpose (drive_faulty.c).
 * Nothing above this folder knows which.
 *
 *   DIR/identity            who this is: deployment, set, slot, drive id; flock()ed by the daemon     (identity.h)
 *   DIR/super               two slots of 4 KiB: promise, journal start, ISR, epoch history           (super.h)
 *   DIR/journal/<log>.log   the journal, equal-sized prewritten files, recycled                       (meta/)
 *   DIR/seg/<id>.seg        segments with cells of payload                                            (erasure/)
 *   DIR/spare/              prewritten files that wait for a name
 *   DIR/index/              the drive's copy of the index, an LMDB environment                         (meta/)
 *
 * Names given to these functions are relative to DIR. All calls may be made from any thread; two calls on one file
 * range at a time are the caller's fault. Buffers, lengths and offsets of DRIVE_DIRECT I/O are multiples of 4096: else
 * -EINVAL, on a drive without O_DIRECT too.
 */
#ifndef QUOIN_DRIVE_DRIVE_H
#define QUOIN_DRIVE_DRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/macros.h"

#define DRIVE_BLOCK 4096

struct drive;
struct drive_file; /* an open file of a drive; reference counted */
struct drive_io;
struct drive_queue;

enum drive_flags {
	DRIVE_DIRECT = 1,   /* O_DIRECT where the drive allows it, else as if not given */
	DRIVE_DSYNC = 2,    /* writes: on the medium when it returns (RWF_DSYNC) */
	DRIVE_NOWAIT = 4,   /* reads: -EAGAIN when it is not in the page cache (RWF_NOWAIT) */
	DRIVE_CREATE = 8,   /* open: create, fail with -EEXIST when it is there */
	DRIVE_PREWRITE = 16, /* open with DRIVE_CREATE: write zeros over the whole size (else fallocate) */
	DRIVE_NO_HOLES = 32  /* open of a file that is there: fallocate its holes */
};

struct drive_space {
	uint64_t total_bytes, free_bytes; /* free: for an unprivileged process, as df, and what spares hold */
};

struct drive_ops {
	void (*close)(struct drive *d);
	/* With DRIVE_CREATE the file gets `size` bytes, is fsynced, and so is its directory, before this returns; a missing
	 * directory is made. On failure no file is left. */
	int (*open)(struct drive *d, const char *name, unsigned flags, uint64_t size, struct drive_file **ret);
	void (*close_file)(struct drive_file *f);
	int (*pread)(struct drive_file *f, void *p, size_t len, uint64_t off, unsigned flags);
	int (*pwrite)(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags);
	int (*sync)(struct drive_file *f);                                  /* fdatasync */
	int (*drop_clean)(struct drive_file *f);                            /* POSIX_FADV_DONTNEED of the whole file */
	int (*punch)(struct drive_file *f, uint64_t off, uint64_t len);     /* hole, size kept */
	int (*mkdir)(struct drive *d, const char *name);                    /* 0 when it is there; parent fsynced */
	int (*rename)(struct drive *d, const char *from, const char *to);   /* both directories fsynced on return */
	int (*unlink)(struct drive *d, const char *name);                   /* directory fsynced on return */
	/* Each name in dir ("." for the drive itself) without "." and ".."; stops at and returns fn's first non-zero. */
	int (*list)(struct drive *d, const char *dir, int (*fn)(void *arg, const char *name), void *arg);
	int (*space)(struct drive *d, struct drive_space *ret);
	/* Starts io; the result arrives in the queue's completion list, perhaps before this returns. */
	void (*submit)(struct drive_queue *q, struct drive_io *io);
};

struct drive {
	const struct drive_ops *ops;
	char *path;             /* of the directory, as given by the user; also its name in messages. Something else may stand
				 * there by now: what is done to the drive goes by dir_fd */
	int dir_fd;             /* closed by its ops */
	unsigned slot;          /* place in its set; set by identity_read and identity_format */
	uint8_t id[16];         /* drive id; set with slot */
	int lock_fd;            /* the flock()ed identity, closed by drive_close; -1: not held */
	bool direct;            /* atomic; O_DIRECT works here (probed at open, corrected at first use) */
	unsigned changes;       /* atomic: see drive_changes */
	uint64_t timeout_ns;    /* 0: none; what a call that is not queued may take (call.c). Set by who opened it */
	bool root_disk;         /* st_dev equals that of / (or, in a container, of /data) */
	bool mount_point;       /* a file system begins here: st_dev is not that of the directory it lies in */
	uint64_t spare_bytes;   /* atomic: see drive_set_spare_bytes */
	unsigned users;         /* atomic: open files and drive_hold */
	struct drive_health *health;
};

/* A path of the drive's directory for who can open by path only; ret: DRIVE_DIR_PATH bytes. */
#define DRIVE_DIR_PATH 40
void drive_dir_path(const struct drive *d, char *ret);

struct drive_file {
	struct drive *drive;
	int refs;               /* atomic; drive_file_ref/_unref */
	uint64_t size;          /* when it was opened */
	char *name;             /* as opened, for messages: a later rename does not change it */
};

/* Opens a directory as a drive: it must exist and be writable. Makes nothing in it (it may be somebody else's: see
 * identity_read); journal/, seg/, spare/, index/ are made by super_format or with the first file in them. Probes
 * O_DIRECT with a file that has no name, where the file system can, else in spare/ of a drive that has an identity;
 * warns once when refused. 0, -ENOENT, -ENOTDIR, -EACCES, ... */
int drive_posix_open(const char *path, struct drive **ret) WARN_UNUSED;
/* The same for who only looks: files are opened for reading, whatever would change something fails with -EROFS, and a
 * sync does nothing. The directory need not be writable. Nothing is probed. */
int drive_posix_open_read(const char *path, struct drive **ret) WARN_UNUSED;
/* Drops the lock of the identity. All files must be closed, all I/O done, and nobody may hold it: no users are left.
 * Accepts NULL; returns NULL. */
struct drive *drive_close(struct drive *d);
/* Who uses a drive that another thread may take away holds it meanwhile; an open file holds its drive by itself, so I/O in
 * flight does too. Whoever takes it away makes sure first that nobody new gets it, then waits until users are 0. hold
 * accepts and returns NULL. */
struct drive *drive_hold(struct drive *d);
void drive_unhold(struct drive *d);                    /* accepts NULL */
unsigned drive_users(const struct drive *d);
static inline void drive_unholdp(struct drive **d)
{
	drive_unhold(*d);
}
#define CLEANUP_DRIVE CLEANUP(drive_unholdp)
/* For the log: of a slot that may have no drive, NULL. */
static inline const char *drive_path(const struct drive *d)
{
	return d ? d->path : "none";
}
struct drive_file *drive_file_ref(struct drive_file *f);
void drive_file_unref(struct drive_file *f);           /* accepts NULL; the last one closes */

/* The ops, checked: they count errors and latency in the drive's health and return -EIO at once while it is `out`. */
int drive_open(struct drive *d, const char *name, unsigned flags, uint64_t size, struct drive_file **ret) WARN_UNUSED;
int drive_pread(struct drive_file *f, void *p, size_t len, uint64_t off, unsigned flags) WARN_UNUSED;
int drive_pwrite(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags) WARN_UNUSED;
int drive_sync(struct drive_file *f) WARN_UNUSED;
int drive_drop_clean(struct drive_file *f) WARN_UNUSED;
int drive_punch(struct drive_file *f, uint64_t off, uint64_t len) WARN_UNUSED;
int drive_mkdir(struct drive *d, const char *name) WARN_UNUSED;
int drive_rename(struct drive *d, const char *from, const char *to) WARN_UNUSED;
int drive_unlink(struct drive *d, const char *name) WARN_UNUSED;
int drive_list(struct drive *d, const char *dir, int (*fn)(void *arg, const char *name), void *arg) WARN_UNUSED;
int drive_space(struct drive *d, struct drive_space *ret) WARN_UNUSED;
/* What the files in spare/ hold, which drive_space counts as free: whoever keeps them there says it. */
void drive_set_spare_bytes(struct drive *d, uint64_t bytes);

/* ---- Asynchronous I/O ------------------------------------------------------------------------------------------
 * A queue is an io_uring, or a few threads where io_uring is not allowed. Submit from any thread; completions are
 * taken by whoever calls drive_queue_reap, which runs each io's done(). The owner keeps io, file and buffers alive
 * until then. drive_queue_fd becomes readable when completions wait, so that it fits into an epoll set.
 */
#define DRIVE_NOT_BEGUN UINT64_MAX

enum drive_io_op { DRIVE_IO_READ, DRIVE_IO_WRITE, DRIVE_IO_SYNC };

struct drive_io {
	struct drive_file *file;
	enum drive_io_op op;
	unsigned flags;              /* DRIVE_DIRECT, DRIVE_DSYNC */
	void *buf;
	size_t len;
	uint64_t off;
	int result;                  /* 0 when all len bytes were done, else -errno, or -QE_END_OF_FILE: fewer are there to read */
	uint64_t submit_ns;          /* mono, set by submit; in a lane: when it was begun, DRIVE_NOT_BEGUN before; atomic there */
	void (*done)(struct drive_io *io); /* called by reap; may submit again */
	void *owner;
	/* The queue's own. */
	struct list node;
	size_t moved;                /* bytes done: short transfers are continued */
	int fd;
};

/* depth: I/O that the kernel gets at a time; more may be submitted and waits its turn. force_threads: no io_uring even
 * where it is allowed (tests). NULL: no memory (or no threads). Never fails for lack of io_uring. */
struct drive_queue *drive_queue_new(unsigned depth, bool force_threads);
/* A queue for writes through the page cache: one thread does them in order, and calls finished when it has done all that
 * waits; finished reaps. Nothing else tells of an end: the fd stays unreadable, reap does not wait. NULL: no memory. */
struct drive_queue *drive_queue_new_lane(void (*finished)(void *arg), void *arg);
/* From time to time, for a lane: gives it another thread when what waits is held up by I/O that is older. */
void drive_queue_watch(struct drive_queue *q, uint64_t stuck_ns);
/* Waits for all I/O in flight and runs its done(). Accepts NULL; returns NULL. */
struct drive_queue *drive_queue_free(struct drive_queue *q);
int drive_queue_fd(struct drive_queue *q);
void drive_queue_submit(struct drive_queue *q, struct drive_io *io); /* queues; flush sends many by one system call */
void drive_queue_flush(struct drive_queue *q);
/* Runs done() of every finished io, then flushes; waits up to timeout_ns for the first (0: do not wait). Returns the
 * number of done() calls. The fd may be readable with nothing to reap: it is cleared here. */
unsigned drive_queue_reap(struct drive_queue *q, uint64_t timeout_ns);
/* Makes the fd unreadable until something finishes again. A completion may be reaped before its wake-up arrives, which
 * then stays; a level-triggered loop calls this, and looks for completions after it. */
void drive_queue_quiet(struct drive_queue *q);
unsigned drive_queue_inflight(const struct drive_queue *q); /* submitted, done() not yet returned */
bool drive_queue_is_uring(const struct drive_queue *q);

/* ---- Health ----------------------------------------------------------------------------------------------------- */
/* What an error of a drive is, as half a sentence without a full stop: it goes behind the drive's path or what was done. */
const char *drive_err_text(int rc);
struct drive_stats {
	uint64_t reads, writes, syncs, errors, bytes_read, bytes_written;
	uint64_t read_ns, write_ns, sync_ns; /* time spent, summed; queued I/O counts from its submit */
	uint64_t last_error_ns;      /* wall */
	char last_error[96];         /* "write journal/00000001.log: Input/output error" */
	bool out;                    /* removed from the in-sync list */
};
void drive_stats(struct drive *d, struct drive_stats *ret);
/* From now on every checked call and every submitted io fails with -EIO at once (drive_close excepted), until out is
 * false again. What was in flight goes on. why: kept as last_error; NULL keeps the old one. */
void drive_set_out(struct drive *d, bool out, const char *why);
bool drive_is_out(const struct drive *d);
/* Calls and queued I/O that change something, or flush, and have not returned: 0 means that nothing which was begun before
 * can still reach the medium. */
unsigned drive_changes(const struct drive *d);

#endif
