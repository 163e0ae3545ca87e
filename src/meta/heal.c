/* SPDX-License-Identifier: Apache-2.0
 *
 * Missing ranges become cells again. See heal.h.
 */
#include "meta/heal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"

struct failed_range {
	uint64_t segment, since_ns; /* mono */
	unsigned slot;
	bool again;      /* other drives are in since: other chances */
	const char *why; /* as it was told */
};

/* ---- Life -------------------------------------------------------------------------------------------------------- */
struct meta_healer *meta_healer_new(struct meta_set *s, bool (*go_on)(void *arg, uint64_t bytes), void *arg)
{
	struct meta_healer *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->s = s;
	h->go_on = go_on;
	h->arg = arg;
	return h;
}

struct meta_healer *meta_healer_free(struct meta_healer *h)
{
	if (!h)
		return NULL;
	free(h->blob);
	vec_free(&h->failed);
	free(h);
	return NULL;
}

void meta_healer_note_lost(struct meta_healer *h, struct meta_lost_list *list)
{
	h->lost = list;
}

void heal_end(struct meta_healer *h)
{
	h->eh = erasure_healer_free(h->eh);
	erasure_set_unhold(h->erasure);
	h->erasure = NULL;
	__atomic_fetch_sub(&h->s->healers, 1, __ATOMIC_SEQ_CST);
}

static bool may_look(const struct meta_healer *h)
{
	return h->bad || meta_writable(h->s);
}

int heal_begin(struct meta_healer *h)
{
	/* Counted first: a set that is revived waits for those that still found it writable. */
	__atomic_fetch_add(&h->s->healers, 1, __ATOMIC_SEQ_CST);
	if (!may_look(h)) {
		__atomic_fetch_sub(&h->s->healers, 1, __ATOMIC_SEQ_CST);
		return -QE_QUORUM_WRITE;
	}
	h->epoch = __atomic_load_n(&h->s->epoch, __ATOMIC_RELAXED);
	h->erasure = meta_erasure_hold(h->s);
	h->eh = h->bad ? erasure_verifier_new(h->erasure, h->bad, h->arg) : erasure_healer_new(h->erasure);
	h->told = 0;
	if (h->eh) {
		erasure_healer_on_lost(h->eh, h->lost ? lost_note : NULL, h->lost);
		return 0;
	}
	heal_end(h);
	return -ENOMEM;
}

bool heal_may_go_on(struct meta_healer *h, uint64_t bytes)
{
	return h->go_on(h->arg, bytes) && may_look(h) && !__atomic_load_n(&h->s->stopping, __ATOMIC_RELAXED) &&
	       h->epoch == __atomic_load_n(&h->s->epoch, __ATOMIC_RELAXED);
}

bool heal_goes_on(struct meta_healer *h)
{
	uint64_t moved = erasure_healer_moved(h->eh), bytes = moved - h->told;

	h->told = moved;
	return heal_may_go_on(h, bytes);
}

uint32_t heal_slots(struct meta_set *s)
{
	mutex_lock(&s->writer);
	uint32_t in = s->in_mask & ~s->fail_mask;
	writer_unlock(s);
	return in;
}

uint32_t heal_whole_slots(struct meta_healer *h, uint64_t segment)
{
	uint32_t slots = h->bad ? (1u << h->s->n) - 1 : heal_slots(h->s);

	return slots & ~erasure_missing_mask(h->erasure, segment, 0, UINT32_MAX);
}

/* ---- What is missing --------------------------------------------------------------------------------------------- */
static struct failed_range *find_failed(const struct meta_healer *h, uint64_t segment, unsigned slot)
{
	for (unsigned i = 0; i < h->failed.n; i++) {
		struct failed_range *f = VEC_AT(&h->failed, struct failed_range, i);
		if (f->segment == segment && f->slot == slot)
			return f;
	}
	return NULL;
}

bool heal_failed_lately(const struct meta_healer *h, uint64_t segment, unsigned slot)
{
	const struct failed_range *f = find_failed(h, segment, slot);

	return f && !f->again && clock_mono_ns() - f->since_ns < META_HEAL_RETRY_NS;
}

bool heal_note_failed(struct meta_healer *h, uint64_t segment, unsigned slot, const char *why)
{
	struct failed_range *f = find_failed(h, segment, slot);
	bool news = !f || strcmp(f->why, why) != 0;

	if (!f)
		f = vec_push(&h->failed, sizeof *f);
	if (f)
		*f = (struct failed_range){segment, clock_mono_ns(), slot, false, why};
	return news;
}

/* What fails after it was whole is news again. */
static void forget_failed(struct meta_healer *h, uint64_t segment, unsigned slot)
{
	struct failed_range *f = find_failed(h, segment, slot);

	if (f)
		*f = *VEC_AT(&h->failed, struct failed_range, --h->failed.n);
}

static void try_failed_again(struct meta_healer *h)
{
	for (unsigned i = 0; i < h->failed.n; i++)
		VEC_AT(&h->failed, struct failed_range, i)->again = true;
}

/* What is written to an open segment lacks nothing on the drives that are in; it is sealed before one of them returns. */
static bool is_open(const struct meta_healer *h, uint64_t segment)
{
	struct segment_info info;

	return erasure_segment_get(h->erasure, segment, &info) && info.state == SEGMENT_OPEN;
}

struct finding {
	struct vec *ranges;
	uint32_t slots, full;
};

static int add_range(struct meta_healer *h, void *arg, const struct meta_row *row)
{
	const struct finding *to = arg;
	struct row_missing m;
	struct heal_range r = {.seq = row->seq};

	if (row->key.len != 13 || row_missing_decode(row->body, &m) < 0)
		return -QE_CORRUPT;
	r.slot = (uint8_t)row->key.p[0];
	r.segment = be64_get(row->key.p + 1);
	r.from_4k = be32_get(row->key.p + 9);
	r.to_4k = m.to_4k;
	if (r.slot >= h->s->n || !(to->slots & 1u << r.slot))
		return 0;
	if ((to->full & 1u << r.slot) || heal_failed_lately(h, r.segment, r.slot) || is_open(h, r.segment)) {
		h->waits = true;
		return 0;
	}
	struct heal_range *at = vec_push(to->ranges, sizeof *at);
	if (!at)
		return -ENOMEM;
	*at = r;
	return 0;
}

static int by_segment(const void *a, const void *b)
{
	const struct heal_range *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->slot != y->slot ? (int)x->slot - (int)y->slot : x->from_4k < y->from_4k ? -1 : x->from_4k > y->from_4k;
}

struct sizing {
	struct vec *ranges; /* by segment */
	unsigned at;
};

/* What cells of the range take, before anybody has looked. */
static uint64_t expected_bytes(const struct segment_info *i, const struct heal_range *r)
{
	uint64_t end = MIN(i->sealed_4k ? i->sealed_4k : i->size_4k, r->to_4k), from = MAX(r->from_4k, 1u);
	uint64_t span = end > from ? (end - from) * DRIVE_BLOCK : 0;

	return i->cls == SEGMENT_PACKED ? span : MIN(span, i->live_bytes / i->k);
}

/* The segment's row: only the sequencer knows what lives in it. */
static int size_ranges(struct meta_healer *h, void *arg, const struct meta_row *row)
{
	struct sizing *z = arg;
	struct segment_info info;

	if (row_segment_decode(row->body, &info) < 0)
		return -QE_CORRUPT;
	for (; z->at < z->ranges->n; z->at++) {
		struct heal_range *r = VEC_AT(z->ranges, struct heal_range, z->at);
		if (r->segment > info.id)
			break;
		if (r->segment == info.id)
			r->bytes = expected_bytes(&info, r);
	}
	return 0;
}

static int find_ranges(struct meta_healer *h, struct vec *ranges)
{
	struct sizing z = {.ranges = ranges};
	struct meta_key k = {.len = 0};
	/* What was submitted when these drives were in is applied before the rows are read. */
	uint32_t slots = heal_slots(h->s), full = erasure_full_slots(h->erasure);
	int rc = meta_sync(h->s);

	if (slots != h->failed_in)
		try_failed_again(h);
	h->failed_in = slots;
	h->waits = false;
	if (rc == 0)
		do
			rc = live_page(h, TABLE_MISSING, &k, add_range, &(struct finding){ranges, slots, full});
		while (rc > 0);
	if (rc < 0 || !ranges->n)
		return rc;
	qsort(ranges->p, ranges->n, sizeof(struct heal_range), by_segment);
	key_u64(&k, VEC_AT(ranges, struct heal_range, 0)->segment);
	do
		rc = live_page(h, TABLE_SEGMENT, &k, size_ranges, &z);
	while (rc > 0 && z.at < ranges->n);
	return MIN(rc, 0);
}

/* ---- A segment --------------------------------------------------------------------------------------------------- */
struct healing {
	struct meta_healer *h;
	const struct heal_range *r; /* of one segment */
	unsigned n;
};

static int heal_stripe(void *arg, const struct erasure_stripe *st)
{
	const struct healing *g = arg;
	uint32_t slots = 0;

	for (unsigned i = 0; i < g->n; i++)
		if (st->offset_4k < g->r[i].to_4k && st->offset_4k + st->cell_4k > g->r[i].from_4k)
			slots |= 1u << g->r[i].slot;
	int rc = slots ? erasure_healer_add(g->h->eh, st, slots) : 0;
	return rc < 0 ? rc : heal_goes_on(g->h) ? 0 : -QE_BUSY;
}

/* The row goes only as it was read: a change that names the same place again puts a newer one. What was done of the drive is
 * told by the same batch. */
static int drop_range(struct meta_healer *h, const struct heal_range *r, const struct erasure_healed_slot *done)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_row row;
	struct meta_key k;
	int rc = meta_view_open(h->s, &v);

	if (rc < 0)
		return rc;
	key_missing(&k, (uint8_t)r->slot, r->segment, r->from_4k);
	rc = meta_get_k(v, TABLE_MISSING, &k, &row);
	if (rc <= 0 || row.seq != r->seq)
		return MIN(rc, 0);
	struct meta_batch *b = meta_batch_new(h->s, META_DURABLE, OP_HEAL);
	if (!b)
		return -ENOMEM;
	b->internal = b->missing = true;
	meta_batch_view(b, v);
	meta_batch_expect(b, TABLE_MISSING, &k, &row, true);
	meta_batch_del(b, TABLE_MISSING, &k);
	heal_progress_put(h->s, b, r, done);
	meta_view_close(v);
	v = NULL;
	rc = meta_commit(b);
	meta_batch_free(b);
	return rc == -QE_CONFLICT ? 0 : rc;
}

static void note_failed(struct meta_healer *h, const struct heal_range *r, const char *why)
{
	CLEANUP_DRIVE struct drive *d = meta_drive_of(h->s, r->slot);

	h->waits = true;
	if (heal_note_failed(h, r->segment, r->slot, why))
		log_warn("heal", "cells stay missing path=%s slot=%u segment=%016" PRIx64 " cause=\"%s\"", drive_path(d), r->slot,
			 r->segment, why);
}

/* Nothing of it lives, or nobody knows it: there is nothing to be made whole. */
static int heal_nothing(struct meta_healer *h, const struct heal_range *r, unsigned n)
{
	const struct erasure_healed_slot none = {0};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < n; i++) {
		rc = drop_range(h, &r[i], &none);
		heal_progress_range(h->s, &r[i], &none, rc == 0);
	}
	return rc;
}

static int settle(struct meta_healer *h, const struct heal_range *r, unsigned n, const struct erasure_healed *done)
{
	const struct erasure_healed_slot none = {0};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < n; i++) {
		const struct erasure_healed_slot *slot = &done->slot[r[i].slot];
		bool whole = slot->failed == 0;
		/* Several ranges of one drive were healed as one. */
		bool again = i > 0 && r[i - 1].slot == r[i].slot;
		if (whole) {
			forget_failed(h, r[i].segment, r[i].slot);
			rc = drop_range(h, &r[i], again ? &none : slot);
		} else {
			note_failed(h, &r[i], "too few good cells, or the drive does not take them");
		}
		heal_progress_range(h->s, &r[i], again ? &none : slot, whole);
	}
	return rc;
}

static int heal_live(struct meta_healer *h, const struct heal_range *r, unsigned n)
{
	struct healing g = {h, r, n};
	struct erasure_healed done = {0};
	struct segment_info info;
	uint32_t slots = 0;

	for (unsigned i = 0; i < n; i++)
		slots |= 1u << r[i].slot;
	heal_progress_segment(h->s, r, n);
	if (!erasure_segment_get(h->erasure, r->segment, &info) || info.state == SEGMENT_DEAD)
		return heal_nothing(h, r, n);
	int rc = erasure_healer_begin(h->eh, r->segment, slots, 0);
	if (rc < 0)
		return rc == -QE_CORRUPT ? heal_nothing(h, r, n) : rc; /* it died meanwhile */
	rc = live_stripes(h, &info, heal_stripe, &g);
	if (rc == -QE_BUSY || rc == -ENOMEM) {
		erasure_healer_drop(h->eh);
		return rc;
	}
	erasure_healer_end(h->eh, &done);
	if (rc == 0)
		return settle(h, r, n, &done);
	for (unsigned i = 0; i < n; i++) {
		note_failed(h, &r[i], err_text(rc));
		heal_progress_range(h->s, &r[i], &done.slot[r[i].slot], false);
	}
	return 0;
}

/* The drives are held until the rows are gone: none is replaced by one that lacks what was healed (meta_slot_release). */
static int heal_segment(struct meta_healer *h, const struct heal_range *r, unsigned n)
{
	struct drive *held[SUPER_MAX_SLOTS] = {NULL};

	for (unsigned i = 0; i < n; i++)
		if (!held[r[i].slot])
			held[r[i].slot] = meta_drive_of(h->s, r[i].slot);
	int rc = heal_live(h, r, n);
	for (unsigned i = 0; i < h->s->n; i++)
		drive_unhold(held[i]);
	return rc;
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */
static bool is_wanted(void *arg, uint64_t segment)
{
	const struct vec *ranges = arg;
	unsigned lo = 0, hi = ranges->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		if (VEC_AT(ranges, struct heal_range, mid)->segment < segment)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < ranges->n && VEC_AT(ranges, struct heal_range, lo)->segment == segment;
}

static bool is_large(const struct meta_healer *h, uint64_t segment)
{
	struct segment_info info;

	return erasure_segment_get(h->erasure, segment, &info) && info.cls == SEGMENT_LARGE;
}

static int heal_ranges(struct meta_healer *h, struct vec *ranges)
{
	bool have = false;
	int rc = 0;

	for (unsigned i = 0, n; rc == 0 && i < ranges->n; i += n) {
		const struct heal_range *r = VEC_AT(ranges, struct heal_range, i);
		for (n = 1; i + n < ranges->n && r[n].segment == r->segment;)
			n++;
		if (is_large(h, r->segment) && (!have || r->segment > h->blob_upto)) {
			rc = live_collect(h, r->segment, LIVE_LARGE, is_wanted, ranges);
			have = true;
		}
		if (rc == 0)
			rc = heal_segment(h, r, n);
	}
	return rc;
}

int meta_heal_missing(struct meta_healer *h)
{
	struct vec ranges = {0};

	if (!meta_writable(h->s))
		return -QE_QUORUM_WRITE;
	int rc = heal_begin(h);
	if (rc < 0)
		return rc;
	rc = find_ranges(h, &ranges);
	if (rc == 0 && ranges.n) {
		heal_progress_begin(h->s, &ranges);
		rc = heal_ranges(h, &ranges);
		if (rc == 0)
			heal_progress_end(h->s);
	}
	vec_free(&ranges);
	heal_end(h);
	return rc == -QE_BUSY ? 0 : rc < 0 ? rc : !h->waits;
}
