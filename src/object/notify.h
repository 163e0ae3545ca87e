/* SPDX-License-Identifier: Apache-2.0
 *
 * Telling the kernel of a mount what changed behind its back (STORAGE.md section 2, Notifier rules).
 *
 * A mount registers what its kernel holds before it reads the state for a reply. At apply, the leader compares each
 * change of the batch with these registrations and queues notifications; the mount's own thread delivers them with no
 * core lock held. A change made through a mount is not told to that mount's kernel, which made it, but for names other
 * than those of the request. notified_seq follows: an S3 answer waits until it has passed what the answer reveals.
 *
 * The kernel acts on its own change after the daemon's answer, when its caller runs again. Until then its names are as
 * before, while S3 shows the change. So an S3 answer that reveals such a change has the kernel settle: NOTIFY_SETTLE of
 * the directory takes the directory's lock, which the caller holds until all is done.
 */
#ifndef QUOIN_OBJECT_NOTIFY_H
#define QUOIN_OBJECT_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct object_store;

enum notify_kind {
	NOTIFY_ENTRY,   /* the name means another id, or nothing, or exists now: inval_entry (or delete) */
	NOTIFY_EXPIRE,  /* a directory that is still the same one, only doubtful: expire_entry */
	NOTIFY_ATTR,    /* attributes, size: inval_inode of attributes */
	NOTIFY_DATA,    /* content of the same file id: inval_inode of the range (off, len; len 0: all) */
	NOTIFY_SETTLE   /* nothing is told: returns when the kernel has acted on its own changes of names in `parent` */
};

/* One change, noted by whoever builds the batch. Names are copied. */
struct notify_change {
	struct list node;
	enum notify_kind kind;
	uint64_t parent, ino;   /* ENTRY, EXPIRE: parent + name (+ ino it meant before, 0: none); ATTR, DATA: ino;
				 * SETTLE: parent */
	uint64_t off, len;
	const void *mount;      /* the mount that made the change, NULL: S3 */
	size_t name_len;
	char name[];
};

/* A mount's side. held(): does the kernel hold this? Called by the leader; must be quick, takes LOCK_NOTIFY-or-below
 * locks only. deliver(): tells the kernel; runs on the mount's notifier thread; ENOENT is success. */
struct notify_ops {
	bool (*held)(void *mount, const struct notify_change *c);
	void (*deliver)(void *mount, const struct notify_change *c);
	/* May be NULL. All that the kernel was told is doubtful (meta's reset hook): must not block, hands the work over. */
	void (*reset)(void *mount);
};
struct notify_mount;
struct notify_mount *notify_mount_add(struct object_store *s, const struct notify_ops *ops, void *mount);
struct notify_mount *notify_mount_remove(struct notify_mount *m); /* drops what is queued, joins its thread */

/* No notification of a change <= this is outstanding, and the kernels have acted on their own. */
uint64_t notify_done_seq(struct object_store *s);

#endif
