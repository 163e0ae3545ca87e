/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of large bodies in flight: stripe buffers of one size, at most body_memory in all. Who finds none waits in line.
 */
#ifndef QUOIN_OBJECT_BODY_H
#define QUOIN_OBJECT_BODY_H

#include "base/list.h"
#include "meta/meta.h"

struct body_pool;
struct body_wait {
	struct list node;
	bool queued;                     /* under the pool's lock */
	void (*fn)(struct body_wait *w); /* called once; the buffer is not given, but asked for again */
};

struct body_pool *body_pool_new(struct meta_set *set, uint64_t bytes);
/* The writes of a body that was given up may still be on their way: NULL when they have ended, or the pool, which they need,
 * when they have not within that time (0: any). */
struct body_pool *body_pool_free(struct body_pool *p, uint64_t within_ns) WARN_UNUSED;
uint32_t body_size(const struct body_pool *p);
/* NULL: none; w is queued. */
void *body_get(struct body_pool *p, struct body_wait *w);
void body_put(struct body_pool *p, void *buf);
bool body_unwait(struct body_pool *p, struct body_wait *w); /* false: it was not queued (any more): fn runs or ran */

#endif
