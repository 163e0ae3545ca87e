/* SPDX-License-Identifier: Apache-2.0
 *
 * The group writer: what the leader does. A record goes through
 *
 *   queued -> built -> [written on all `in` drives] -> applied -> [flushed on all `in` drives] -> durable
 *
 * and the sets of records in these states are: the queues; `unapplied` (built, in order, one at a time but for ISR
 * records); everything up to publish_applied_seq; everything up to durable_seq.
 *
 * A record of durable batches is one RWF_DSYNC write per drive when nothing before it is unflushed: it is durable when it
 * has returned. Everything else is written plainly, applied at once, and covered by the next flush round; records that
 * come while a round runs gather for the next one.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define GROUP_SLACK 65536u     /* rows that the sequencer emits, beyond the estimate */
#define PIPELINE_BYTES (1u << 20) /* as much waiting is worth a record while a round runs */

/* ---- Applying ----------------------------------------------------------------------------------------------------- */
static void note_missing(struct meta_set *s, const struct record_op *op)
{
	struct row_missing m;
	const uint8_t *k = (const uint8_t *)op->key.p;

	if (op->table != TABLE_MISSING || op->key.len != 13)
		return;
	uint64_t segment = be64_get(k + 1);
	uint32_t from = be32_get(k + 9);
	if (op->del) {
		erasure_missing_del(s->erasure, k[0], segment, from);
		s->missing_ranges -= s->missing_ranges > 0;
	} else if (row_missing_decode(str_sub(op->value, ENVELOPE_BYTES, op->value.len - ENVELOPE_BYTES), &m) == 0) {
		erasure_missing_add(s->erasure, k[0], segment, from, m.to_4k);
		s->missing_ranges++;
	}
}

/* Rows of a batch as it lies in a record, into the active memtable. Only a lack of memory can fail it, which leaves no
 * way to go on: what is written must be visible. */
void apply_ops(struct meta_set *s, struct str ops, uint64_t seq, bool missing)
{
	struct memtable *m = publish_active(&s->pub);
	struct record_op op;

	while (record_op_next(&ops, &op) > 0) {
		int rc = memtable_put(m, &(struct memtable_row){
			.table = op.table,
			.key = op.key,
			.row = op.del ? (struct str){NULL, 0} : op.value,
			.seq = seq,
			.deleted = op.del,
		});
		ASSERT(rc == 0);
		if (missing)
			note_missing(s, &op);
	}
}

static void apply_batch(struct meta_set *s, struct meta_batch *b)
{
	apply_ops(s, buf_str(&b->ops), b->seq, b->missing);
	if (b->chunks.n == 0)
		return;
	struct payload *p = *VEC_AT(&b->chunks, struct payload *, 0);
	int rc = memtable_payload_add(publish_active(&s->pub), b->seq, p->data, p->len, payload_release);
	ASSERT(rc == 0);
	b->chunks.n = 0;
}

/* Answers of a record: ordered batches now, durable ones when the watermark has passed them. */
static void apply_record(struct meta_set *s, struct wrec *r)
{
	struct list *n;

	LIST_FOREACH(it, &r->batches) {
		struct meta_batch *b = LIST_ENTRY(it, struct meta_batch, node);
		apply_batch(s, b);
		s->cells_dirty |= b->unflushed;
	}
	if (!__atomic_load_n(&s->memtable_first_ns, __ATOMIC_RELAXED) && !list_empty(&r->batches))
		__atomic_store_n(&s->memtable_first_ns, clock_mono_ns(), __ATOMIC_RELAXED);
	publish_applied(&s->pub, r->last_seq);
	if (s->p.applied)
		LIST_FOREACH(it, &r->batches)
			if (!LIST_ENTRY(it, struct meta_batch, node)->internal)
				s->p.applied(s->p.arg, LIST_ENTRY(it, struct meta_batch, node));
	while ((n = list_pop(&r->batches)) != NULL) {
		struct meta_batch *b = LIST_ENTRY(n, struct meta_batch, node);
		if (b->promise == META_DURABLE)
			list_add_tail(&s->wait_durable, &b->node);
		else
			answer_batch(s, b, 0);
	}
}

static void advance(struct meta_set *s, uint64_t seq)
{
	if (s->isr_pending && seq < s->isr_pending)
		return; /* Q2 */
	if (s->isr_pending)
		isr_is_durable(s);
	if (seq <= meta_durable_seq(s))
		return;
	__atomic_store_n(&s->durable_seq, seq, __ATOMIC_SEQ_CST);
	while (!list_empty(&s->wait_durable)) {
		struct meta_batch *b = LIST_ENTRY(s->wait_durable.next, struct meta_batch, node);
		if (b->seq > seq)
			break;
		list_del(&b->node);
		answer_batch(s, b, 0);
	}
	answer_waiters(s, seq, 0);
}

/* A barrier stands for everything that is built. */
static void settle_barriers(struct meta_set *s)
{
	struct list *n;

	if (!list_empty(&s->unapplied))
		return;
	while ((n = list_pop(&s->barriers)) != NULL) {
		struct meta_batch *b = LIST_ENTRY(n, struct meta_batch, node);
		b->seq = publish_applied_seq(&s->pub);
		if (b->seq <= meta_durable_seq(s))
			answer_batch(s, b, 0);
		else
			list_add_tail(&s->wait_durable, &b->node);
	}
}

/* ---- Steps: each returns true when it has changed something -------------------------------------------------------- */
static bool step_returned(struct meta_set *s)
{
	bool moved = false;

	while (!list_empty(&s->unapplied) && !(s->fail_mask & s->in_mask)) {
		struct wrec *r = LIST_ENTRY(s->unapplied.next, struct wrec, node);
		if (r->waiting & s->in_mask)
			break;
		list_del(&r->node);
		bool flushed = r->dsync && !s->round && !s->cells_dirty && !journal_dirty(s);
		apply_record(s, r);
		if (r->dsync)
			flush_time_add(&s->flush_time, r->begun_ns, clock_mono_ns());
		if (flushed)
			advance(s, r->last_seq);
		wrec_put(s, r);
		moved = true;
	}
	settle_barriers(s);
	return moved;
}

static bool step_round(struct meta_set *s)
{
	struct round *r = s->round;

	if (!r || (r->waiting & s->in_mask & ~s->fail_mask))
		return false;
	/* With a failed drive the round proves nothing; the record that removes it asks for another one. */
	if (s->fail_mask & s->in_mask)
		s->flush_wanted = true;
	else if (!r->partial)
		advance(s, r->seq);
	flush_time_add(&s->flush_time, r->begun_ns, clock_mono_ns());
	round_release(&s->round);
	return true;
}

static bool flush_needed(struct meta_set *s)
{
	uint64_t durable = meta_durable_seq(s), applied = publish_applied_seq(&s->pub);

	/* While the record that changes the ISR is still being written, a round makes nothing durable (Q2). */
	if (applied == durable || s->isr_pending > applied)
		return false;
	return !list_empty(&s->wait_durable) || s->flush_wanted || s->isr_pending ||
	       __atomic_load_n(&s->flush_upto, __ATOMIC_SEQ_CST) > durable;
}

static bool step_flush(struct meta_set *s)
{
	/* What is in flight with RWF_DSYNC makes itself durable; a round beside it would cost a second flush. */
	bool dsync = !list_empty(&s->unapplied) && LIST_ENTRY(s->unapplied.next, struct wrec, node)->dsync;

	if (s->round || dsync || (s->fail_mask & s->in_mask) || !meta_writable(s) || !flush_needed(s))
		return false;
	return round_begin(s);
}

/* ---- Groups ------------------------------------------------------------------------------------------------------- */
static size_t record_estimate(const struct meta_set *s, const struct meta_batch *b)
{
	return batch_estimate(b) + batch_payload_len(b) / s->k + 64;
}

/* Who may use the last files: what frees space. Destaging more than deletes, since a checkpoint waits for it, and control
 * records most of all: the last file keeps room for them. */
enum urgency { ANY, DELETES, DESTAGE };

/* A shorter file gives blobs back, too. */
static bool frees(const struct meta_batch *b)
{
	bool drops = b->deletes;

	for (unsigned i = 0; i < b->refs.n && !drops; i++)
		drops = VEC_AT(&b->refs, struct batch_ref, i)->delta < 0;
	return drops && b->chunks.n == 0 && b->blobs.n == 0 && b->inlines.n == 0;
}

static enum urgency urgency(const struct meta_batch *b)
{
	if (b->internal && b->origin == OP_DESTAGE)
		return DESTAGE;
	return frees(b) ? DELETES : ANY;
}

/* Bytes that a group may take now, by urgency. */
static void group_room(struct meta_set *s, size_t ret[DESTAGE + 1])
{
	struct journal *j = &s->journal;
	size_t most = MIN(j->file_size / 4, (uint64_t)GROUP_BYTES);
	size_t rest = j->cur ? j->file_size - j->off : 0;
	unsigned room = journal_room(j);

	rest = rest > 2 * GROUP_SLACK ? MIN(rest - 2 * GROUP_SLACK, most) : 0;
	ret[ANY] = room > journal_reserve(j) ? most : rest;
	ret[DELETES] = room > 1 ? most : rest;
	ret[DESTAGE] = room > 0 ? most : rest;
}

static void group_reject(struct meta_set *s, struct meta_batch *b, int rc)
{
	STAT_ADD(s, rejected, 1);
	answer_batch(s, b, rc);
}

/* Adds from q what fits; what does not stays. */
static void group_collect(struct meta_set *s, struct list *q)
{
	size_t by[DESTAGE + 1], size = 0;
	size_t limit = MIN(s->journal.file_size - LOG_HEAD_BYTES, (uint64_t)RECORD_LEN_MAX);

	group_room(s, by);
	s->full = false;
	LIST_FOREACH_SAFE(it, q) {
		struct meta_batch *b = LIST_ENTRY(it, struct meta_batch, node);
		size_t n = record_estimate(s, b), room = by[urgency(b)];
		bool tight = by[ANY] < by[DESTAGE] || room == 0;
		if (b->kind == BATCH_BARRIER)
			break;
		if (n + GROUP_SLACK > limit || (space_low(s) && !b->internal && urgency(b) == ANY)) {
			list_del(&b->node);
			group_reject(s, b, n + GROUP_SLACK > limit ? -QE_ENTITY_TOO_LARGE : -QE_FULL);
			continue;
		}
		if (size + n > room) {
			/* A batch larger than a group goes alone; without a file to go to it waits, and deletes pass it. */
			if (tight) {
				s->full = true;
				continue;
			}
			if (s->group.n)
				break;
		}
		list_del(&b->node);
		int rc = group_add(&s->group, b);
		if (rc < 0)
			group_reject(s, b, rc);
		else
			size += n;
	}
}

static void take_queue(struct meta_set *s, struct list *q, struct list *ret)
{
	mutex_lock(&s->queue_lock);
	list_splice_tail(ret, q);
	if (q == &s->q_durable)
		s->q_bytes = 0;
	mutex_unlock(&s->queue_lock);
}

static void give_back(struct meta_set *s, struct list *q, struct list *left)
{
	size_t bytes = 0;

	if (list_empty(left))
		return;
	LIST_FOREACH(it, left)
		bytes += record_estimate(s, LIST_ENTRY(it, struct meta_batch, node));
	mutex_lock(&s->queue_lock);
	list_splice_tail(left, q);
	list_splice_tail(q, left);
	if (q == &s->q_durable)
		s->q_bytes += bytes;
	mutex_unlock(&s->queue_lock);
}

/* The record of the group is built; from here on it has an outcome. */
static void group_write(struct meta_set *s, bool durable)
{
	struct wrec *r = wrec_get(s);
	bool unflushed = false;

	buf_reset(&s->body);
	group_finish(&s->group, &s->body);
	list_splice_tail(&r->batches, &s->group.accepted);
	LIST_FOREACH(it, &r->batches)
		unflushed |= LIST_ENTRY(it, struct meta_batch, node)->unflushed;
	r->control = true; /* group_collect saw to the reserve */
	int rc = record_build(s, r, RECORD_GROUP, s->group.n, s->group.payload);
	if (rc < 0) {
		log_error("meta", "a record could not be built: %s", err_text(rc));
		list_add_tail(&s->unapplied, &r->node);
		isr_below_w(s, err_text(rc));
		return;
	}
	STAT_ADD(s, batches, s->group.n);
	s->last_is_pad = false;
	s->last_record_ns = clock_mono_ns();
	r->dsync = durable && !unflushed && !s->round && !s->cells_dirty && !journal_dirty(s);
	list_add_tail(&s->unapplied, &r->node);
	record_submit(s, r);
}

static bool step_group(struct meta_set *s, struct list *q, bool durable)
{
	struct list batches = LIST_INIT(batches);

	take_queue(s, q, &batches);
	if (list_empty(&batches))
		return false;
	LIST_FOREACH_SAFE(it, &batches) {
		struct meta_batch *b = LIST_ENTRY(it, struct meta_batch, node);
		if (b->kind != BATCH_BARRIER)
			continue;
		/* Everything that was queued before it is in this group or before it: the lists keep their order, and
		 * a barrier that waits a round longer than needed harms nobody. */
		if (it->prev != &batches)
			break;
		list_del(&b->node);
		list_add_tail(&s->barriers, &b->node);
	}
	group_begin(&s->group, s->next_seq);
	group_collect(s, &batches);
	give_back(s, q, &batches);
	if (s->group.n)
		group_write(s, durable);
	settle_barriers(s);
	return s->group.n > 0;
}

/* PAD, CKPT: a record of its own. */
static bool step_control(struct meta_set *s)
{
	struct list batches = LIST_INIT(batches);

	mutex_lock(&s->queue_lock);
	struct list *n = list_pop(&s->q_control);
	mutex_unlock(&s->queue_lock);
	if (!n)
		return false;
	struct meta_batch *b = LIST_ENTRY(n, struct meta_batch, node);
	struct wrec *r = wrec_get(s);
	bool pad = b->kind == BATCH_PAD;
	buf_reset(&s->body);
	if (!pad)
		record_ckpt_put(&s->body, &b->ckpt);
	r->control = true;
	b->seq = s->next_seq;
	int rc = record_build(s, r, pad ? RECORD_PAD : RECORD_CKPT, 0, 0);
	if (rc < 0) {
		answer_batch(s, b, rc);
		wrec_put(s, r);
		return true;
	}
	s->last_is_pad = pad;
	s->last_record_ns = clock_mono_ns();
	list_add_tail(&r->batches, &b->node);
	list_add_tail(&s->unapplied, &r->node);
	r->dsync = !s->round && !s->cells_dirty && !journal_dirty(s);
	record_submit(s, r);
	return true;
}

static bool durable_may_go(struct meta_set *s)
{
	if (!s->round)
		return true;
	mutex_lock(&s->queue_lock);
	bool many = s->q_bytes >= PIPELINE_BYTES;
	mutex_unlock(&s->queue_lock);
	return many;
}

static bool step_queue(struct meta_set *s)
{
	if (!list_empty(&s->unapplied) || (s->fail_mask & s->in_mask) || s->freezing)
		return false;
	if (step_control(s) || step_group(s, &s->q_ordered, false))
		return true;
	return durable_may_go(s) && step_group(s, &s->q_durable, true);
}

static bool step_refuse(struct meta_set *s)
{
	struct list batches = LIST_INIT(batches);
	struct list *n;

	take_queue(s, &s->q_control, &batches);
	take_queue(s, &s->q_ordered, &batches);
	take_queue(s, &s->q_durable, &batches);
	bool any = !list_empty(&batches);
	while ((n = list_pop(&batches)) != NULL)
		answer_batch(s, LIST_ENTRY(n, struct meta_batch, node), -QE_QUORUM_WRITE);
	return any;
}

static void take_slot_errors(struct meta_set *s)
{
	uint32_t errors = __atomic_exchange_n(&s->slot_errors, 0, __ATOMIC_SEQ_CST);

	s->fail_mask |= errors & s->in_mask;
	if (errors & s->join_mask)
		isr_joiner_fails(s, "payload", -EIO);
}

void writer_step(struct meta_set *s)
{
	bool moved = true;

	mutex_assert_held(&s->writer);
	if (__atomic_load_n(&s->killed, __ATOMIC_ACQUIRE)) {
		step_refuse(s);
		return;
	}
	while (moved) {
		if (drive_queue_inflight(s->queue))
			drive_queue_reap(s->queue, 0);
		if (s->lane && drive_queue_inflight(s->lane))
			drive_queue_reap(s->lane, 0);
		take_slot_errors(s);
		if (!meta_writable(s)) {
			moved = step_refuse(s);
			continue;
		}
		moved = step_returned(s);
		moved |= step_round(s);
		moved |= isr_remove_failed(s);
		moved |= step_queue(s);
		moved |= step_flush(s);
	}
}

/* Somebody who finds the lock taken leaves `again`; the holder looks at it after it has let go. */
void writer_lead(struct meta_set *s)
{
	__atomic_store_n(&s->again, true, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&s->again, __ATOMIC_SEQ_CST)) {
		if (!mutex_trylock(&s->writer))
			return;
		__atomic_store_n(&s->again, false, __ATOMIC_SEQ_CST);
		writer_step(s);
		mutex_unlock(&s->writer);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
}

void writer_unlock(struct meta_set *s)
{
	mutex_unlock(&s->writer);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->again, __ATOMIC_SEQ_CST))
		writer_lead(s);
}

void writer_pause(struct meta_set *s)
{
	writer_unlock(s);
	meta_drive(s);
	clock_sleep_ns(50000);
	mutex_lock(&s->writer);
}

bool writer_rest(struct meta_set *s)
{
	s->freezing = true;
	for (;;) {
		s->flush_wanted = true;
		writer_step(s);
		if (!meta_writable(s) || (list_empty(&s->unapplied) && !s->round && !s->isr_pending && !(s->fail_mask & s->in_mask) &&
					  meta_durable_seq(s) == publish_applied_seq(&s->pub)))
			break;
		writer_pause(s);
	}
	return meta_writable(s);
}

/* ---- Queueing ----------------------------------------------------------------------------------------------------- */
void meta_submit(struct meta_batch *b, meta_done_fn done, void *arg)
{
	struct meta_set *s = b->set;
	struct list *q = &s->q_control;

	b->done = done;
	b->arg = arg;
	if (b->kind == BATCH_GROUP || b->kind == BATCH_BARRIER)
		q = b->promise == META_DURABLE ? &s->q_durable : &s->q_ordered;
	mutex_lock(&s->queue_lock);
	list_add_tail(q, &b->node);
	if (q == &s->q_durable)
		s->q_bytes += b->ops.len + batch_payload_len(b);
	mutex_unlock(&s->queue_lock);
}
