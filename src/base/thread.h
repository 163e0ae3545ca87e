/* SPDX-License-Identifier: Apache-2.0
 *
 * Named threads and a pool of workers.
 */
#ifndef QUOIN_BASE_THREAD_H
#define QUOIN_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/macros.h"

/* name: at most 15 characters, "qn-..."; all signals but those of faults are blocked in the thread, and handlers with
 * SA_ONSTACK have a stack of their own. 0 or -errno. */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg) WARN_UNUSED;
void thread_join(pthread_t t);   /* fn has returned, and nothing of the thread touches what is ours any more */
void thread_detach(pthread_t t); /* nobody joins it: it may run until the process ends */
/* Bytes that the calling thread has handed to write calls; 0 where the kernel does not count them. Those of io_uring are
 * not in it. What a kernel counts as written to storage is no use here: with large folios it is many times what is. */
uint64_t thread_written(void);

/* A work item is embedded in its owner, who keeps it alive until run has been called. */
struct work {
	struct list node;
	void (*run)(struct work *);
};

struct workq;

struct workq *workq_new(const char *name, unsigned threads); /* NULL: no memory or no threads */
void workq_push(struct workq *q, struct work *w);            /* first in, first taken */
struct workq *workq_free(struct workq *q);                   /* runs what is queued, joins; accepts NULL; returns NULL */

#endif
