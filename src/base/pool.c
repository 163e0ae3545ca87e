/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffer pools. A free buffer holds the link to the next free one in its first bytes.
 */
#include "base/pool.h"

#include <stdlib.h>

#include "base/lock.h"
#include "base/macros.h"

struct free_buf {
	struct free_buf *next;
};

struct pool {
	struct mutex lock;
	size_t size, keep, max;
	struct free_buf *free; /* under lock, as all below */
	size_t free_count;
	size_t out;            /* handed out */
};

struct pool *pool_new(size_t size, size_t keep, size_t max)
{
	struct pool *p = calloc(1, sizeof *p);

	ASSERT(size > 0);
	if (!p)
		return NULL;
	mutex_init(&p->lock, LOCK_POOL);
	p->size = size;
	p->keep = keep;
	p->max = max;
	return p;
}

void *pool_get(struct pool *p)
{
	struct free_buf *b;
	void *fresh;

	mutex_lock(&p->lock);
	if (p->max && p->out == p->max) {
		mutex_unlock(&p->lock);
		return NULL;
	}
	p->out++;
	b = p->free;
	if (b) {
		p->free = b->next;
		p->free_count--;
	}
	mutex_unlock(&p->lock);
	if (b)
		return b;
	if (posix_memalign(&fresh, POOL_ALIGN, ALIGN_UP(p->size, POOL_ALIGN)) == 0)
		return fresh;
	mutex_lock(&p->lock);
	p->out--;
	mutex_unlock(&p->lock);
	return NULL;
}

void pool_put(struct pool *p, void *buf)
{
	struct free_buf *b = buf;

	if (!b)
		return;
	mutex_lock(&p->lock);
	ASSERT(p->out > 0);
	p->out--;
	if (p->free_count < p->keep) {
		b->next = p->free;
		p->free = b;
		p->free_count++;
		b = NULL;
	}
	mutex_unlock(&p->lock);
	free(b);
}

size_t pool_size(const struct pool *p)
{
	return p->size;
}

struct pool *pool_free(struct pool *p)
{
	struct free_buf *next;

	if (!p)
		return NULL;
	ASSERT(p->out == 0);
	for (struct free_buf *b = p->free; b; b = next) {
		next = b->next;
		free(b);
	}
	mutex_destroy(&p->lock);
	free(p);
	return NULL;
}
