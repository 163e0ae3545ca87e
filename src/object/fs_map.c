/* SPDX-License-Identifier: Apache-2.0
 *
 * Editing the extents of a file: ranges are replaced, extents at their edges are split, references follow, and the
 * checksums of the whole content are kept without reading it again.
 *
 * A list that lies in the row, or in a map that others use, or a short one, is taken whole and stored anew. Of a longer
 * map only the runs that the edits touch are read and written (struct run); runs between them stay as they are.
 */
#include <stdlib.h>

#include "base/checksum.h"
#include "object/fs_internal.h"

#define WHOLE_RUNS 2 /* a map of so many runs is stored anew as a whole */
#define STEP_BACK (256ull << 10)

struct run {           /* a map row that edits touch */
	uint64_t at;       /* its key */
	bool gap;          /* rows that are not touched lie between the one before and this */
	unsigned first, n; /* its extents in the old list */
	bool kept;         /* while storing: the key is used again */
};

struct edit_list {
	struct object_store *s;
	struct meta_view *v;
	struct arena *a;
	struct meta_batch *b;
	struct content old;   /* what the edits may touch */
	struct row_extent *e; /* afterwards */
	unsigned n;
	bool *edited;    /* e[i] came from an edit */
	struct run *run; /* partial only */
	unsigned nruns, cap_runs, cap_old;
	bool last; /* partial: the last run of the map is among them */
};

/* ---- The new list ------------------------------------------------------------------------------------------ */
static int build(struct edit_list *l, const struct map_edit *edit, unsigned n, uint64_t size)
{
	unsigned room = l->old.n + 2 * n + 2;
	uint64_t pos = 0;

	for (unsigned i = 0; i < n; i++)
		room += edit[i].n;
	l->e = arena_alloc(l->a, room * sizeof *l->e);
	l->edited = arena_zalloc(l->a, room * sizeof *l->edited);
	l->n = 0;
	for (unsigned i = 0; i < n; i++) {
		if (edit[i].off > pos) /* (cutting nothing gives an empty extent) */
			l->n += content_cut(&l->old, pos, edit[i].off - pos, pos, &l->e[l->n]);
		for (unsigned j = 0; j < edit[i].n; j++) {
			l->edited[l->n] = true;
			l->e[l->n++] = edit[i].ext[j];
		}
		pos = edit[i].off + edit[i].len;
	}
	if (size > pos)
		l->n += content_cut(&l->old, pos, size - pos, pos, &l->e[l->n]);
	return content_crc_fill(l->s, l->e, l->n);
}

/* ---- References -------------------------------------------------------------------------------------------- */
struct count {
	uint64_t blob;
	int delta;
};

static int count_order(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return x->blob < y->blob ? -1 : x->blob > y->blob;
}

static int ref_one(struct edit_list *l, uint64_t blob, int delta)
{
	struct meta_row row;
	struct meta_key k;
	int rc;

	key_u64(&k, blob);
	rc = meta_get_k(l->v, TABLE_BLOB, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	meta_batch_blob_ref(l->b, blob, &row, delta);
	return 0;
}

/* One change for each blob: its count never passes 0 on the way. */
static int count_refs(struct edit_list *l, bool minus_old, bool refs_new)
{
	struct count *c = arena_alloc(l->a, (l->old.n + l->n + 1) * sizeof *c);
	unsigned n = 0;
	int rc = 0;

	for (unsigned i = 0; minus_old && i < l->old.n; i++)
		if (l->old.e[i].kind == EXTENT_BLOB)
			c[n++] = (struct count){l->old.e[i].blob, -1};
	for (unsigned i = 0; i < l->n; i++)
		if (l->e[i].kind == EXTENT_BLOB && (refs_new || !l->edited[i]))
			c[n++] = (struct count){l->e[i].blob, 1};
	qsort(c, n, sizeof *c, count_order);
	for (unsigned i = 0; rc == 0 && i < n;) {
		uint64_t blob = c[i].blob;
		int delta = 0;

		for (; i < n && c[i].blob == blob; i++)
			delta += c[i].delta;
		if (delta)
			rc = ref_one(l, blob, delta);
	}
	return rc;
}

/* ---- The whole list ---------------------------------------------------------------------------------------- */
static void expect_head(struct edit_list *l)
{
	struct meta_key k;

	key_map(&k, l->old.map, 0, 0);
	meta_batch_expect(l->b, TABLE_MAP, &k, &l->old.head_row, true);
}

static int store_whole(struct edit_list *l, struct row_object *o, uint64_t size, bool refs_new, bool keep)
{
	bool mine = !keep && !l->old.shared;
	int rc = count_refs(l, mine, refs_new);

	if (rc == 0 && o->map && mine) {
		expect_head(l);
		rc = content_map_delete(l->v, l->b, o->map);
	} else if (rc == 0 && o->map && !keep) {
		rc = content_drop(l->v, l->a, l->b, o);
	}
	if (rc == 0)
		content_store(l->s, l->b, l->e, l->n, size, o);
	return rc;
}

static int apply_whole(struct edit_list *l, struct row_object *o, const struct map_edit *edit, unsigned n,
                       uint64_t size, bool refs_new, bool keep)
{
	int rc = content_load(l->v, l->a, o, &l->old);

	if (rc == 0)
		rc = build(l, edit, n, size);
	if (rc == 0)
		rc = store_whole(l, o, size, refs_new, keep);
	if (rc == 0)
		content_crcs(l->e, l->n, size, &o->crc32c, &o->crc64nvme);
	return rc;
}

/* ---- Parts of a map: reading ------------------------------------------------------------------------------- */
static bool run_key(const struct meta_row *row, uint64_t map, uint64_t *ret_at)
{
	const uint8_t *k = (const uint8_t *)row->key.p;

	if (row->key.len != 17 || be64_get(k) != map || k[8] != 1)
		return false;
	*ret_at = be64_get(k + 9);
	return true;
}

/* To the last run that begins at or before off, or to the first one. 1, 0 none at all. */
static int seek_run(struct meta_iter *it, uint64_t map, uint64_t off, struct meta_row *row)
{
	struct meta_key k;
	uint64_t at, best = UINT64_MAX;
	int rc = 1;

	for (uint64_t back = STEP_BACK; best == UINT64_MAX; back *= 16) {
		uint64_t from = off > back ? off - back : 0;

		key_map(&k, map, 1, from);
		rc = meta_iter_seek(it, k.b, k.len, row);
		for (; rc == 1 && run_key(row, map, &at) && at <= off; rc = meta_iter_next(it, row))
			best = at;
		if (rc < 0 || from == 0 || back > UINT64_MAX / 16)
			break;
	}
	if (rc < 0)
		return rc;
	key_map(&k, map, 1, best == UINT64_MAX ? 0 : best);
	rc = meta_iter_seek(it, k.b, k.len, row);
	return rc == 1 && run_key(row, map, &at) ? 1 : MIN(rc, 0);
}

static int add_run(struct edit_list *l, const struct meta_row *row, uint64_t at, bool gap)
{
	struct row_extent e[ROW_MAP_RUN];
	int n = row_extents_decode(row->body, e, ROW_MAP_RUN);

	if (n < 0)
		return n;
	if (l->nruns == l->cap_runs) {
		unsigned cap = l->cap_runs ? l->cap_runs * 2 : 8;
		struct run *r = arena_alloc(l->a, cap * sizeof *r);

		if (l->nruns)
			memcpy(r, l->run, l->nruns * sizeof *r);
		l->run = r;
		l->cap_runs = cap;
	}
	if (l->old.n + (unsigned)n > l->cap_old) {
		unsigned cap = MAX(l->cap_old * 2, 8u * ROW_MAP_RUN);
		struct row_extent *p = arena_alloc(l->a, cap * sizeof *p);

		if (l->old.n)
			memcpy(p, l->old.e, l->old.n * sizeof *p);
		l->old.e = p;
		l->cap_old = cap;
	}
	l->run[l->nruns++] = (struct run){.at = at, .gap = gap, .first = l->old.n, .n = (unsigned)n};
	memcpy(&l->old.e[l->old.n], e, (unsigned)n * sizeof *e);
	l->old.n += (unsigned)n;
	return 0;
}

/* The runs that one edit touches: the last that begins at or before it, and those that begin inside. *next: the key of the
 * run behind the last one loaded, UINT64_MAX: there is none. */
static int load_touched(struct edit_list *l, struct meta_iter *it, const struct map_edit *edit, uint64_t *next)
{
	uint64_t end = edit->off + edit->len, at;
	bool first = true, gap = true;
	struct meta_row row;
	int rc = seek_run(it, l->old.map, edit->off, &row);

	for (; rc == 1 && run_key(&row, l->old.map, &at); rc = meta_iter_next(it, &row), first = false) {
		if (l->nruns && at <= l->run[l->nruns - 1].at) {
			gap = false;
			continue;
		}
		if (at >= end && !first)
			break;
		rc = add_run(l, &row, at, gap && at != *next);
		if (rc < 0)
			return rc;
		gap = false;
	}
	*next = rc == 1 && run_key(&row, l->old.map, &at) ? at : UINT64_MAX;
	return MIN(rc, 0);
}

static int load_runs(struct edit_list *l, const struct map_edit *edit, unsigned n)
{
	uint64_t next = UINT64_MAX;
	struct meta_iter *it;
	int rc = meta_iter_open(l->v, TABLE_MAP, &it);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = load_touched(l, it, &edit[i], &next);
	l->last = next == UINT64_MAX;
	meta_iter_close(it);
	return rc;
}

/* ---- Parts of a map: writing ------------------------------------------------------------------------------- */
static void put_run(struct edit_list *l, const struct row_extent *e, unsigned n)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	for (unsigned i = 0; i < l->nruns; i++) {
		struct run *r = &l->run[i];

		if (r->at != e[0].off)
			continue; /* (few are touched, or all of them in order) */
		r->kept = true;
		if (r->n == n && memcmp(&l->old.e[r->first], e, n * sizeof *e) == 0)
			return; /* as it was */
		break;
	}
	row_extents_encode(&body, e, n);
	key_map(&k, l->old.map, 1, e[0].off);
	meta_batch_put(l->b, TABLE_MAP, &k, buf_str(&body), 0);
}

/* Extents of one stretch of touched runs into runs again: full ones at the end of the file, where more will follow, and
 * even ones elsewhere, where more will come in between. */
static unsigned put_stretch(struct edit_list *l, const struct row_extent *e, unsigned n, bool at_end)
{
	unsigned runs = DIV_ROUND_UP(n, ROW_MAP_RUN), per = at_end ? ROW_MAP_RUN : DIV_ROUND_UP(n, MAX(runs, 1u)), put = 0;

	for (unsigned i = 0; i < n; i += per, put++)
		put_run(l, &e[i], MIN(per, n - i));
	return put;
}

struct crc_pair {
	uint32_t c32;
	uint64_t c64;
};

/* Of the bytes [from, to) as a list has them. */
static struct crc_pair crc_of(struct arena *a, const struct row_extent *e, unsigned n, uint64_t from, uint64_t to)
{
	struct row_extent *t = arena_alloc(a, (n + 1) * sizeof *t);
	struct crc_pair c;

	for (unsigned i = 0; i < n; i++) {
		t[i] = e[i];
		t[i].off -= from;
	}
	content_crcs(t, n, to - from, &c.c32, &c.c64);
	return c;
}

/* The whole content's CRCs follow from those of the stretch before and after: a CRC is linear. */
static void crc_stretch(struct edit_list *l, struct row_object *o, const struct row_extent *old, unsigned nold,
                        const struct row_extent *new, unsigned nnew, uint64_t size)
{
	uint64_t from = UINT64_MAX, to = 0;
	struct crc_pair a, b;

	if (nold) {
		from = old[0].off;
		to = old[nold - 1].off + old[nold - 1].len;
	}
	if (nnew) {
		from = MIN(from, new[0].off);
		to = MAX(to, new[nnew - 1].off + new[nnew - 1].len);
	}
	if (from >= to)
		return;
	a = crc_of(l->a, old, nold, from, to);
	b = crc_of(l->a, new, nnew, from, to);
	o->crc32c ^= checksum_crc32c_combine(a.c32 ^ b.c32, 0, size - to);
	o->crc64nvme ^= checksum_crc64nvme_combine(a.c64 ^ b.c64, 0, size - to);
}

static void put_head(struct edit_list *l, uint64_t size, unsigned runs)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_map_head h = l->old.head;
	struct meta_key k;

	h.length = size;
	h.runs = runs;
	row_map_head_encode(&body, &h);
	key_map(&k, l->old.map, 0, 0);
	meta_batch_put(l->b, TABLE_MAP, &k, buf_str(&body), 0);
}

static void store_runs(struct edit_list *l, struct row_object *o, uint64_t size)
{
	unsigned runs = l->old.head.runs - l->nruns, at = 0;
	struct meta_key k;

	for (unsigned i = 0; i < l->nruns;) {
		unsigned j = i + 1, first = l->run[i].first, nold, n;
		uint64_t end;

		while (j < l->nruns && !l->run[j].gap)
			j++;
		end = j < l->nruns ? l->run[j].at : UINT64_MAX;
		nold = (j < l->nruns ? l->run[j].first : l->old.n) - first;
		for (n = 0; at + n < l->n && l->e[at + n].off < end; n++)
			;
		runs += put_stretch(l, &l->e[at], n, j == l->nruns && l->last);
		crc_stretch(l, o, &l->old.e[first], nold, &l->e[at], n, size);
		at += n;
		i = j;
	}
	for (unsigned i = 0; i < l->nruns; i++) {
		if (l->run[i].kept)
			continue;
		key_map(&k, l->old.map, 1, l->run[i].at);
		meta_batch_del(l->b, TABLE_MAP, &k);
	}
	put_head(l, size, runs);
}

static int apply_runs(struct edit_list *l, struct row_object *o, const struct map_edit *edit, unsigned n, uint64_t size,
                      bool refs_new)
{
	uint64_t grown = size - o->size;
	int rc = load_runs(l, edit, n);

	if (rc == 0)
		rc = build(l, edit, n, size);
	if (rc == 0)
		rc = count_refs(l, true, refs_new);
	if (rc < 0)
		return rc;
	expect_head(l);
	if (grown) {
		o->crc32c = checksum_crc32c_combine(o->crc32c, checksum_crc32c_zeros(grown), grown);
		o->crc64nvme = checksum_crc64nvme_combine(o->crc64nvme, checksum_crc64nvme_zeros(grown), grown);
	}
	store_runs(l, o, size);
	return 0;
}

int map_apply(struct object_store *s, struct meta_view *v, struct arena *a, struct meta_batch *b, struct row_object *o,
              const struct map_edit *edit, unsigned n, uint64_t size, bool refs_new, bool keep)
{
	struct edit_list l = {.s = s, .v = v, .a = a, .b = b};
	bool parts = o->map && !keep && size >= o->size && (o->flags & VERSION_HAS_CRC);
	int rc;

	if (parts) {
		/* The head only: an empty range. */
		rc = content_load_range(v, a, o, UINT64_MAX, 0, &l.old);
		if (rc < 0)
			return rc;
		parts = !l.old.shared && l.old.head.runs > WHOLE_RUNS;
		l.old.n = 0;
		l.old.e = NULL;
	}
	rc = parts ? apply_runs(&l, o, edit, n, size, refs_new) : apply_whole(&l, o, edit, n, size, refs_new, keep);
	o->size = size;
	o->flags |= VERSION_HAS_CRC;
	return rc;
}
