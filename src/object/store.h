/* SPDX-License-Identifier: Apache-2.0
 *
 * The one core behind both faces: it owns buckets, names, versions, files, their content and their locks. The S3 face
 * uses object.h, the mount uses fs.h; both change the same rows through the same commit path.
 *
 * Names (STORAGE.md section 6): an S3 key `a/b/c` is the entry `c` in directory `b/` in directory `a/` of the bucket's
 * root directory; missing parents are made as implicit directories by the batch that needs them. A file's id is its
 * inode number on the mount; an S3 write makes a new file, a write through the mount changes the same one.
 */
#ifndef QUOIN_OBJECT_STORE_H
#define QUOIN_OBJECT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/op_ctx.h"
#include "base/str.h"
#include "base/thread.h"
#include "meta/meta.h"

struct object_store;

struct object_params {
	struct meta_set *set;         /* root and home set of every bucket (the first release has one) */
	unsigned workers;             /* threads for large bodies and blocking reads */
	uint64_t body_memory;         /* bytes for bodies in flight; above it writers wait (default 256 MiB) */
	uint32_t uid, gid;            /* owner of what came by S3 without uid/gid metadata */
	uint32_t file_mode, dir_mode; /* 0644, 0755 */
	uint64_t writeback_ns;        /* dirty data of the mount is published after this: 30 s */
	uint64_t drive_timeout_ns;    /* so long is a drive waited for that does not return what it was given; 0: any time */
	uint64_t dirty_memory;        /* bytes of unpublished mount writes; above it write() waits (default 256 MiB) */
};

struct object_store *object_store_open(const struct object_params *p, struct op_ctx *ctx);  /* NULL: ctx->detail */
/* Publishes dirty data. Returns NULL; or the store, with no thread left, when drives that hang still write from its memory. */
struct object_store *object_store_close(struct object_store *s) WARN_UNUSED;
struct meta_set *object_store_set(struct object_store *s);
struct workq *object_store_workers(struct object_store *s);
/* Background jobs since the start: removal of orphans and of parts of uploads that are gone. */
void object_background(struct object_store *s, uint64_t *ret_done, uint64_t *ret_begun);
/* To be given to meta_params: applied and reset hooks (arg: a pointer to the store's pointer, set after open). */
void object_store_applied(void *arg, struct meta_batch *b);
void object_store_reset(void *arg);

/* ---- What leaves the machine waits for what it reveals -------------------------------------------------------------
 * durable_seq >= seq, every notification of changes <= seq has been delivered to the kernel, and the kernel has acted on
 * its own changes <= seq (notify.h). */
struct object_waiter {
	struct meta_waiter durable;
	struct list notify;
	uint64_t seq;
	bool own; /* seq is of the waiter's own change, which is all that is revealed: kernels may be late with theirs */
	void (*done)(struct object_waiter *w, int rc);
	struct object_store *store;
};
/* True: already so, done is not called. seq 0 is always so. */
bool object_wait(struct object_store *s, uint64_t seq, struct object_waiter *w) WARN_UNUSED;

#endif
