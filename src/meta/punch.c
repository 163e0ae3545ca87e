/* SPDX-License-Identifier: Apache-2.0
 *
 * Holes (STORAGE.md section 5, Reclaim): the room of large blobs that died in a segment that lives on. `reclaim` rows say
 * where they lay. Those of one segment that touch are one run; a long run becomes a hole in every file, whole stripes, so
 * that a hole costs little. The rows of the runs go by a durable record before the first hole: no blob was there any more,
 * by a record that every index copy has applied, and no view is open that still shows one. Who verifies or heals the
 * segment, or reads in it, has it pinned: then it is left for another time.
 *
 * A drive that is away would keep what the others give back for as long as the segment lives, so holes wait for it, unless
 * room is short.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"

#define RUN_ROWS 1000  /* of one batch */
#define DEAD_MAX 65536 /* in memory; the others wait for the next time */

struct dead {
	uint64_t segment, seq;
	uint32_t from_4k, to_4k;
};

struct punching {
	struct meta_set *s;
	uint64_t upto;   /* sequence: what died later is left alone */
	uint32_t slots;
	struct vec dead; /* struct dead */
};

/* ---- What is dead ------------------------------------------------------------------------------------------------- */
static int note(void *arg, const struct meta_row *row)
{
	struct punching *p = arg;
	struct row_reclaim r;
	struct segment_info info;

	if (row->key.len != 20 || row_reclaim_decode(row->body, &r) < 0)
		return -QE_CORRUPT;
	if (be64_get(row->key.p) > p->upto)
		return 1;
	uint64_t segment = be64_get(row->key.p + 8);
	uint32_t from_4k = be32_get(row->key.p + 16);
	if (!erasure_segment_get(p->s->erasure, segment, &info) || info.state != SEGMENT_SEALED || info.cls != SEGMENT_LARGE)
		return 0;
	uint64_t to_4k = from_4k + erasure_blob_units(&info, r.len);
	if (from_4k == 0 || to_4k > info.sealed_4k)
		return -QE_CORRUPT;
	struct dead *d = vec_push(&p->dead, sizeof *d);
	if (!d)
		return -ENOMEM;
	*d = (struct dead){segment, be64_get(row->key.p), from_4k, (uint32_t)to_4k};
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct dead *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->from_4k < y->from_4k ? -1 : x->from_4k > y->from_4k;
}

static int find(struct punching *p)
{
	struct meta_key k = {.len = 0};
	int rc;

	do
		rc = rows_page(p->s, TABLE_RECLAIM, &k, note, p);
	while (rc > 0 && p->dead.n < DEAD_MAX);
	if (rc >= 0 && p->dead.n)
		qsort(p->dead.p, p->dead.n, sizeof(struct dead), by_place);
	return MIN(rc, 0);
}

/* ---- Holes -------------------------------------------------------------------------------------------------------- */
static const struct dead *at(const struct punching *p, unsigned i)
{
	return VEC_AT(&p->dead, struct dead, i);
}

/* How many from the i-th on make one run. */
static unsigned run_length(const struct punching *p, unsigned i, uint32_t *ret_to_4k)
{
	unsigned n = 1;

	*ret_to_4k = at(p, i)->to_4k;
	while (i + n < p->dead.n && n < RUN_ROWS && at(p, i + n)->segment == at(p, i)->segment && at(p, i + n)->from_4k == *ret_to_4k)
		*ret_to_4k = at(p, i + n++)->to_4k;
	return n;
}

/* The rows go, the segment's row tells how much of it is holes. */
static int forget_rows(struct punching *p, unsigned i, unsigned n, uint32_t units)
{
	struct meta_batch *b = meta_batch_new(p->s, META_DURABLE, OP_HEAL);
	struct meta_key k;

	if (!b)
		return -ENOMEM;
	b->internal = true;
	for (unsigned j = i; j < i + n; j++) {
		key_reclaim(&k, at(p, j)->seq, at(p, j)->segment, at(p, j)->from_4k);
		meta_batch_del(b, TABLE_RECLAIM, &k);
	}
	batch_segment(b, &(struct segment_info){.id = at(p, i)->segment, .punched_4k = units}, 0, 0);
	int rc = meta_commit(b);
	meta_batch_free(b);
	return rc;
}

static int punch(struct punching *p, unsigned i, unsigned n, uint32_t to_4k)
{
	struct meta_set *s = p->s;
	const struct dead *d = at(p, i);
	uint32_t units = to_4k - d->from_4k;

	if (erasure_segment_in_use(s->erasure, d->segment))
		return 0;
	int rc = forget_rows(p, i, n, units);
	if (rc < 0)
		return rc;
	uint32_t done = erasure_segment_punch(s->erasure, d->segment, d->from_4k, to_4k, p->slots);
	STAT_ADD(s, reclaimed_bytes, (uint64_t)units * DRIVE_BLOCK * (unsigned)__builtin_popcount(done));
	return 0;
}

static int punch_long(struct punching *p)
{
	uint32_t to_4k;
	int rc = 0;

	for (unsigned i = 0, n; rc == 0 && i < p->dead.n; i += n) {
		n = run_length(p, i, &to_4k);
		if (__atomic_load_n(&p->s->stopping, __ATOMIC_RELAXED))
			break;
		if (to_4k - at(p, i)->from_4k >= PUNCH_MIN_4K)
			rc = punch(p, i, n, to_4k);
	}
	return rc;
}

static bool is_due(struct punching *p)
{
	struct meta_set *s = p->s;

	p->upto = MIN(__atomic_load_n(&s->checkpoint_seq, __ATOMIC_RELAXED), publish_view_seq_min(&s->pub));
	p->slots = heal_slots(s);
	bool all_in = p->slots == (1u << s->n) - 1;
	return p->upto > s->punched_seq && (all_in || space_is_short(s));
}

void punch_dead(struct meta_set *s)
{
	struct punching p = {.s = s};

	if (!is_due(&p))
		return;
	int rc = find(&p);
	if (rc == 0)
		rc = punch_long(&p);
	vec_free(&p.dead);
	if (rc == 0)
		s->punched_seq = p.upto;
	else
		log_debug("meta", "punching stopped: %s", err_text(rc));
}
