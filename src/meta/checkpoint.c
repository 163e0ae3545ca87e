/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints (STORAGE.md section 6). In this order, and nothing earlier:
 *
 *   freeze at the end of a record -> durable_seq has reached it -> destage -> those batches are durable -> every index copy:
 *   rows, sync, position -> copies that failed are struck by a durable record -> CKPT record durable -> superblocks of all
 *   `in` drives (one that fails leaves by a durable record) -> the frozen memtable goes, log files are free
 *
 * A checkpoint that fails half-way keeps what is frozen and is repeated from there: rows are absolute.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

static int freeze(struct meta_set *s)
{
	int rc = 0;

	mutex_lock(&s->writer);
	/* A record that is written but not applied has its place behind the applied ones: wait for it. New ones are held
	 * back, or there would be one always. */
	s->freezing = true;
	while (!list_empty(&s->unapplied) && meta_writable(s)) {
		writer_unlock(s);
		meta_drive(s);
		clock_sleep_ns(50000);
		mutex_lock(&s->writer);
	}
	s->freezing = false;
	if (!meta_writable(s))
		rc = -QE_QUORUM_WRITE;
	else if (!publish_frozen(&s->pub)) {
		rc = publish_swap_freeze(&s->pub);
		if (rc == 0) {
			s->frozen_seq = publish_applied_seq(&s->pub);
			s->frozen_start = (struct super_start){
				.log = s->journal.cur->log,
				.off = s->journal.off,
				.first_seq = s->frozen_seq + 1,
				.prev_crc = s->head_crc,
			};
			__atomic_store_n(&s->memtable_first_ns, 0, __ATOMIC_RELAXED);
		}
	}
	writer_step(s);
	writer_unlock(s);
	answers_run(s);
	return rc;
}

static uint32_t index_slots(struct meta_set *s)
{
	uint32_t mask = 0;

	mutex_lock(&s->writer);
	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].index && s->isr.slot[i].index == ISR_INDEX_GOOD && (s->in_mask & 1u << i))
			mask |= 1u << i;
	writer_unlock(s);
	return mask;
}

static int apply_one(void *arg, unsigned slot)
{
	struct meta_set *s = arg;
	struct index_applied did = {0};
	int rc = index_apply_bounded(s, slot, &s->slot[slot].index, publish_frozen(&s->pub), s->frozen_seq, &did);

	if (rc < 0)
		log_error("meta", "index copy failed and is struck slot=%u error=\"%s\"", slot, err_text(rc));
	STAT_ADD(s, checkpoint_rows, did.rows);
	STAT_ADD(s, checkpoint_row_bytes, did.row_bytes);
	STAT_ADD(s, index_bytes, did.written_bytes);
	return rc;
}

/* Views go elsewhere, and a durable record says that the copy is not good: only then the journal may move on. */
int checkpoint_strike(struct meta_set *s, uint32_t slots)
{
	if (!slots)
		return 0;
	mutex_lock(&s->writer);
	uint64_t seq = publish_applied_seq(&s->pub);
	uint32_t strike = 0;
	for (unsigned i = 0; i < s->n; i++)
		if ((slots & 1u << i) && s->isr.slot[i].index == ISR_INDEX_GOOD)
			strike |= 1u << i;
	if (strike && meta_writable(s)) {
		isr_strike_index(s, strike);
		seq = s->next_seq - 1;
	}
	writer_unlock(s);
	for (unsigned i = 0; i < s->n; i++) {
		if (!(slots & 1u << i) || !s->slot[i].index)
			continue;
		while (!publish_remove_index(&s->pub, s->slot[i].index))
			clock_sleep_ns(NS_PER_MS);
		struct index *ix = s->slot[i].index;
		index_set(s, &s->slot[i].index, NULL);
		s->slot[i].super.index_state = index_is_bad(ix) ? ISR_INDEX_BAD : ISR_INDEX_NONE;
		index_close_of(s->slot[i].d, ix);
	}
	answers_run(s);
	return meta_wait_blocking(s, seq);
}

static int write_ckpt(struct meta_set *s, uint32_t slots)
{
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_ADMIN);
	struct index_sum sums[TABLE_END];

	if (!b)
		return -ENOMEM;
	b->kind = BATCH_CKPT;
	b->internal = true;
	b->ckpt = (struct record_ckpt){.position = s->frozen_seq, .start = s->frozen_start, .mask = (uint16_t)slots};
	int rc = index_sums(s->slot[__builtin_ctz(slots)].index, sums);
	for (unsigned t = 1; rc == 0 && t < TABLE_END; t++) {
		unsigned carry = 0;
		b->ckpt.rows += sums[t].rows;
		for (unsigned i = 0; i < 16; i++) {
			carry += b->ckpt.sum[i] + sums[t].sum[i];
			b->ckpt.sum[i] = (uint8_t)carry;
			carry >>= 8;
		}
	}
	if (rc == 0)
		rc = meta_commit(b);
	meta_batch_free(b);
	return rc;
}

/* A drive whose superblock does not take the new start must be out, durably, before its old start is undercut. */
int supers_save(struct meta_set *s)
{
	mutex_lock(&s->writer);
	uint32_t in = s->in_mask;
	supers_fill(s, in);
	writer_unlock(s);
	uint32_t failed = supers_put(s, in);
	if (!failed)
		return 0;
	slots_note_failed(s, failed, "its superblock cannot be written");
	__atomic_fetch_or(&s->slot_errors, failed, __ATOMIC_SEQ_CST);
	meta_drive(s);
	return meta_sync(s);
}

static int run(struct meta_set *s)
{
	int rc = freeze(s);

	if (rc == 0)
		rc = meta_wait_blocking(s, s->frozen_seq);
	if (rc == 0)
		rc = destage_run(s);
	if (rc < 0)
		return rc;
	uint32_t bad = __atomic_load_n(&s->index_bad, __ATOMIC_SEQ_CST);
	rc = checkpoint_strike(s, bad);
	if (rc < 0)
		return rc;
	__atomic_fetch_and(&s->index_bad, ~bad, __ATOMIC_SEQ_CST);
	uint32_t slots = index_slots(s);
	bad = slots_parallel(slots, apply_one, s, NULL); /* those cannot follow */
	slots &= ~bad;
	if (!slots)
		return -QE_CORRUPT;
	rc = checkpoint_strike(s, bad);
	if (rc == 0)
		rc = write_ckpt(s, slots);
	if (rc < 0)
		return rc;
	s->start = s->frozen_start;
	rc = supers_save(s);
	if (rc < 0)
		return rc;
	mutex_lock(&s->writer);
	publish_retire_frozen(&s->pub);
	journal_recycle(&s->journal, s->start.log);
	ASSERT(LIST_ENTRY(s->journal.used.next, struct log_file, node)->log == s->start.log);
	__atomic_store_n(&s->checkpoint_seq, s->frozen_seq, __ATOMIC_RELAXED);
	writer_unlock(s);
	meta_drive(s);
	STAT_ADD(s, checkpoints, 1);
	return 0;
}

int meta_checkpoint(struct meta_set *s)
{
	if (!meta_writable(s))
		return -QE_QUORUM_WRITE;
	if (__atomic_load_n(&s->hold_checkpoint, __ATOMIC_RELAXED))
		return -QE_QUORUM_READ; /* unavailable payload must stay in the journal until its drives return */
	join_gives_way(s);
	MUTEX_GUARD(&s->checkpoint_lock);
	if (__atomic_load_n(&s->joining, __ATOMIC_ACQUIRE))
		return -QE_BUSY; /* it began meanwhile */
	__atomic_store_n(&s->checkpointing, true, __ATOMIC_RELAXED);
	uint64_t begun = clock_mono_ns();
	int rc = run(s);
	__atomic_store_n(&s->checkpointing, false, __ATOMIC_RELAXED);
	if (rc == 0) {
		__atomic_store_n(&s->st.checkpoint_took_ns, clock_mono_ns() - begun, __ATOMIC_RELAXED);
		__atomic_store_n(&s->st.checkpoint_ended_ns, clock_wall_ns(), __ATOMIC_RELAXED);
		index_rebuild_one(s);
		reclaim_run(s);
	}
	return rc;
}
