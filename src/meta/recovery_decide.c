/* SPDX-License-Identifier: Apache-2.0
 *
 * R5 and R5': how far the history is kept. Records up to D are kept whatever they are. Behind D a record is kept when it
 * can be recovered (b), or when it cannot, but may have been answered by drives that are away (d); it ends the history
 * when it provably was never answered (c).
 */
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/recovery_internal.h"

/* ---- What the segments of stripes are ------------------------------------------------------------------------------ */
static void learn_segment(struct recovery *r, const struct record_op *op)
{
	struct segment_info info;

	if (op->del || row_segment_decode(str_sub(op->value, ENVELOPE_BYTES, op->value.len - ENVELOPE_BYTES), &info) < 0 ||
	    erasure_segment_add(r->s->erasure, &info) < 0)
		log_debug("meta", "a segment row was not understood");
}

static void learn_stripes(struct recovery *r, const struct record_batch *b)
{
	struct str rest = b->cells;
	struct erasure_stripe st;

	while (record_stripe_next(&rest, &r->arena, &st) > 0)
		erasure_segment_used(r->s->erasure, st.segment, st.offset_4k + st.cell_4k);
}

void learn_rows(struct recovery *r, struct found_record *f)
{
	const uint8_t *body = f->head.nbatch ? record_body_of(r, f) : NULL;
	struct record_body dec;
	struct record_batch b;
	struct record_op op;

	if (!body || record_body_decode(&f->head, body, r->s->ncell, &dec) < 0)
		return;
	while (record_batch_next(&dec.batches, &b) > 0) {
		while (record_op_next(&b.ops, &op) > 0)
			if (op.table == TABLE_SEGMENT)
				learn_segment(r, &op);
		learn_stripes(r, &b);
	}
}

/* ---- One record --------------------------------------------------------------------------------------------------- */
/* What the drives hold of a record's cells. */
struct cells {
	bool recoverable;         /* a valid copy, and K valid cells of each stripe */
	uint32_t without;         /* slots that lack a cell which a mask lists for them */
};

static void check_payload(struct recovery *r, const struct found_record *f, struct cells *c)
{
	if (!f->head.cell_len)
		return;
	c->recoverable &= (unsigned)__builtin_popcount(f->cells_ok) >= r->s->k;
	for (unsigned i = 0; i < r->s->n; i++)
		if ((f->head.cells & 1u << i) && record_slot_cell(i, f->head.first_seq, r->s->n) < r->s->ncell &&
		    !(f->cells_ok & 1u << i))
			c->without |= 1u << i;
}

static uint32_t stripe_valid(struct recovery *r, const struct erasure_stripe *st)
{
	uint32_t valid = 0;

	for (unsigned i = 0; i < r->s->n; i++)
		if ((r->counted & 1u << i) && (st->slot_mask & 1u << i) && erasure_cell_check(r->s->erasure, st, i) > 0)
			valid |= 1u << i;
	return valid;
}

static void check_stripes(struct recovery *r, struct found_record *f, struct cells *c)
{
	const uint8_t *body = f->head.nbatch ? record_body_of(r, f) : NULL;
	struct record_body dec;
	struct record_batch b;
	struct erasure_stripe st;

	if (!body || record_body_decode(&f->head, body, r->s->ncell, &dec) < 0)
		return;
	while (record_batch_next(&dec.batches, &b) > 0)
		while (record_stripe_next(&b.cells, &r->arena, &st) > 0) {
			uint32_t valid = stripe_valid(r, &st);
			c->recoverable &= (unsigned)__builtin_popcount(valid) >= r->s->k;
			c->without |= st.slot_mask & ~valid;
		}
}

/* ---- Lacking ------------------------------------------------------------------------------------------------------ */
static int isr_of(struct recovery *r, struct found_record *f, struct isr_body *ret)
{
	const uint8_t *body = record_body_of(r, f);
	struct record_body dec;

	if (!body || record_body_decode(&f->head, body, r->s->ncell, &dec) < 0)
		return -QE_CORRUPT;
	*ret = dec.epoch.isr;
	return 0;
}

/* `in` members, by drive id, that can be reached. */
static uint32_t members(struct recovery *r, const struct isr_body *isr)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < r->s->n; i++)
		if ((r->counted & 1u << i) && isr->slot[i].state == ISR_IN &&
		    memcmp(isr->slot[i].drive, r->s->slot[i].id.drive, 16) == 0)
			mask |= 1u << i;
	return mask;
}

/* Slots that have every record behind D up to and with `last`. */
static uint32_t complete_to(struct recovery *r, const struct found_record *last)
{
	uint32_t mask = r->counted;

	for (const struct found_record *f = last; f && f != r->root && found_last_seq(f) > r->durable; f = f->parent)
		mask &= f->copies;
	return mask;
}

static bool lacks(struct recovery *r, const struct isr_body *isr, const struct found_record *last, const struct cells *c)
{
	uint32_t in = members(r, isr);

	return (in & ~complete_to(r, last)) || (in & c->without);
}

/* True when no ISR that could have answered the record is lacking it: it may have been answered. */
static bool may_be_answered(struct recovery *r, struct found_record *f, const struct isr_body *in_force, const struct cells *c)
{
	if (!lacks(r, in_force, f, c))
		return true;
	for (struct found_record *j = f; j; j = j->next) {
		struct isr_body isr;
		if (j->head.type != RECORD_ISR)
			continue;
		if (isr_of(r, j, &isr) < 0)
			return true; /* nothing is proved */
		if (!lacks(r, &isr, j, c))
			return true;
	}
	return false;
}

/* The ISR in force before a record. */
static int isr_before(struct recovery *r, const struct found_record *f, struct isr_body *ret)
{
	for (struct found_record *j = f->parent; j && j != r->root; j = j->parent)
		if (j->head.type == RECORD_ISR || j->head.type == RECORD_EPOCH)
			return isr_of(r, j, ret);
	*ret = r->isr_root;
	return 0;
}

enum verdict { KEEP, UNAVAILABLE, STOP };

static enum verdict judge(struct recovery *r, struct found_record *f)
{
	struct cells c = {.recoverable = f->copies != 0};
	struct isr_body isr;

	check_payload(r, f, &c);
	check_stripes(r, f, &c);
	if (c.recoverable && !r->read_only)
		return KEEP;
	bool may = isr_before(r, f, &isr) < 0 || may_be_answered(r, f, &isr, &c);
	if (!may)
		return STOP;
	return c.recoverable ? KEEP : UNAVAILABLE;
}

int decide_tail(struct recovery *r)
{
	struct found_record *f = r->root;

	if (found_last_seq(r->tail) < r->durable)
		return op_fail(r->ctx, -QE_CORRUPT,
			       "a hole: the journal ends at %llu, but %llu was durable; more drives of this set are needed",
			       (unsigned long long)found_last_seq(r->tail), (unsigned long long)r->durable);
	for (struct found_record *n = f->next; n; f = n, n = n->next) {
		learn_rows(r, n);
		if (n->unavailable)
			r->unavailable++;
		/* An EPOCH takes no sequence and names no cells: it goes with what it stands on. */
		if (found_last_seq(n) <= r->durable || n->head.type == RECORD_EPOCH)
			continue;
		enum verdict v = judge(r, n);
		if (v == STOP) {
			if (n->unavailable)
				r->unavailable--;
			log_info("meta", "the history ends before a record that nobody was told of seq=%llu",
				 (unsigned long long)n->head.first_seq);
			break;
		}
		if (v == UNAVAILABLE && !n->unavailable)
			r->unavailable++;
	}
	r->kept = f;
	return 0;
}
