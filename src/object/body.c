/* SPDX-License-Identifier: Apache-2.0
 *
 * Stripe buffers.
 */
#include "object/body.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/pool.h"

#define BUFFERS_MIN 8
#define BUFFERS_KEPT 64
#define LOOK_NS (10 * NS_PER_MS)

struct body_pool {
	struct pool *pool;
	uint32_t size;
	struct mutex lock;   /* LOCK_QUEUE */
	struct list waiting; /* of struct body_wait */
	unsigned out;        /* buffers that are not back */
	struct cond back;
};

struct body_pool *body_pool_new(struct meta_set *set, uint64_t bytes)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(set);
	struct body_pool *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->size = erasure_stripe_bytes(e, SEGMENT_LARGE);
	mutex_init(&p->lock, LOCK_QUEUE);
	list_init(&p->waiting);
	cond_init(&p->back);
	p->pool = pool_new(p->size, BUFFERS_KEPT, MAX((size_t)(bytes / p->size), (size_t)BUFFERS_MIN));
	return p->pool ? p : body_pool_free(p, 0);
}

struct body_pool *body_pool_free(struct body_pool *p, uint64_t within_ns)
{
	uint64_t since = clock_mono_ns();

	if (!p)
		return NULL;
	mutex_lock(&p->lock);
	ASSERT(list_empty(&p->waiting));
	while (p->out > 0 && (!within_ns || clock_mono_ns() - since < within_ns))
		(void)cond_wait_until(&p->back, &p->lock, clock_mono_ns() + LOOK_NS);
	bool all = p->out == 0;
	mutex_unlock(&p->lock);
	if (!all)
		return p;
	cond_destroy(&p->back);
	pool_free(p->pool);
	mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

uint32_t body_size(const struct body_pool *p)
{
	return p->size;
}

void *body_get(struct body_pool *p, struct body_wait *w)
{
	void *buf;
	MUTEX_GUARD(&p->lock);

	/* No line before the pool: who is woken asks again, and would find himself behind the others. */
	buf = pool_get(p->pool);
	if (buf)
		p->out++;
	else if (!w->queued) {
		w->queued = true;
		list_add_tail(&p->waiting, &w->node);
	}
	return buf;
}

void body_put(struct body_pool *p, void *buf)
{
	struct body_wait *w = NULL;
	struct list *l;

	if (!buf)
		return;
	mutex_lock(&p->lock);
	pool_put(p->pool, buf);
	if (--p->out == 0)
		cond_signal(&p->back);
	l = list_pop(&p->waiting);
	if (l) {
		w = LIST_ENTRY(l, struct body_wait, node);
		w->queued = false;
	}
	mutex_unlock(&p->lock);
	if (w)
		w->fn(w);
}

bool body_unwait(struct body_pool *p, struct body_wait *w)
{
	MUTEX_GUARD(&p->lock);

	if (!w->queued)
		return false;
	list_del(&w->node);
	w->queued = false;
	return true;
}
