/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper's state, and opening the directory of a drive, bounded: where its file system hangs that does not return
 * (drives_open.c). A slot's entry has the path and, unless it is offline or absent, the drive. `lock` guards what operators
 * see and change (drives_order.c); the drives themselves are the looking thread's alone, and nothing that may wait is done
 * under the lock.
 */
#ifndef QUOIN_SERVICE_DRIVES_INTERNAL_H
#define QUOIN_SERVICE_DRIVES_INTERNAL_H

#include <pthread.h>

#include "base/lock.h"
#include "drive/drive.h"
#include "service/drives.h"

typedef int (*drives_open_fn)(void *arg, const char *path, struct drive **ret);

struct opening; /* one that was given up */

struct drives_entry {
	struct opening *late; /* the thread's: given up; until it has returned the path is not tried again */
	char *path;          /* (L) */
	char *next_path;     /* (L) of a replacement, until the drive of now is given back */
	struct drive *d;     /* the thread's; NULL: not open */
	bool lent;           /* the thread's: the set has it */
	bool offline;        /* (L) */
	bool forced;         /* (L) an operator replaces it: the root file system will do */
	char reason[320];    /* (L) why it is not in, as far as this file knows; logged when it changes */
	unsigned failures;   /* (L) in a row */
	uint64_t retry_ns;   /* (L) mono; not before */
};

struct drives {
	struct mutex lock;   /* LOCK_QUEUE (L) */
	struct cond wake;
	struct meta_set *set;
	unsigned n;
	struct drives_entry e[SUPER_MAX_SLOTS]; /* by slot, once attached */
	uint64_t period_ns, backoff_ns, timeout_ns;
	drives_open_fn open;
	void *arg;
	unsigned set_failures; /* the thread's: of attempts to revive */
	uint64_t set_retry_ns;
	uint64_t looks;        /* (L) */
	bool poked, stop;      /* (L) */
	bool running;
	pthread_t thread;
};

/* Opens the directory at path within the keeper's timeout. *late as opening_run has it. */
int drives_open(const struct drives *k, struct opening **late, const char *path, struct drive **ret) WARN_UNUSED;

/* As open does; -QE_DRIVE_TIMEOUT: it was given up and is *late until it has returned; meanwhile there is no other attempt.
 * The drive's calls are bounded by the same timeout. */
int opening_run(struct opening **late, drives_open_fn open, void *arg, const char *path, uint64_t timeout_ns, struct drive **ret)
	WARN_UNUSED;
bool opening_is_over(const struct opening *late); /* it has returned, and left nothing open */
struct opening *opening_free(struct opening *late); /* whoever asked forgets it; accepts NULL, returns NULL */

#endif
