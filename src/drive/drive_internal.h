/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share: making drives and files, accounting, and the two ways into a queue.
 */
#ifndef QUOIN_DRIVE_DRIVE_INTERNAL_H
#define QUOIN_DRIVE_DRIVE_INTERNAL_H

#include "base/lock.h"
#include "drive/drive.h"

#define IDENTITY_NAME "identity"
#define IDENTITY_TMP_NAME "identity.tmp"
#define SUPER_NAME "super"
#define SUPER_FILE_SIZE (2 * DRIVE_BLOCK)

/* The directories that a format makes. */
extern const char *const drive_dirs[4];

struct buf;

struct drive_health {
	struct mutex lock;       /* LOCK_DRIVE: the last error */
	struct drive_stats st;   /* counters and out: atomic; last_error*: lock */
};

/* For implementations: fill in and empty the common part (which they embed). init: 0 or -ENOMEM. */
int drive_init(struct drive *d, const struct drive_ops *ops, const char *path) WARN_UNUSED;
void drive_done(struct drive *d);
int drive_file_init(struct drive_file *f, struct drive *d, const char *name, uint64_t size) WARN_UNUSED;
void drive_file_done(struct drive_file *f);
/* Around whatever changes or flushes something (drive_changes). */
void drive_change_begin(struct drive *d);
void drive_change_end(struct drive *d);
/* One call of d->ops that may wait for the medium, made so that it does not wait for longer than the drive's timeout:
 * -QE_DRIVE_TIMEOUT then, and the drive is out. ret: of CALL_OPEN. */
struct drive_call {
	enum { CALL_OPEN, CALL_PREAD, CALL_PWRITE, CALL_SYNC, CALL_DROP_CLEAN, CALL_PUNCH, CALL_MKDIR, CALL_RENAME, CALL_UNLINK,
	       CALL_LIST } op;
	struct drive_file *file;
	const char *name, *to;
	unsigned flags;
	void *buf;
	size_t len;
	uint64_t off;            /* CALL_OPEN: the size */
	struct buf *names;       /* CALL_LIST: gets them, each with its 0 */
};
int drive_call(struct drive *d, const struct drive_call *c, struct drive_file **ret) WARN_UNUSED;
/* Counts one finished read, write or sync, and notes an error. */
void drive_account(struct drive_file *f, enum drive_io_op op, int rc, size_t len, uint64_t since_ns);

/* For ops->submit. ready: the io has its result. local: run it on the descriptors of a drive_posix file. */
void drive_queue_ready(struct drive_queue *q, struct drive_io *io, int result);
void drive_queue_local(struct drive_queue *q, struct drive_io *io);
/* The descriptor for I/O with these flags: the O_DIRECT one only for DRIVE_DIRECT and where the drive allows it. */
int drive_posix_fd(struct drive_file *f, unsigned flags);

#endif
