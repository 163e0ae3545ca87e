/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads of several cells at once. Each goes into a buffer of its own, never into the caller's: a drive that hangs may
 * write into it long after the caller has decoded from other drives and gone. Such a read is abandoned, its slot counts
 * as hung until it returns, and whoever is last, the owner or that read, frees the batch.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "erasure/erasure_internal.h"

struct batch_cell {
	struct drive_io io;
	struct cell_batch *batch;
	uint8_t *buf;
	unsigned slot, tag;
	bool done; /* (L) */
};

struct cell_batch {
	struct erasure_set *set;
	struct cell_waiter wait;
	bool abandoned; /* (L) */
	bool ran;
	unsigned refs; /* (L) the owner, and all I/O in flight as one */
	unsigned n;
	struct batch_cell cell[ERASURE_MAX_CELLS];
};

struct cell_batch *cell_batch_new(struct erasure_set *s)
{
	ASSERT(sizeof(struct cell_batch) <= pool_size(s->ops));
	struct cell_batch *b = pool_get(s->ops);
	if (!b)
		return NULL;
	b->set = s;
	b->abandoned = b->ran = false;
	b->refs = 1;
	b->n = 0;
	cell_waiter_init(&b->wait);
	return b;
}

static void batch_release(struct cell_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		pool_put(b->set->cells, b->cell[i].buf);
		drive_file_unref(b->cell[i].io.file);
	}
	cell_waiter_done(&b->wait);
	pool_put(b->set->ops, b);
}

static void cell_done(struct drive_io *io)
{
	struct batch_cell *c = io->owner;
	struct cell_batch *b = c->batch;
	struct erasure_set *s = b->set;

	mutex_lock(&s->lock);
	bool abandoned = b->abandoned;
	c->done = true;
	b->wait.pending--;
	if (abandoned)
		__atomic_fetch_sub(&s->hung[c->slot], 1, __ATOMIC_RELAXED);
	else
		cell_wake(&b->wait);
	if (b->wait.pending == 0 && --b->refs == 0) {
		/* Before `abandoned` falls: the set may go when it is 0. */
		mutex_unlock(&s->lock);
		batch_release(b);
		mutex_lock(&s->lock);
	}
	if (abandoned)
		s->abandoned--;
	mutex_unlock(&s->lock);
}

int cell_batch_add(struct cell_batch *b, struct segment *seg, unsigned slot, uint64_t off, uint32_t len, unsigned flags,
                   unsigned tag)
{
	struct erasure_set *s = b->set;
	struct drive_file *f;

	ASSERT(b->n < ERASURE_MAX_CELLS && len <= s->cell_max);
	int rc = segment_file(s, seg, slot, 0, false, &f);
	if (rc < 0)
		return rc;
	uint8_t *buf = pool_get(s->cells);
	if (!buf) {
		drive_file_unref(f);
		return -ENOMEM;
	}
	struct batch_cell *c = &b->cell[b->n++];
	*c = (struct batch_cell){
		.io =
			{
				.file = f,
				.op = DRIVE_IO_READ,
				.flags = flags,
				.buf = buf,
				.len = len,
				.off = off,
				.done = cell_done,
				.owner = c,
			},
		.batch = b,
		.buf = buf,
		.slot = slot,
		.tag = tag,
	};
	return 0;
}

void cell_batch_run(struct cell_batch *b)
{
	struct erasure_set *s = b->set;
	unsigned n = b->n;

	if (n == 0)
		return;
	b->ran = true;
	b->wait.pending = n;
	b->refs++;
	STAT_ADD(s, cold_reads, n);
	for (unsigned i = 0; i < n; i++)
		drive_queue_submit(s->queue, &b->cell[i].io);
	drive_queue_flush(s->queue);
	mutex_lock(&s->lock);
	if (!cell_wait(s, &b->wait, 0, clock_mono_ns() + s->timeout_ns)) {
		b->abandoned = true;
		s->abandoned += b->wait.pending;
		for (unsigned i = 0; i < n; i++)
			if (!b->cell[i].done)
				__atomic_fetch_add(&s->hung[b->cell[i].slot], 1, __ATOMIC_RELAXED);
		set_tick(s);
	}
	mutex_unlock(&s->lock);
}

unsigned cell_batch_count(const struct cell_batch *b)
{
	return b->n;
}

int cell_batch_take(struct cell_batch *b, unsigned i, unsigned *ret_tag, uint8_t **ret_buf)
{
	struct batch_cell *c = &b->cell[i];

	ASSERT(b->ran && i < b->n);
	*ret_tag = c->tag;
	mutex_lock(&b->set->lock);
	int rc = c->done ? c->io.result : -ETIMEDOUT;
	if (rc >= 0) {
		*ret_buf = c->buf;
		c->buf = NULL;
	}
	mutex_unlock(&b->set->lock);
	return MIN(rc, 0);
}

void cell_batch_free(struct cell_batch *b)
{
	if (!b)
		return;
	mutex_lock(&b->set->lock);
	bool last = --b->refs == 0;
	mutex_unlock(&b->set->lock);
	if (last)
		batch_release(b);
}
