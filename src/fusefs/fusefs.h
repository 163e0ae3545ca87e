/* SPDX-License-Identifier: Apache-2.0
 *
 * The mount: libfuse3 low-level requests in, calls of object/fs.h out. No storage logic lives here.
 *
 * A request, by a worker thread: receive -> find the node -> one call of fs.h -> reply. The number given to the kernel
 * for a node is its address; the kernel's lookup count keeps the node alive. Before the state for a reply is read, what
 * the kernel is about to hold is registered (names: names.c, also negative ones; nodes: object/fs), so that a commit
 * from then on is told to the kernel by the notifier (notify.c). No request waits for a notification.
 *
 * Kernel cache times are long (hours); coherence comes from the notifier, not from expiry.
 */
#ifndef QUOIN_FUSEFS_FUSEFS_H
#define QUOIN_FUSEFS_FUSEFS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/op_ctx.h"
#include "object/store.h"

/* ---- Daemons that are killed ----------------------------------------------------------------------------------
 * What a killed daemon leaves mounted can hang, and keep the dead process and the locks of its drives (guard.c says why). */

/* A process that aborts the connection of the mount when this one is killed or crashes; who uses the mount then gets
 * errors. To be called while the process has one thread, by the one that ends last. NULL: no process or no memory. */
struct fusefs_guard;
struct fusefs_guard *fusefs_guard_start(void);
/* Once the mount has stopped, by the same thread. Accepts NULL, returns NULL. */
struct fusefs_guard *fusefs_guard_stop(struct fusefs_guard *g);

/* Where there was no guard, or it was killed too. Both look at no mount, which might hang. */
bool fusefs_is_at(const char *path); /* quoin, of whatever process, is what is mounted there */
/* Aborts the connection of that mount. 0; -ENOENT: there is none; -EACCES and such: it is somebody else's. */
int fusefs_release(const char *path) WARN_UNUSED;

/* ---- The mount ------------------------------------------------------------------------------------------------- */
struct fusefs_params {
	struct object_store *store;
	struct fusefs_guard *guard; /* NULL: none */
	struct str path;           /* the mount point: an existing directory */
	struct str bucket, prefix; /* shown as the root; empty: all buckets */
	bool private;              /* only the daemon's own user may look (no allow_other) */
	unsigned threads;          /* threads that stay; 0: 2. More are started while requests block */
	unsigned max_threads;      /* 0: 64 */
	uint64_t cache_ns;         /* life of names and attributes in the kernel; 0: 4 hours */
	unsigned read_ahead_kb;    /* 0: 1024; set when the daemon may */
	void (*ended)(void *arg);  /* the mount ended without fusefs_stop (umount, abort); must be quick */
	void *arg;
};

struct fusefs;

/* Mounts and serves. On failure ctx->detail names the cause and the cure. */
int fusefs_start(const struct fusefs_params *p, struct op_ctx *ctx, struct fusefs **ret) WARN_UNUSED;
/* Unmounts (lazily when it is busy: what is still open gets errors), ends the threads, publishes dirty data. Accepts NULL,
 * returns NULL. */
struct fusefs *fusefs_stop(struct fusefs *m);

/* For a process that ends though fusefs_stop does not: the mount goes, whoever uses it gets errors. It needs no fusefs any
 * more, and does nothing when that has stopped already. */
struct fusefs_place {
	char path[4096], dev[32];
	struct fusefs_guard *guard;
};
void fusefs_place(const struct fusefs *m, struct fusefs_place *ret);
void fusefs_abandon(const struct fusefs_place *at);

struct fusefs_stats {
	uint64_t requests, notifications;
	unsigned threads;
};
void fusefs_stats(const struct fusefs *m, struct fusefs_stats *ret);

#endif
