/* SPDX-License-Identifier: Apache-2.0
 *
 * Space comes back by whole segments (STORAGE.md section 5, Reclaim). A sealed segment without live bytes is marked dead
 * by a durable record, then unlinked, then forgotten. Its last blob must have gone by a record that every index copy has
 * applied, and no view may be open that still shows it. The sequencer has the last word: it refuses to mark a segment
 * that has live bytes again, and a blob in one that is dead or gone.
 *
 * A blob may wait for its row for hours, at the front of a long upload or of a file that is written to the mount: its
 * segment is in use until then (erasure_segment_in_use).
 *
 * What lies behind the end of a sealed segment is given back while the segment lives: no blob's run reaches beyond the
 * end, and the row that says so is in the checkpoint.
 *
 * Segment files that no row names (their maker died before its first blob was committed) go at start.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"

#define RUN_SEGMENTS 64 /* of one run */
#define PAGE_ROWS 1000
#define NAME_BYTES 32

struct reclaim {
	struct meta_set *s;
	struct segment_info found[RUN_SEGMENTS];
	bool gone[RUN_SEGMENTS];
	unsigned n;
	struct vec tailed; /* uint64_t: ids of sealed segments that end before their files */
};

/* ---- Candidates --------------------------------------------------------------------------------------------------- */
static void note_tailed(struct reclaim *r, uint64_t id)
{
	uint64_t *at = vec_push(&r->tailed, sizeof *at);

	if (at) /* else another time */
		*at = id;
}

static int find(struct reclaim *r)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_set *s = r->s;
	uint64_t checkpoint = __atomic_load_n(&s->checkpoint_seq, __ATOMIC_RELAXED);
	uint64_t oldest = publish_view_seq_min(&s->pub);
	struct segment_info info;
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_view_open(s, &v);

	if (rc == 0)
		rc = meta_iter_open(v, TABLE_SEGMENT, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0 && r->n < RUN_SEGMENTS; rc = meta_iter_next(it, &row)) {
		if (row_segment_decode(row.body, &info) < 0 || info.state == SEGMENT_OPEN)
			continue;
		if (info.state == SEGMENT_DEAD || (info.live_bytes == 0 && row.seq <= checkpoint && row.seq <= oldest))
			r->found[r->n++] = info;
		else if (info.size_4k - info.sealed_4k >= PUNCH_MIN_4K && row.seq <= checkpoint)
			note_tailed(r, info.id);
	}
	meta_iter_close(it);
	return rc < 0 ? rc : 0;
}

static void trim(struct reclaim *r)
{
	struct meta_set *s = r->s;

	uint32_t in = heal_slots(s);

	for (unsigned i = 0; i < r->tailed.n && !__atomic_load_n(&s->stopping, __ATOMIC_RELAXED); i++)
		erasure_segment_trim(s->erasure, *VEC_AT(&r->tailed, uint64_t, i), in);
}

static struct meta_batch *new_batch(struct meta_set *s)
{
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	if (b)
		b->internal = true;
	return b;
}

static int mark_dead(struct meta_set *s, struct segment_info *info)
{
	struct meta_batch *b = new_batch(s);

	if (!b)
		return -ENOMEM;
	info->state = SEGMENT_DEAD;
	batch_segment(b, info, 0, 0);
	int rc = meta_commit(b);
	meta_batch_free(b);
	return rc ? rc : erasure_segment_add(s->erasure, info);
}

/* ---- Rows of segments that are gone ------------------------------------------------------------------------------- */
struct dropping {
	const struct reclaim *r;
	uint64_t one;             /* only of this segment */
};

typedef int (*is_ours_fn)(const struct dropping *d, struct str key); /* 1 yes, 0 no, -1 nothing of ours follows */

static int drop_page(struct meta_set *s, enum meta_table t, struct meta_key *from, is_ours_fn ours, const struct dropping *d)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_batch *b = new_batch(s);
	struct meta_iter *it;
	struct meta_row row;
	unsigned seen = 0;
	int is = 0, rc = b ? meta_view_open(s, &v) : -ENOMEM;

	if (rc == 0)
		rc = meta_iter_open(v, t, &it);
	if (rc < 0) {
		meta_batch_free(b);
		return rc;
	}
	for (rc = meta_iter_seek(it, from->b, from->len, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		is = ours(d, row.key);
		if (is < 0 || seen++ == PAGE_ROWS)
			break;
		if (is > 0)
			batch_op(b, t, row.key, true, (struct str){NULL, 0});
	}
	if (rc > 0 && is >= 0)
		key_str(from, row.key); /* where the next page begins */
	else
		rc = MIN(rc, 0);
	meta_iter_close(it);
	b->missing = t == TABLE_MISSING;
	if (rc >= 0 && b->nops) {
		int end = meta_commit(b);
		rc = end < 0 ? end : rc;
	}
	meta_batch_free(b);
	return rc;
}

/* In pages: a view lives for a second at most. */
static int drop_rows(struct meta_set *s, enum meta_table t, struct meta_key from, is_ours_fn ours, const struct dropping *d)
{
	int rc;

	do
		rc = drop_page(s, t, &from, ours, d);
	while (rc > 0);
	return rc;
}

static bool is_gone(const struct reclaim *r, uint64_t segment)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->gone[i] && r->found[i].id == segment)
			return true;
	return false;
}

static int is_reclaim(const struct dropping *d, struct str key)
{
	return key.len == 20 && is_gone(d->r, be64_get(key.p + 8));
}

static int is_missing(const struct dropping *d, struct str key)
{
	return key.len == 13 && is_gone(d->r, be64_get(key.p + 1));
}

static int is_of_one(const struct dropping *d, struct str key)
{
	return key.len >= 8 && be64_get(key.p) == d->one ? 1 : -1;
}

/* The segment's own row goes last: until then the next run does this again. */
static int forget(const struct reclaim *r)
{
	struct meta_set *s = r->s;
	struct meta_key k = {.len = 0};
	int rc = drop_rows(s, TABLE_RECLAIM, k, is_reclaim, &(struct dropping){.r = r});

	if (rc == 0)
		rc = drop_rows(s, TABLE_MISSING, k, is_missing, &(struct dropping){.r = r});
	for (unsigned i = 0; rc == 0 && i < r->n; i++) {
		struct dropping d = {.r = r, .one = r->found[i].id};
		if (!r->gone[i])
			continue;
		key_u64(&k, d.one);
		rc = drop_rows(s, TABLE_STRIPE, k, is_of_one, &d);
		if (rc == 0)
			rc = drop_rows(s, TABLE_SEGMENT, k, is_of_one, &d);
		if (rc == 0) {
			mutex_lock(&s->writer);
			segment_forget(s, d.one);
			writer_unlock(s);
		}
	}
	return rc;
}

/* 1: unlinked; 0: not now. */
static int take(struct meta_set *s, struct segment_info *info)
{
	/* A long upload has its first blobs there. */
	if (info->state != SEGMENT_DEAD && erasure_segment_in_use(s->erasure, info->id))
		return 0;
	int rc = info->state == SEGMENT_DEAD ? erasure_segment_add(s->erasure, info) : mark_dead(s, info);

	if (rc == 0)
		rc = erasure_segment_remove(s->erasure, info->id);
	/* It lives again; somebody reads it. */
	if (rc == -QE_CONFLICT || rc == -QE_BUSY || rc == -EBUSY)
		return 0;
	/* An absent drive keeps its file: when it is back nothing names it. */
	if (rc < 0)
		return rc;
	STAT_ADD(s, reclaimed_segments, 1);
	STAT_ADD(s, reclaimed_bytes, (uint64_t)info->size_4k * DRIVE_BLOCK * s->n);
	return 1;
}

/* (C) */
void reclaim_run(struct meta_set *s)
{
	struct reclaim r = {.s = s};
	bool any = false;
	int rc = find(&r);

	if (rc >= 0)
		trim(&r);
	vec_free(&r.tailed);
	for (unsigned i = 0; rc >= 0 && i < r.n && !__atomic_load_n(&s->stopping, __ATOMIC_RELAXED); i++) {
		rc = take(s, &r.found[i]);
		r.gone[i] = rc > 0;
		any |= r.gone[i];
	}
	if (any)
		rc = forget(&r);
	punch_dead(s); /* in what stays */
	erasure_spares_tidy(s->erasure);
	if (rc < 0)
		log_debug("meta", "reclaim stopped: %s", err_text(rc));
}

/* ---- Files without rows ------------------------------------------------------------------------------------------- */
struct orphans {
	struct meta_set *s;
	struct erasure_set *erasure;
	struct vec names; /* char[NAME_BYTES] */
};

static int note_orphan(void *arg, const char *name)
{
	struct orphans *o = arg;
	uint8_t raw[8];

	if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0 || hex_decode((struct str){name, 16}, raw, 8) != 8)
		return 0;
	uint64_t id = be64_get(raw);
	mutex_lock(&o->s->writer);
	int state = segment_row_state(o->s, id);
	writer_unlock(o->s);
	if (state >= 0 && state != SEGMENT_DEAD)
		return 0;
	/* What is dead may still be read, what this process made may not be named yet. Of what was made before the erasure set
	 * may know more than there is by now: recovery looks at an index copy that is behind. */
	bool before = state < 0 && id_epoch(id) < o->s->start_epoch;
	if (!before && erasure_segment_known(o->erasure, id))
		return 0;
	char *at = vec_push(&o->names, NAME_BYTES);
	if (at)
		snprintf(at, NAME_BYTES, "seg/%s", name);
	return at ? 0 : -ENOMEM;
}

void reclaim_orphans_of(struct meta_set *s, struct drive *d)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(s);
	struct orphans o = {.s = s, .erasure = e};

	if (drive_list(d, "seg", note_orphan, &o) == 0)
		for (unsigned i = 0; i < o.names.n; i++) {
			log_debug("meta", "unlinks %s of %s: no row names it", (char *)o.names.p + NAME_BYTES * i, d->path);
			(void)!drive_unlink(d, (char *)o.names.p + NAME_BYTES * i);
		}
	vec_free(&o.names);
}

void reclaim_orphans(struct meta_set *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		CLEANUP_DRIVE struct drive *d = meta_drive_of(s, i);
		mutex_lock(&s->writer);
		bool in = s->in_mask & 1u << i;
		writer_unlock(s);
		if (d && in && meta_writable(s))
			reclaim_orphans_of(s, d);
	}
}
