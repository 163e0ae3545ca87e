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
	struct workq *workers;
	struct nslock names;
	struct mutex hold_lock;   /* LOCK_NS */
	struct cond hold_cond;    /* a drop ended */
	struct hash holds;        /* of struct store_held */
	struct notifier *notifier;
	struct body_pool *bodies; /* stripe buffers of large puts */
	struct mutex lock;        /* LOCK_NS: background jobs */
	struct cond idle;
	unsigned jobs;            /* background work queued or running */
	bool closing;
};

/* ---- Holds ----------------------------------------------------------------------------------------------------------- */
/* Blocks while a batch that drops the file is in flight (until it is applied or refused). */
void store_hold(struct object_store *s, uint64_t file);
/* Gives one back; the last one of an orphan starts its removal. Never blocks. */
void store_unhold(struct object_store *s, uint64_t file);
bool store_file_held(struct object_store *s, uint64_t file);
/* For attempts: true when the file is held (then the batch must keep the content: it is held by the commit as well until it
 * is applied); false: noted as being dropped until then. */
bool store_drop_begin(struct object_commit *c, uint64_t file);
void store_drops_end(struct object_commit *c);
/* Removes an orphan when nobody holds it, in the background. */
void store_orphan_reap(struct object_store *s, uint64_t file);
int store_orphan_scan(struct object_store *s) WARN_UNUSED;  /* at open */

/* Background work that store_close waits for; run frees itself. */
void store_job(struct object_store *s, struct work *w);
void store_job_done(struct object_store *s);

/* ---- Notifications (notify.c) ---------------------------------------------------------------------------------------- */
struct notifier *notifier_new(struct object_store *s);
struct notifier *notifier_free(struct notifier *n);
/* Takes the changes of a batch that was just applied. */
void notifier_apply(struct notifier *n, uint64_t seq, struct list *changes);
void notifier_changes_free(struct list *changes);
/* True: nothing of a change <= seq is outstanding; else w->notify is queued and w's done runs later. */
bool notifier_wait(struct notifier *n, struct object_waiter *w);
int object_wait_blocking(struct object_store *s, uint64_t seq) WARN_UNUSED;

/* ---- Buckets, for both faces ------------------------------------------------------------------------------------------- */
/* The caller sets promise, origin, mount through the commit. */
int bucket_create_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct str name) WARN_UNUSED;
int bucket_delete_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct str name) WARN_UNUSED;

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
	uint64_t file_id;         /* new */
};
int object_write_attempt(struct object_commit *c, struct path *p, struct meta_batch *b, struct object_write *w) WARN_UNUSED;

#define ETAG_EMPTY "d41d8cd98f00b204e9800998ecf8427e"

#endif
