/* SPDX-License-Identifier: Apache-2.0
 *
 * The payload of a set that no daemon serves: every live cell is read and verified, as the scrub does it, and nothing is
 * written. What is bad is told by its place, and by whose it is.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "meta/fsck_internal.h"
#include "meta/heal_internal.h"
#include "meta/owner.h"

#define OWNERS_MAX 8 /* lines of a finding */

struct bad_run { /* cells of a drive that lie one behind the other */
	uint64_t segment;
	unsigned slot, cell, cells;
	uint32_t from_4k, to_4k;
	bool decodable;
};

struct cells {
	const struct places *p;
	struct vec runs;
	struct vec blobs; /* struct blob_owner, of what is bad */
	uint64_t done, total;
	int rc;
};

/* ---- Reading ------------------------------------------------------------------------------------------------------ */
static void on_bad(void *arg, const struct erasure_bad_cell *c)
{
	struct cells *g = arg;

	/* The newest run of this drive is near the end: cells come by stripe. */
	for (unsigned i = g->runs.n; i-- > 0 && g->runs.n - i <= SUPER_MAX_SLOTS;) {
		struct bad_run *r = VEC_AT(&g->runs, struct bad_run, i);
		if (r->slot != c->slot || r->segment != c->segment || r->to_4k != c->offset_4k || r->decodable != c->decodable)
			continue;
		r->to_4k += c->cell_4k;
		r->cells++;
		return;
	}
	struct bad_run *r = vec_push(&g->runs, sizeof *r);
	if (r)
		*r = (struct bad_run){c->segment, c->slot, c->cell, 1, c->offset_4k, c->offset_4k + c->cell_4k, c->decodable};
	else
		g->rc = -ENOMEM;
}

static bool go_on(void *arg, uint64_t bytes)
{
	struct cells *g = arg;
	const struct fsck_params *p = g->p->f->p;

	g->done += bytes;
	if (p->progress)
		p->progress(p->arg, MIN(g->done, g->total), g->total);
	return g->rc == 0;
}

static void segment_done(void *arg, uint64_t segment, const struct erasure_healed *r)
{
	struct cells *g = arg;

	g->p->f->counts.bytes += r->bytes;
}

/* What cells of the drives that are here will take, nearly. */
static uint64_t expected_bytes(const struct places *p)
{
	unsigned here = 0;
	uint64_t ret = 0;

	for (unsigned i = 0; i < p->f->s->n; i++)
		here += p->f->s->slot[i].d != NULL;
	for (unsigned i = 0; i < p->segments.n; i++) {
		const struct segment_info *s = VEC_AT(&p->segments, struct segment_info, i);
		if (s->state != SEGMENT_DEAD)
			ret += s->live_bytes / s->k * MIN(here, (unsigned)(s->k + s->m));
	}
	return ret;
}

static int read_all(struct cells *g)
{
	struct meta_healer *h = meta_healer_new(g->p->f->s, go_on, g);

	if (!h)
		return -ENOMEM;
	h->bad = on_bad;
	int rc = meta_scrub(h, 0, segment_done, g);
	meta_healer_free(h);
	return g->rc ? g->rc : rc < 0 ? rc : 0;
}

/* ---- Whose it is -------------------------------------------------------------------------------------------------- */
/* The first blob that ends behind the place, or how many there are. */
static unsigned first_behind(const struct places *p, uint64_t segment, uint64_t from)
{
	unsigned lo = 0, hi = p->spans.n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		const struct span *s = VEC_AT(&p->spans, struct span, mid);

		if (s->segment < segment || (s->segment == segment && s->to <= from))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Blobs that have bytes in the run: of a large segment all of its stripes, of a packed one those of its cell. */
static void each_blob(struct cells *g, const struct bad_run *r, void (*fn)(struct cells *g, uint64_t blob, void *arg), void *arg)
{
	struct segment_info info;
	uint64_t from = PLACE(r->from_4k), to = PLACE(r->to_4k);

	if (!erasure_segment_get(g->p->f->s->erasure, r->segment, &info))
		return;
	for (unsigned i = first_behind(g->p, r->segment, from); i < g->p->spans.n; i++) {
		const struct span *s = VEC_AT(&g->p->spans, struct span, i);
		if (s->segment != r->segment || s->from >= to)
			break;
		if (info.cls == SEGMENT_LARGE || (s->from & (PLACE(1) - 1)) / ERASURE_PACKED_CELL == r->cell)
			fn(g, s->blob, arg);
	}
}

static void note_blob(struct cells *g, uint64_t blob, void *arg)
{
	struct blob_owner *o = vec_push(&g->blobs, sizeof *o);

	if (o)
		o->blob = blob;
	else
		g->rc = -ENOMEM;
}

static int by_id(const void *a, const void *b)
{
	const struct blob_owner *x = a, *y = b;

	return x->blob < y->blob ? -1 : x->blob > y->blob;
}

static int find_owners(struct cells *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->runs.n; i++)
		each_blob(g, VEC_AT(&g->runs, struct bad_run, i), note_blob, NULL);
	if (g->rc < 0 || g->blobs.n == 0)
		return g->rc;
	qsort(g->blobs.p, g->blobs.n, sizeof(struct blob_owner), by_id);
	for (unsigned i = 0; i < g->blobs.n; i++)
		if (i == 0 || VEC_AT(&g->blobs, struct blob_owner, i)->blob != VEC_AT(&g->blobs, struct blob_owner, n - 1)->blob)
			*VEC_AT(&g->blobs, struct blob_owner, n++) = *VEC_AT(&g->blobs, struct blob_owner, i);
	g->blobs.n = n;
	return owners_find(g->p->f->s, &g->blobs, NULL, NULL);
}

/* ---- Telling ------------------------------------------------------------------------------------------------------ */
struct owner_text {
	struct buf *text;
	unsigned lines;
	const struct blob_owner *last;
};

static void add_owner(struct cells *g, uint64_t blob, void *arg)
{
	struct owner_text *t = arg;
	const struct blob_owner *o = bsearch(&(struct blob_owner){.blob = blob}, g->blobs.p, g->blobs.n, sizeof *o, by_id);
	/* Blobs of one object lie one behind the other. */
	bool same = t->last && str_eq(buf_str(&t->last->text), buf_str(&o->text));

	t->last = o;
	if (same || o->text.len == 0 || t->lines++ >= OWNERS_MAX)
		return;
	if (t->text->len)
		buf_add_char(t->text, '\n');
	buf_add_str(t->text, buf_str(&o->text));
}

static const char *cure_of_lost(const struct fsck *f)
{
	unsigned here = 0;

	for (unsigned i = 0; i < f->s->n; i++)
		here += f->s->slot[i].d != NULL;
	return here < f->s->n ? "bring the drives of the set that are not here" :
				"all drives are here: restore the objects from a copy, or delete them";
}

static void tell_run(struct cells *g, const struct bad_run *r)
{
	CLEANUP_BUF struct buf text = BUF_INIT, what = BUF_INIT;
	struct owner_text t = {.text = &text};
	struct fsck *f = g->p->f;

	each_blob(g, r, add_owner, &t);
	if (t.lines > OWNERS_MAX)
		buf_addf(&text, "\nand %u more", t.lines - OWNERS_MAX);
	buf_addf(&what, "%u cells of segment %016" PRIx64 " are bad from byte %" PRIu64 " on", r->cells, r->segment,
		 (uint64_t)r->from_4k * DRIVE_BLOCK);
	f->p->tell(f->p->arg, &(struct fsck_finding){
		.grade = r->decodable ? FSCK_REPAIRED : FSCK_DAMAGE,
		.drive = f->s->slot[r->slot].d->path,
		.what = buf_cstr(&what),
		.meaning = r->decodable ? "the other drives give their bytes" : "too few good cells are here: what they held cannot be read",
		.cure = r->decodable ? "nothing: a read of them or the scrub writes them anew" : cure_of_lost(f),
		.place = &(struct fsck_place){
			.segment = r->segment,
			.offset = (uint64_t)r->from_4k * DRIVE_BLOCK,
			.bytes = (uint64_t)(r->to_4k - r->from_4k) * DRIVE_BLOCK,
			.cells = r->cells,
			.owners = buf_cstr(&text),
		},
	});
}

int fsck_cells(const struct places *p)
{
	struct cells g = {.p = p, .total = expected_bytes(p)};
	int rc = read_all(&g);

	if (rc == 0)
		rc = find_owners(&g);
	for (unsigned i = 0; rc == 0 && i < g.runs.n; i++)
		tell_run(&g, VEC_AT(&g.runs, struct bad_run, i));
	if (rc == 0 && p->f->p->progress)
		p->f->p->progress(p->f->p->arg, g.total, g.total);
	owners_free(&g.blobs);
	vec_free(&g.runs);
	return rc;
}
