/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids, and a new epoch in place (STORAGE.md R7): an epoch has 2^30 ids; before they are used up the writer promises the
 * next epoch and starts it while it serves. Nothing fails and nothing is read back; records wait for as long as some
 * flushes take.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define COUNTER_BITS 30
#define SET_BITS 10
#define ID_LOW (1ull << 26) /* so many left: time for a new epoch */

static uint64_t id_base(const struct meta_set *s, uint64_t epoch)
{
	return epoch << (COUNTER_BITS + SET_BITS) | (uint64_t)s->p.set << COUNTER_BITS;
}

/* The whole id is one counter, so that no id of a new epoch can carry an old number or the other way round. */
void ids_begin(struct meta_set *s, uint64_t epoch)
{
	__atomic_store_n(&s->next_id, id_base(s, epoch) + 1, __ATOMIC_SEQ_CST);
}

uint64_t set_new_id(void *arg)
{
	struct meta_set *s = arg;
	uint64_t id = __atomic_fetch_add(&s->next_id, 1, __ATOMIC_RELAXED);

	ASSERT(id & ((1ull << COUNTER_BITS) - 1));
	return id;
}

uint64_t meta_new_id(struct meta_set *s)
{
	return set_new_id(s);
}

bool ids_low(const struct meta_set *s)
{
	uint64_t used = __atomic_load_n(&s->next_id, __ATOMIC_RELAXED) & ((1ull << COUNTER_BITS) - 1);

	return used > (1ull << COUNTER_BITS) - ID_LOW;
}

static int promise_one(void *arg, unsigned slot)
{
	struct meta_set *s = arg;

	s->slot[slot].super.promised = __atomic_load_n(&s->epoch, __ATOMIC_RELAXED) + 1;
	return super_write(s->slot[slot].d, &s->slot[slot].super);
}

static int sync_one(void *arg, unsigned slot)
{
	struct meta_set *s = arg;
	struct drive_file *f = s->journal.cur->file[slot];

	return f ? drive_sync(f) : -EIO;
}

/* (W) The record of the new epoch, flushed on all. Returns the slots that failed. */
static uint32_t write_epoch(struct meta_set *s)
{
	struct record_epoch e = {
		.epoch = __atomic_load_n(&s->epoch, __ATOMIC_RELAXED) + 1,
		.last_seq = s->next_seq - 1,
		.last_crc = s->head_crc,
		.isr = s->isr,
	};
	struct super_epoch entry = {e.epoch, s->next_seq, s->head_crc};
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);
	struct wrec *r = wrec_get(s);

	ASSERT(b);
	memcpy(e.boot, s->boot, 16);
	snprintf(e.isr.reason, sizeof e.isr.reason, "ids of the epoch are used up");
	b->seq = e.last_seq;
	buf_reset(&s->body);
	record_epoch_put(&s->body, &e);
	batch_encode(s, &s->body, b);
	meta_batch_free(b);
	r->control = true;
	__atomic_store_n(&s->epoch, e.epoch, __ATOMIC_SEQ_CST);
	uint32_t failed = s->in_mask;
	if (record_build(s, r, RECORD_EPOCH, 1, 0) == 0) {
		record_write_sync(s, r);
		failed = slots_parallel(s->in_mask & ~s->fail_mask, sync_one, s, NULL) | (s->fail_mask & s->in_mask);
		r->log->dirty = 0;
		s->dirty_since_ns = 0;
	}
	wrec_put(s, r);
	s->isr = e.isr;
	s->isr_durable = s->isr;
	s->isr_durable.reason[0] = '\0';
	s->isr_epoch = e.epoch;
	s->isr_seq = e.last_seq;
	history_add(s, &entry);
	return failed;
}

/* (C) A drive that fails leaves first, and the attempt is repeated; the epoch that was promised is then skipped. */
int epoch_in_place(struct meta_set *s)
{
	mutex_lock(&s->writer);
	int rc = writer_rest(s) ? 0 : -QE_QUORUM_WRITE;
	uint32_t failed = 0;

	if (rc == 0)
		failed = slots_parallel(s->in_mask, promise_one, s, NULL);
	if (rc == 0 && !failed) {
		failed = write_epoch(s);
		if (!failed)
			failed = supers_write(s, s->in_mask);
		if (!failed)
			ids_begin(s, __atomic_load_n(&s->epoch, __ATOMIC_RELAXED));
	}
	s->freezing = false;
	if (failed) {
		slots_note(s, failed, "a new epoch cannot be written");
		s->fail_mask |= failed & s->in_mask;
		rc = -QE_BUSY;
	}
	writer_step(s);
	uint64_t epoch = __atomic_load_n(&s->epoch, __ATOMIC_RELAXED);
	writer_unlock(s);
	answers_run(s);
	if (rc == 0) {
		erasure_seal_open(s->erasure, set_sealed, s);
		log_info("meta", "new epoch in place epoch=%llu", (unsigned long long)epoch);
	}
	return rc;
}
