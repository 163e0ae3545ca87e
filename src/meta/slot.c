/* SPDX-License-Identifier: Apache-2.0
 *
 * The drive object of a slot. It is borrowed from whoever opened it; a slot that is out gives it back, so that the drive may
 * be opened anew. Two rules make that safe. The pointer is found only in slot[].d, in the journal and in the erasure set,
 * each under its lock, and whoever takes it from there for longer holds it (drive_hold); each open file, and so each I/O in
 * flight, holds it as well. So the pointer is taken out of all three first, and given back when it has no users.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

struct drive *meta_drive_of(struct meta_set *s, unsigned slot)
{
	MUTEX_GUARD(&s->drives_lock);

	return slot < s->n ? drive_hold(s->slot[slot].d) : NULL;
}

void slot_set_drive(struct meta_set *s, unsigned slot, struct drive *d)
{
	mutex_assert_held(&s->writer);
	MUTEX_GUARD(&s->drives_lock);

	s->slot[slot].d = d;
}

void index_set(struct meta_set *s, struct index **at, struct index *ix)
{
	mutex_lock(&s->writer);
	*at = ix;
	writer_unlock(s);
}

void slot_note(struct meta_set *s, unsigned slot, const char *fmt, ...)
{
	char *why = s->slot[slot].why;
	va_list ap;
	MUTEX_GUARD(&s->drives_lock);

	if (*why)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof s->slot[slot].why, fmt, ap);
	va_end(ap);
}

void slots_note(struct meta_set *s, uint32_t slots, const char *why)
{
	for (unsigned i = 0; i < s->n; i++)
		if (slots & 1u << i)
			slot_note(s, i, "%s", why);
}

void slots_note_failed(struct meta_set *s, uint32_t slots, const char *what)
{
	struct drive_stats st;

	for (unsigned i = 0; i < s->n; i++) {
		CLEANUP_DRIVE struct drive *d = slots & 1u << i ? meta_drive_of(s, i) : NULL;
		if (!d)
			continue;
		drive_stats(d, &st);
		slot_note(s, i, "%s: %s", what, st.last_error);
	}
}

const char *slots_text(uint32_t slots, char ret[SLOTS_TEXT])
{
	unsigned len = 0;

	snprintf(ret, SLOTS_TEXT, "none");
	for (uint32_t m = slots; m; m &= m - 1)
		len += (unsigned)snprintf(ret + len, SLOTS_TEXT - len, "%s%d", len ? "," : "", __builtin_ctz(m));
	return ret;
}

void slot_well(struct meta_set *s, unsigned slot)
{
	MUTEX_GUARD(&s->drives_lock);

	s->slot[slot].why[0] = '\0';
}

void meta_slot_why(struct meta_set *s, unsigned slot, char *ret, size_t cap)
{
	MUTEX_GUARD(&s->drives_lock);

	snprintf(ret, cap, "%s", slot < s->n ? s->slot[slot].why : "");
}

/* (W) */
static uint32_t good_indexes(const struct meta_set *s)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (s->isr.slot[i].index == ISR_INDEX_GOOD)
			mask |= 1u << i;
	return mask;
}

int meta_slot_remove(struct meta_set *s, unsigned slot, bool force, const char *why)
{
	int rc = 0;

	mutex_lock(&s->writer);
	uint32_t in = s->in_mask & ~s->fail_mask, bit = 1u << slot;
	if (slot >= s->n || !(in & bit) || !meta_writable(s)) {
		rc = -EINVAL;
	} else if (!force && (unsigned)__builtin_popcount(in & ~bit) < s->w) {
		rc = -QE_QUORUM_WRITE;
	} else if (!force && !(good_indexes(s) & in & ~bit)) {
		rc = -QE_BUSY;
	} else {
		slot_note(s, slot, "%s", why);
		s->fail_mask |= bit;
		writer_step(s);
	}
	uint64_t seq = s->next_seq - 1;
	writer_unlock(s);
	answers_run(s);
	return rc < 0 ? rc : meta_wait_blocking(s, seq);
}

int meta_slot_give_up(struct meta_set *s, unsigned slot, struct op_ctx *ctx)
{
	MUTEX_GUARD(&s->checkpoint_lock);
	uint32_t bit = 1u << slot;

	ASSERT(slot < s->n);
	if (meta_writable(s))
		return op_fail(ctx, -QE_INVALID_REQUEST, "the set writes: no drive needs to be given up");
	if (s->slot[slot].d && !drive_is_out(s->slot[slot].d))
		return op_fail(ctx, -QE_INVALID_REQUEST, "the drive of slot %u is here and in use", slot);
	mutex_lock(&s->writer);
	uint32_t lost = s->given_up | bit;
	bool readable = s->n - (unsigned)__builtin_popcount(lost) >= s->k;
	if (readable)
		slots_give_up(s, lost);
	unsigned w = s->w;
	writer_unlock(s);
	if (!readable)
		return op_fail(ctx, -QE_INVALID_REQUEST, "%u drives are needed to read the data, and slot %u would leave fewer; bring "
			       "one of the drives back that were given up", s->k, slot);
	log_warn("meta", "drive given up by the operator: it must not come back slot=%u needed_to_write=%u", slot, w);
	return 0;
}

/* (C) The copy of a slot that is out: struck already. False: a view still reads it. */
static bool drop_index(struct meta_set *s, unsigned slot)
{
	struct index *ix = s->slot[slot].index;

	if (!ix)
		return true;
	if (s->has_publish && !publish_remove_index(&s->pub, ix))
		return false;
	index_set(s, &s->slot[slot].index, NULL);
	index_close_of(s->slot[slot].d, ix);
	__atomic_fetch_and(&s->index_bad, ~(1u << slot), __ATOMIC_SEQ_CST);
	return true;
}

/* (C) */
static int release(struct meta_set *s, unsigned slot, struct drive **ret_old)
{
	struct set_slot *at = &s->slot[slot];

	mutex_lock(&s->writer);
	bool used = meta_writable(s) && ((s->in_mask | s->join_mask) & 1u << slot);
	if (!used)
		journal_drop_slot(&s->journal, slot);
	writer_unlock(s);
	if (used)
		return -EINVAL;
	if (!drop_index(s, slot))
		return -EBUSY;
	erasure_slot_detach(s->erasure, slot);
	retired_detach(s, slot);
	mutex_lock(&s->writer);
	struct drive *d = at->d;
	slot_set_drive(s, slot, NULL);
	/* Who came before holds it; from here on nobody comes. */
	bool busy = d && drive_users(d);
	if (busy)
		slot_set_drive(s, slot, d);
	writer_unlock(s);
	if (busy)
		return -EBUSY;
	at->has_super = false;
	*ret_old = d;
	return 0;
}

int meta_slot_release(struct meta_set *s, unsigned slot, struct drive **ret_old)
{
	if (slot >= s->n)
		return -EINVAL;
	/* A checkpoint may be using its index copy. */
	if (!mutex_trylock(&s->checkpoint_lock))
		return -EBUSY;
	int rc = release(s, slot, ret_old);
	mutex_unlock(&s->checkpoint_lock);
	answers_run(s);
	return rc;
}
