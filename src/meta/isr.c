/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives that leave the in-sync list (STORAGE.md Q2, Q3), and the set below W (Q4).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

uint32_t slots_in(const struct isr_body *isr)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < isr->n; i++)
		if (isr->slot[i].state == ISR_IN)
			mask |= 1u << i;
	return mask;
}

void isr_slot_error(void *arg, unsigned slot, int rc)
{
	struct meta_set *s = arg;

	slot_note(s, slot, "payload: %s", drive_err_text(rc));
	__atomic_fetch_or(&s->slot_errors, 1u << slot, __ATOMIC_SEQ_CST);
	set_kick(s);
}

void isr_joiner_fails(struct meta_set *s, const char *what, int rc)
{
	slot_note(s, (unsigned)__builtin_ctz(s->join_mask), rc < 0 ? "%s: %s" : "%s", what, drive_err_text(rc));
	s->join_mask = 0;
	if (meta_writable(s))
		erasure_set_writers(s->erasure, s->in_mask);
}

struct leaving {
	struct meta_set *s;
	struct meta_batch *b;
	unsigned slot;
};

static void missing_from(void *arg, uint64_t segment, uint32_t from_4k)
{
	struct leaving *l = arg;

	if (!erasure_missing_covers(l->s->erasure, l->slot, segment, from_4k))
		batch_missing(l->b, l->slot, segment, from_4k, MISSING_LEFT);
}

/* The record exists once it is built: from then on durable_seq stands still until it is flushed on all its members. */
void isr_write(struct meta_set *s, struct meta_batch *b)
{
	struct wrec *r = wrec_get(s);

	b->kind = BATCH_ISR;
	b->internal = true;
	b->seq = s->next_seq;
	b->time = s->last_wall_ns = MAX(clock_wall_ns(), s->last_wall_ns + 1);
	batch_seal(b);
	buf_reset(&s->body);
	record_isr_put(&s->body, &s->isr);
	batch_encode(s, &s->body, b);
	r->control = true;
	int rc = meta_batch_err(b);
	if (rc == 0)
		rc = record_build(s, r, RECORD_ISR, 1, 0);
	if (rc < 0) {
		meta_batch_free(b);
		wrec_put(s, r);
		isr_below_w(s, err_text(rc));
		return;
	}
	s->isr_pending = r->last_seq;
	list_add_tail(&r->batches, &b->node);
	list_add_tail(&s->unapplied, &r->node);
	record_submit(s, r);
}

void isr_is_durable(struct meta_set *s)
{
	s->isr_durable = s->isr;
	s->isr_durable.reason[0] = '\0';
	s->isr_epoch = __atomic_load_n(&s->epoch, __ATOMIC_RELAXED);
	s->isr_seq = s->isr_pending;
	s->isr_pending = 0;
}

static void leave(struct meta_set *s, unsigned slot, struct meta_batch *b)
{
	slot_note(s, slot, "it failed");
	log_warn("meta", "drive out slot=%u path=%s reason=\"%s\"", slot, s->slot[slot].d->path, s->slot[slot].why);
	snprintf(s->isr.reason, sizeof s->isr.reason, "slot %u: %.180s", slot, s->slot[slot].why);
	s->isr.slot[slot].state = ISR_OUT;
	s->isr.slot[slot].index = ISR_INDEX_NONE;
	erasure_unflushed_ranges(s->erasure, slot, missing_from, &(struct leaving){s, b, slot});
	journal_drop_slot(&s->journal, slot);
	drive_set_out(s->slot[slot].d, true, NULL);
	if (s->slot[slot].index)
		__atomic_fetch_or(&s->index_bad, 1u << slot, __ATOMIC_SEQ_CST);
}

bool isr_remove_failed(struct meta_set *s)
{
	uint32_t out = s->fail_mask & s->in_mask;

	if (!out || !meta_writable(s))
		return false;
	LIST_FOREACH(it, &s->unapplied)
		if (LIST_ENTRY(it, struct wrec, node)->waiting & s->in_mask & ~out)
			return false;
	uint32_t left = s->in_mask & ~out;
	if ((unsigned)__builtin_popcount(left) < s->w) {
		isr_below_w(s, "too few drives are in sync");
		return true;
	}
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);
	ASSERT(b);
	s->in_mask = left;
	erasure_set_writers(s->erasure, left | s->join_mask);
	for (unsigned i = 0; i < s->n; i++)
		if (out & 1u << i)
			leave(s, i, b);
	s->fail_mask &= ~out;
	isr_write(s, b);
	return true;
}

/* An index copy that is not good any more is struck by a record before the journal moves on without it (Q7). */
void isr_strike_index(struct meta_set *s, uint32_t slots)
{
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	ASSERT(b);
	for (unsigned i = 0; i < s->n; i++)
		if (slots & 1u << i)
			s->isr.slot[i].index = ISR_INDEX_NONE;
	char text[SLOTS_TEXT];
	snprintf(s->isr.reason, sizeof s->isr.reason, "index copies struck: slots %s", slots_text(slots, text));
	isr_write(s, b);
}

void isr_index_good(struct meta_set *s, unsigned slot)
{
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	ASSERT(b);
	s->isr.slot[slot].index = ISR_INDEX_GOOD;
	snprintf(s->isr.reason, sizeof s->isr.reason, "index copy rebuilt %u", slot);
	isr_write(s, b);
}

static void fail_list(struct meta_set *s, struct list *batches, int rc)
{
	struct list *n;

	while ((n = list_pop(batches)) != NULL)
		answer_batch(s, LIST_ENTRY(n, struct meta_batch, node), rc);
}

void isr_abandon(struct meta_set *s)
{
	struct list *n;

	while ((n = list_pop(&s->unapplied)) != NULL) {
		struct wrec *r = LIST_ENTRY(n, struct wrec, node);
		fail_list(s, &r->batches, -QE_UNKNOWN_OUTCOME);
		wrec_put(s, r);
	}
	round_release(&s->round);
	round_release(&s->join_round);
	fail_list(s, &s->wait_durable, -QE_UNKNOWN_OUTCOME);
	fail_list(s, &s->barriers, -QE_UNKNOWN_OUTCOME);
	answer_waiters(s, 0, -QE_UNKNOWN_OUTCOME);
}

/* The epoch ends: what is on its way has an unknown outcome, which no answer may seem to tell, and what is queued was not
 * begun. The state that is applied stays readable; recovery decides what of it was durable. */
void isr_below_w(struct meta_set *s, const char *why)
{
	if (!meta_writable(s))
		return;
	uint32_t failed = s->fail_mask & s->in_mask, left = s->in_mask & ~failed;
	char in_text[SLOTS_TEXT], failed_text[SLOTS_TEXT];
	log_error("meta", "the set is read-only: %s in=\"%d of %u (slots %s)\" failed=\"slots %s\" needed=%u; it writes again when "
		  "drives return", why, __builtin_popcount(left), s->n, slots_text(left, in_text),
		  slots_text(failed, failed_text), s->w);
	__atomic_store_n(&s->writable, false, __ATOMIC_SEQ_CST);
	erasure_set_writers(s->erasure, 0);
	s->join_mask = 0;
	for (unsigned i = 0; i < s->n; i++) {
		if (!(failed & 1u << i) || !s->slot[i].d)
			continue;
		log_warn("meta", "drive out slot=%u path=%s reason=\"%s\"", i, s->slot[i].d->path, s->slot[i].why);
		drive_set_out(s->slot[i].d, true, NULL);
	}
	doubt_unapplied(s);
	isr_abandon(s);
}
