/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of object/ share: the store itself, holds of files, and small helpers.
 *
 * Holds keep the content of a file readable after its last name is gone. A mount takes one for each node; an attempt that
 * drops a file's content asks store_drop_begin, which notes the drop for as long as its batch is in flight. So:
 *   mount:   find the file in a view -> store_hold (waits while a drop of it is in flight) -> look at a fresh view again
 *   attempt: store_drop_begin -> held: make it an orphan; not held: drop
 * The last store_unhold of an orphan removes it in the background; orphans found at start are removed too.
 */
#ifndef QUOIN_OBJECT_STORE_INTERNAL_H
#define QUOIN_OBJECT_STORE_INTERNAL_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/pool.h"
#include "base/thread.h"
#include "object/commit.h"
#include "object/content.h"
#include "object/notify.h"
#include "object/object.h"
#include "object/path.h"
#include "object/store.h"

struct notifier;
struct body_pool;

struct object_store {
	struct object_params p;
	struct meta_set *set;
	struct workq *workers; /* large bodies, blocking reads */
	struct workq
		*committer; /* one thread: attempts that could not run where they were started; never waits for a commit */
	struct workq *background; /* one thread: removal of orphans and the like; blocks on commits */
	struct nslock names;
	struct mutex hold_lock; /* LOCK_NOTIFY */
	struct cond hold_cond;  /* a drop ended */
	struct hash holds;      /* (hold_lock) of struct store_held */
	struct store_ids orphans; /* (hold_lock) to be removed, nobody holds them */
	bool reaping;             /* (hold_lock) a job sees to them */
	struct notifier *notifier;
	struct body_pool *bodies; /* stripe buffers of large puts */
	_Atomic uint64_t jobs_begun, jobs_done; /* of background */
	_Atomic bool closing;     /* background work that has not begun is left for the next start */
};

/* ---- Holds ----------------------------------------------------------------------------------------------------------- */
/* Blocks while a batch that drops the file is in flight (until it is applied or refused). */
void store_hold(struct object_store *s, uint64_t file);
/* Gives one back; the last one of an orphan starts its removal. Never blocks. */
bool store_hold_try(struct object_store *s, uint64_t file); /* false where store_hold would wait */
void store_unhold(struct object_store *s, uint64_t file);
bool store_file_held(struct object_store *s, uint64_t file);
/* For attempts: true when the file is held (then the batch must keep the content: it is held by the commit as well until it
 * is applied); false: noted as being dropped until then. */
bool store_drop_begin(struct object_commit *c, uint64_t file);
/* For attempts: the file becomes an orphan whether it is held or not; it is removed in the background once nobody holds it. */
void store_orphan_begin(struct object_commit *c, uint64_t file);
void store_drops_end(struct object_commit *c);
/* A mount writes to a file that it holds. A reader (store_hold_try) reads one state of it to the end: true, there is one,
 * and the batch must leave that state to an orphan of its own, which is told by store_edit_kept when the batch is applied;
 * false: none, and none comes until the batch is applied or refused. */
bool store_edit_begin(struct object_commit *c, uint64_t file);
void store_edit_kept(struct object_store *s, uint64_t file, uint64_t orphan);
void store_unhold_reader(struct object_store *s, uint64_t file); /* gives back what store_hold_try gave */
void store_holds_init(struct object_store *s);
void store_holds_done(struct object_store *s);

/* ---- Background (reap.c) ------------------------------------------------------------------------------------------------ */
bool store_closing(struct object_store *s);
/* Removes an orphan when nobody holds it. */
void store_orphan_reap(struct object_store *s, uint64_t file);
/* Drops the parts of an upload that is gone. */
void store_parts_reap(struct object_store *s, uint64_t upload);
/* What an earlier run left: all orphans, parts without an upload. */
void store_sweep_start(struct object_store *s);

/* ---- Notifications (notify.c) ---------------------------------------------------------------------------------------- */
struct notifier *notifier_new(struct object_store *s);
struct notifier *notifier_free(struct notifier *n);
void notifier_reset(struct notifier *n); /* every mount is told to forget all that it was told */
/* Takes the changes of a batch that was just applied. */
void notifier_apply(struct notifier *n, uint64_t seq, struct list *changes);
/* What the kernels hold of a file's content and size is not the file's any more, by no change: unpublished bytes that they
 * had taken for written were given up. Takes LOCK_MOUNTS. */
void notifier_content_lost(struct notifier *n, uint64_t ino);
void notifier_changes_free(struct list *changes);
/* True: nothing of a change <= seq is outstanding, nor, unless w->own, unsettled; else w->notify is queued and w's done runs
 * later. */
bool notifier_wait(struct notifier *n, struct object_waiter *w);
int object_wait_blocking(struct object_store *s, uint64_t seq, bool own) WARN_UNUSED; /* own: object_waiter */

/* ---- Calls of the S3 face (call.c) -------------------------------------------------------------------------------------- */
struct object_call { /* first member of the call's own struct; freed after it was answered */
	struct object_commit commit;
	void (*finish)(struct object_call *k, int rc); /* may be NULL: results to the caller, what the call owns is freed */
	object_done_fn done;
	void *arg;
};
void *object_call_new(struct object_store *s, size_t size, commit_attempt_fn attempt,
                      void (*finish)(struct object_call *k, int rc), object_done_fn done, void *arg);
void object_call_end(struct object_call *k, int rc); /* frees k, then answers when there is a done */
int object_call_run(struct object_call *k);          /* with done: 0; without: the outcome */

/* ---- Buckets, for both faces ------------------------------------------------------------------------------------------- */
/* The caller sets promise, origin, mount through the commit. */
int bucket_create_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct str name)
	WARN_UNUSED;
int bucket_delete_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct str name)
	WARN_UNUSED;

/* ---- Objects ----------------------------------------------------------------------------------------------------------- */
/* What S3 shows of an object entry, or of a directory that has a key of its own (explicit). Strings are borrowed. */
void info_from_file(const struct file_state *f, struct object_info *ret);
void info_from_dir(const struct row_dir *d, uint64_t id, struct object_info *ret);
/* Of the slot that a path ended at: 1 there is an object, 0 none, < 0. */
int info_from_path(struct path *p, struct object_info *ret) WARN_UNUSED;
void info_to_arena(struct object_info *i, struct arena *a); /* copies the strings */
/* mode, uid, gid, mtime of x-amz-meta-* headers over the defaults of the store. */
void attr_from_meta(const struct object_store *s, struct str meta, uint64_t now_ns, struct row_attr *ret);
/* Puts an object or directory marker at the path: the whole of a PUT, a copy, a completion. obj: content with references
 * already counted; version fields are filled here. */
struct object_write {
	struct row_object obj;
	struct row_attr attr;
	struct str xattrs;
	uint64_t file_id;    /* new; of an existing directory: set to its id */
	uint64_t content_of; /* obj's content is that of this file or directory marker, and no reference was added for it
	                           * yet; 0: all references are counted */
};
int object_write_attempt(struct object_commit *c, struct path *p, struct meta_batch *b, struct object_write *w)
	WARN_UNUSED;

int object_key_check(struct str key);

#define ETAG_EMPTY "d41d8cd98f00b204e9800998ecf8427e"

#endif
