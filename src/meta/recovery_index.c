/* SPDX-License-Identifier: Apache-2.0
 *
 * Index copies while a set starts: opening them, and choosing which are read. See recovery_internal.h.
 */
#include "base/err.h"
#include "base/log.h"
#include "meta/envelope.h"
#include "meta/recovery_internal.h"

static void index_bad(void *arg, const char *why)
{
	struct set_slot *slot = arg;

	log_error("meta", "index copy is bad path=%s cause=\"%s\"", slot->d->path, why);
	__atomic_fetch_or(&slot->set->index_bad, 1u << slot->id.slot, __ATOMIC_SEQ_CST);
}

void index_watch(struct set_slot *slot)
{
	index_on_bad(slot->index, index_bad, slot);
}

int indexes_open(struct recovery *r)
{
	struct meta_set *s = r->s;
	uint32_t hang = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct set_slot *slot = &s->slot[i];
		if (!(r->counted & 1u << i) || slot->index || slot->super.index_state == ISR_INDEX_BAD)
			continue;
		if (slot->super.index_state == ISR_INDEX_NONE && !(index_homes(s) & 1u << i))
			continue;
		bool fresh = slot->super.start.first_seq == 1;
		int rc = index_open_of(slot->d, &(struct index_opening){s->p.index_map_bytes, fresh, s->p.read_only}, &slot->index);
		if (rc == -QE_DRIVE_TIMEOUT)
			hang |= 1u << i;
		if (rc < 0) {
			log_warn("meta", "index copy cannot be opened path=%s error=\"%s\"", slot->d->path, err_text(rc));
			slot->index = NULL;
			continue;
		}
		index_watch(slot);
	}
	return recovery_lost(r, hang, "opening of its index copy");
}

/* One that serves is nobody's to give up. */
static int ask(struct set_slot *slot, bool (*fn)(struct index *ix))
{
	return slot->index_lent ? fn(slot->index) : index_ask(slot->d, &slot->index, fn);
}

/* Struck because its drive left, not because it was bad: what it applied is history (index_rebuild.c). */
static int was_away(struct set_slot *slot)
{
	if (slot->super.index_state != ISR_INDEX_GOOD)
		return 0;
	if (!slot->index_checked) {
		int rc = ask(slot, index_is_whole);
		if (rc < 0)
			return rc;
		slot->index_whole = rc;
	}
	slot->index_checked = true;
	return slot->index_whole;
}

/* A row that a copy hides would be missed until the next start: what is loaded once, as a whole, is compared with its sum. */
static bool hides_nothing(struct index *ix)
{
	return index_check_table(ix, TABLE_SEGMENT) == 0 && index_check_table(ix, TABLE_MISSING) == 0;
}

/* 1: it can be read; 0: not; -QE_DRIVE_TIMEOUT: its drive does not answer, and it is gone. */
static int is_good(struct set_slot *slot, const struct isr_body *isr)
{
	int rc = isr->slot[slot->id.slot].index == ISR_INDEX_GOOD ? 1 : was_away(slot);

	return rc > 0 ? ask(slot, hides_nothing) : rc;
}

int indexes_choose(struct recovery *r, const struct isr_body *isr)
{
	struct meta_set *s = r->s;
	uint32_t hang = 0;

	r->index_ok = 0;
	r->replay_from = UINT64_MAX;
	for (unsigned i = 0; i < s->n; i++) {
		struct index *ix = s->slot[i].index;
		if (!(r->counted & 1u << i) || !ix || index_is_bad(ix) || index_position(ix) + 1 < r->start.first_seq)
			continue;
		int rc = is_good(&s->slot[i], isr);
		if (rc == -QE_DRIVE_TIMEOUT)
			hang |= 1u << i;
		if (rc <= 0)
			continue;
		r->index_ok |= 1u << i;
		r->replay_from = MIN(r->replay_from, index_position(ix));
	}
	if (recovery_lost(r, hang, "reading of its index copy"))
		return 1;
	if (r->index_ok)
		return 0;
	return op_fail(r->ctx, -QE_QUORUM_READ, "no drive that is here has a good copy of the index; bring more drives");
}

void indexes_close_others(struct recovery *r)
{
	for (unsigned i = 0; i < r->s->n; i++) {
		struct set_slot *slot = &r->s->slot[i];
		if (!(r->counted & 1u << i) || (r->index_ok & 1u << i))
			continue;
		slot->index = slot->index_lent ? NULL : index_close(slot->index);
		slot->index_lent = false; /* a further attempt may open one, and that is its own */
		slot->super.index_state = ISR_INDEX_NONE;
	}
}

int indexes_learn(struct recovery *r)
{
	struct meta_set *s = r->s;
	struct index_txn *t;
	struct index_cursor *c;
	struct memtable_row row;
	struct segment_info info;
	int rc = index_txn_open(s->slot[__builtin_ctz(r->index_ok)].index, &t);

	if (rc < 0)
		return rc;
	rc = index_cursor_open(t, TABLE_SEGMENT, &c);
	if (rc == 0) {
		for (rc = index_seek(c, (struct str){"", 0}, &r->arena, &row); rc > 0; rc = index_next(c, &r->arena, &row))
			if (row_segment_decode(str_sub(row.row, ENVELOPE_BYTES, row.row.len - ENVELOPE_BYTES), &info) == 0)
				(void)!erasure_segment_add(s->erasure, &info);
		index_cursor_close(c);
	}
	index_txn_close(t);
	return rc;
}
