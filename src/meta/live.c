/* SPDX-License-Identifier: Apache-2.0
 *
 * Which stripes of a segment live. Nothing here holds a view for long: rows are copied out by the page, and what they
 * name is worked on without one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "meta/heal_internal.h"

#define PAGE_STRIPES 512
#define LIVE_MAX (2u << 20) /* places in memory: 48 MiB; a segment of 1 GiB has at most 256 Ki */

/* ---- Blobs, by segment ------------------------------------------------------------------------------------- */
static int by_place(const void *a, const void *b)
{
	const struct live_blob *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->offset_4k < y->offset_4k ? -1 : x->offset_4k > y->offset_4k;
}

/* Too many: the upper segments wait for another pass. */
static void shrink(struct meta_healer *h)
{
	qsort(h->blob, h->nblobs, sizeof *h->blob, by_place);
	uint64_t first = h->blob[0].segment, at = h->blob[h->nblobs / 2].segment;
	h->blob_upto = at > first ? at - 1 : first;
	while (h->nblobs && h->blob[h->nblobs - 1].segment > h->blob_upto)
		h->nblobs--;
}

static int add_blob(struct meta_healer *h, const struct live_blob *b)
{
	if (h->nblobs == LIVE_MAX)
		shrink(h);
	if (b->segment > h->blob_upto)
		return 0;
	if (h->nblobs == h->blob_cap) {
		size_t cap = h->blob_cap ? 2 * h->blob_cap : 1024;
		void *p = realloc(h->blob, cap * sizeof *h->blob);
		if (!p)
			return -ENOMEM;
		h->blob = p;
		h->blob_cap = cap;
	}
	h->blob[h->nblobs++] = *b;
	return 0;
}

struct pass {
	uint64_t from;
	unsigned kinds;
	bool (*wanted)(void *arg, uint64_t segment);
	void *arg;
};

static int visit_blob(struct meta_healer *h, void *arg, const struct meta_row *row)
{
	const struct pass *p = arg;
	struct row_blob r;

	if (row->key.len != 8 || row_blob_decode(row->body, &r) < 0)
		return -QE_CORRUPT;
	unsigned kind = r.place == BLOB_LARGE ? LIVE_LARGE : r.place == BLOB_PACKED ? LIVE_PACKED : 0;
	if (!(p->kinds & kind) || r.segment < p->from || !p->wanted(p->arg, r.segment))
		return 0;
	if (r.stored_len > ERASURE_BLOB_MAX)
		return -QE_CORRUPT;
	return add_blob(h, &(struct live_blob){r.segment, be64_get(row->key.p), r.offset_4k, (uint32_t)r.stored_len});
}

struct of_healer {
	struct meta_healer *h;
	live_row_fn fn;
	void *arg;
};

static int row_of_healer(void *arg, const struct meta_row *row)
{
	const struct of_healer *o = arg;

	return o->fn(o->h, o->arg, row);
}

int live_page(struct meta_healer *h, enum meta_table t, struct meta_key *from, live_row_fn fn, void *arg)
{
	return rows_page(h->s, t, from, row_of_healer, &(struct of_healer){h, fn, arg});
}

int live_collect(struct meta_healer *h, uint64_t from, unsigned kinds, bool (*wanted)(void *arg, uint64_t segment), void *arg)
{
	struct pass p = {from, kinds, wanted, arg};
	struct meta_key k = {.len = 0};
	int rc;

	h->nblobs = 0;
	h->blob_upto = UINT64_MAX;
	do {
		if (!heal_goes_on(h))
			return -QE_BUSY;
		rc = live_page(h, TABLE_BLOB, &k, visit_blob, &p);
	} while (rc > 0);
	if (rc == 0 && h->nblobs)
		qsort(h->blob, h->nblobs, sizeof *h->blob, by_place);
	return rc;
}

/* ---- Stripes of a blob ------------------------------------------------------------------------------------------- */
struct blob_stripes { /* a blob's place and checksums, copied out of a view */
	struct segment_info info;
	uint32_t offset_4k;
	uint8_t block_log2;
	uint64_t stored_len;
	uint32_t *crcs;
	uint32_t ncrcs;
};

static void free_stripes(struct blob_stripes *b)
{
	free(b->crcs);
}

/* 1: it lives in this segment, 0: not any more. */
static int load_blob(struct meta_healer *h, uint64_t blob, struct blob_stripes *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_blob r;
	int rc = meta_view_open(h->s, &v);

	if (rc == 0)
		rc = blob_row_get(v, blob, &r);
	if (rc <= 0)
		return rc;
	if (r.place != BLOB_LARGE || r.segment != ret->info.id)
		return 0;
	ret->offset_4k = r.offset_4k;
	ret->block_log2 = r.block_log2;
	ret->stored_len = r.stored_len;
	ret->ncrcs = r.ncrc_total;
	ret->crcs = malloc(MAX(r.ncrc_total, 1u) * sizeof *ret->crcs);
	if (!ret->crcs)
		return -ENOMEM;
	rc = blob_crcs_get(v, blob, &r, 0, r.ncrc_total, ret->crcs);
	return rc < 0 ? rc : 1;
}

/* Stripe i as it was written. False: there is none. -QE_CORRUPT is left to who takes it. */
static bool stripe_at(const struct blob_stripes *b, uint64_t i, struct erasure_stripe *ret)
{
	const struct segment_info *g = &b->info;
	uint64_t cell = (uint64_t)g->cell_4k * DRIVE_BLOCK, bytes = cell * g->k, block = 1ull << b->block_log2;
	unsigned ncell = g->k + g->m;

	if (i * bytes >= b->stored_len)
		return false;
	uint64_t rest = b->stored_len - i * bytes, first = i * ncell * DIV_ROUND_UP(cell, block);
	uint64_t len = rest >= bytes ? cell : ALIGN_UP(DIV_ROUND_UP(rest, g->k), (uint64_t)DRIVE_BLOCK);
	unsigned blocks = (unsigned)DIV_ROUND_UP(len, block);
	if (first + (uint64_t)ncell * blocks > b->ncrcs)
		return false;
	*ret = (struct erasure_stripe){
		.segment = g->id,
		.offset_4k = b->offset_4k + (uint32_t)(i * g->cell_4k),
		.cell_4k = (uint16_t)(len / DRIVE_BLOCK),
		.ncell = (uint8_t)ncell,
		.block_log2 = b->block_log2,
		.blocks_per_cell = (uint16_t)blocks,
		.crc = b->crcs + first,
	};
	return true;
}

int live_blob_stripes(struct meta_healer *h, uint64_t blob, uint64_t segment, uint32_t from_4k, uint32_t to_4k, live_fn fn,
		      void *arg)
{
	CLEANUP(free_stripes) struct blob_stripes b = {.crcs = NULL};
	struct erasure_stripe st;

	if (!erasure_segment_get(h->erasure, segment, &b.info))
		return 0;
	int rc = load_blob(h, blob, &b);
	if (rc <= 0)
		return rc;
	rc = 0;
	for (uint64_t i = 0; rc == 0 && stripe_at(&b, i, &st); i++)
		if (st.offset_4k < to_4k && st.offset_4k + st.cell_4k > from_4k)
			rc = fn(arg, &st);
	return rc;
}

/* ---- Packed stripes ---------------------------------------------------------------------------------------------- */
struct packed_page {
	unsigned n;
	uint32_t offset_4k[PAGE_STRIPES];
	uint32_t crc[PAGE_STRIPES][ERASURE_MAX_CELLS];
};

static int load_page(struct meta_healer *h, uint64_t segment, uint32_t from_4k, uint32_t to_4k, struct packed_page *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key k;
	int rc = meta_view_open(h->s, &v);

	ret->n = 0;
	if (rc == 0)
		rc = meta_iter_open(v, TABLE_STRIPE, &it);
	if (rc < 0)
		return rc;
	key_stripe(&k, segment, from_4k);
	for (rc = meta_iter_seek(it, k.b, k.len, &row); rc > 0 && ret->n < PAGE_STRIPES; rc = meta_iter_next(it, &row)) {
		if (row.key.len != 12 || be64_get(row.key.p) != segment || be32_get(row.key.p + 8) >= to_4k)
			break;
		if (row.body.len != 4 * (size_t)h->s->ncell) {
			rc = -QE_CORRUPT;
			break;
		}
		ret->offset_4k[ret->n] = be32_get(row.key.p + 8);
		for (unsigned c = 0; c < h->s->ncell; c++)
			ret->crc[ret->n][c] = le32_get(row.body.p + 4 * c);
		ret->n++;
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

static int packed_stripe(struct meta_healer *h, uint64_t segment, struct packed_page *p, unsigned i, live_fn fn, void *arg)
{
	const struct erasure_stripe st = {
		.segment = segment,
		.offset_4k = p->offset_4k[i],
		.cell_4k = ERASURE_PACKED_CELL / DRIVE_BLOCK,
		.ncell = (uint8_t)h->s->ncell,
		.block_log2 = 16,
		.blocks_per_cell = 1,
		.crc = p->crc[i],
	};

	return fn(arg, &st);
}

int live_packed_stripes(struct meta_healer *h, uint64_t segment, uint32_t from_4k, uint32_t to_4k, live_fn fn, void *arg)
{
	CLEANUP_FREE struct packed_page *p = malloc(sizeof *p);
	int rc = p ? 0 : -ENOMEM;

	while (rc == 0) {
		rc = load_page(h, segment, from_4k, to_4k, p);
		for (unsigned i = 0; rc == 0 && i < p->n; i++)
			rc = packed_stripe(h, segment, p, i, fn, arg);
		if (rc < 0 || p->n < PAGE_STRIPES)
			break;
		from_4k = p->offset_4k[p->n - 1] + 1;
	}
	return rc;
}

/* ---- Both -------------------------------------------------------------------------------------------------------- */
const struct live_blob *live_blobs(const struct meta_healer *h, uint64_t segment, size_t *ret_n)
{
	size_t lo = 0, hi = h->nblobs, n = 0;

	ASSERT(segment <= h->blob_upto);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (h->blob[mid].segment < segment)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < h->nblobs && h->blob[lo + n].segment == segment)
		n++;
	*ret_n = n;
	return n ? &h->blob[lo] : NULL;
}

int live_stripes(struct meta_healer *h, const struct segment_info *info, live_fn fn, void *arg)
{
	size_t n;
	int rc = 0;

	if (info->cls == SEGMENT_PACKED)
		return live_packed_stripes(h, info->id, 0, UINT32_MAX, fn, arg);
	const struct live_blob *b = live_blobs(h, info->id, &n);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = live_blob_stripes(h, b[i].blob, info->id, 0, UINT32_MAX, fn, arg);
	return rc;
}
