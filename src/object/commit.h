/* SPDX-License-Identifier: Apache-2.0
 *
 * How every change of both faces is made.
 *
 *   lock names (fairness) -> view -> attempt: read, decide, fill the batch -> submit -> applied: notify, unlock
 *        ^                                                                       |
 *        +------------------- -QE_CONFLICT: again, on a fresh view --------------+
 *
 * An attempt runs any number of times and must start from nothing each time: everything that it remembers between
 * runs it must overwrite. It reads through the view only, never blocks (cold index pages aside), and allocates from
 * c->arena, which is emptied before each run. It returns
 *   0             the batch is to be submitted;
 *   COMMIT_NOTHING  nothing is to be changed: success;
 *   < 0           the change is refused.
 * For the S3 origin the outcome, good or bad, is reported when all that it reveals is durable and its notifications are
 * delivered; for a mount when the batch is applied (META_ORDERED) or durable, and never after a notification.
 *
 * After three rejections the change goes alone: it waits until all changes in flight are applied, and others wait.
 */
#ifndef QUOIN_OBJECT_COMMIT_H
#define QUOIN_OBJECT_COMMIT_H

#include "base/arena.h"
#include "base/thread.h"
#include "object/nslock.h"
#include "object/notify.h"
#include "object/store.h"

#define COMMIT_NOTHING 1
#define COMMIT_LOCKS 3
#define COMMIT_TRIES_SHARED 3
#define COMMIT_TRIES_MAX 64

struct object_commit;
typedef int (*commit_attempt_fn)(struct object_commit *c, struct meta_view *v, struct meta_batch *b);
typedef void (*commit_done_fn)(struct object_commit *c, int rc);

struct store_ids { /* a growing list */
	uint64_t *id;
	size_t n, cap;
};
int store_ids_add(struct store_ids *l, uint64_t id) WARN_UNUSED; /* -ENOMEM */
void store_ids_must_add(struct store_ids *l, uint64_t id); /* what would be forgotten ends the process */

struct object_commit {
	/* Set by commit_init and then by the owner, before it runs. */
	struct object_store *store;
	enum meta_promise promise;
	enum op_origin origin;
	const void *mount; /* the mount that makes the change; NULL: S3 */
	bool reveals;      /* success tells of more than the change itself: a copy, of its source */
	commit_attempt_fn attempt;
	commit_done_fn done;      /* commit_start only; may free the memory of c after commit_fini(c) */
	struct meta_batch *batch; /* NULL, or one of the owner's that has its payload already; c owns it */

	/* Results. */
	uint64_t seq;       /* of the batch; of what was consulted when nothing was submitted */
	uint64_t time_ns;   /* commit time */
	struct arena arena; /* of the last attempt; valid until commit_fini */

	/* Inside. */
	unsigned nlocks, have_locks, tries;
	struct nslock_req lock[COMMIT_LOCKS]; /* [0]: the gate of the store */
	bool on_worker, applied, blocking;
	int rc;
	struct list changes; /* of struct notify_change, of the last attempt */
	struct store_ids drops; /* files whose content this batch drops (store_drop_begin) */
	struct store_ids holds; /* files that this batch makes orphans: held until it is applied */
	struct store_ids parts; /* uploads whose parts go in the background once this is applied */
	struct work work;
	struct object_waiter waiter;
	struct mutex wait_lock; /* LOCK_QUEUE; commit_run sleeps under it until a lock is granted */
	struct cond wait_cond;
	bool granted;
};

void commit_init(struct object_commit *c, struct object_store *s, enum meta_promise promise, enum op_origin origin,
                 commit_attempt_fn attempt);
/* Names to be locked, at most COMMIT_LOCKS - 1; equal ones are taken once. dir: a directory id, or a hash of a bucket. */
void commit_lock_name(struct object_commit *c, uint64_t dir, struct str name);
/* Blocks; the outcome. c stays the caller's; commit_fini afterwards. */
int commit_run(struct object_commit *c) WARN_UNUSED;
/* Returns at once; c->done is called exactly once, perhaps before this returns. */
void commit_start(struct object_commit *c);
/* The same, but the attempt runs on the store's committer thread: for callers that must be quick. */
void commit_start_later(struct object_commit *c);
void commit_fini(struct object_commit *c);

/* For attempts: notes a change for the mounts' kernels; sent when the batch is applied, forgotten when it is not. It is not
 * told to c->mount; the caller may clear ->mount of what is returned so that it is. */
struct notify_change *commit_notify_entry(struct object_commit *c, enum notify_kind kind, uint64_t parent,
                                          struct str name, uint64_t old_ino);
struct notify_change *commit_notify_inode(struct object_commit *c, enum notify_kind kind, uint64_t ino, uint64_t off,
                                          uint64_t len);

/* For attempts: the upload's row goes with this batch; its parts follow in the background. */
void commit_reap_parts(struct object_commit *c, uint64_t upload);

/* Called by the store's applied hook. */
void commit_applied(struct object_commit *c, struct meta_batch *b);

#endif
