/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading blobs, by stripe.c: which rows of which cells, and where the bytes go. What lies in the page cache is read,
 * verified and, where a cell is damaged or its drive gone, decoded in place, without another thread (segments are written
 * with O_DIRECT, which keeps the cache coherent). From the first rows on that are not cached the rest of a stripe is waited
 * for, all cells in parallel.
 */
#include <string.h>

#include "base/err.h"
#include "erasure/erasure_internal.h"

/* Bytes of each cell that are read, verified and decoded together: few enough for the processor's cache to hold them from
 * one to the next. */
#define CACHED_ROWS (256u << 10)

struct reader {
	struct erasure_set *set;
	struct segment *seg;
	const struct erasure_place *at;
	uint32_t block;
	unsigned flags;
	struct erasure_read met;
	/* The stripe that is read. */
	uint64_t crc_base; /* number of its first checksum */
	uint32_t offset_4k, cell_len;
	unsigned blocks_per_cell;
	uint32_t missing; /* slots */
};

/* ---- Large blobs ------------------------------------------------------------------------------------------------- */
static int large_crcs(void *arg, unsigned cell, unsigned first, unsigned n, uint32_t *ret)
{
	struct reader *r = arg;

	return r->at->crcs(r->at->arg, r->crc_base + (uint64_t)cell * r->blocks_per_cell + first, n, ret);
}

static void stripe_begin(struct reader *r, struct stripe *t, uint32_t lo, uint32_t hi, unsigned flags)
{
	*t = (struct stripe){
		.set = r->set,
		.seg = r->seg,
		.offset_4k = r->offset_4k,
		.cell_len = r->cell_len,
		.block_log2 = r->at->block_log2,
		.flags = flags,
		.missing = r->missing,
		.lo = lo,
		.hi = hi,
		.crcs = large_crcs,
		.arg = r,
	};
}

/* A wanted cell is read or made where it belongs, unless it is waited for. */
static void stripe_lend(struct stripe *t, unsigned cell, uint8_t *dst)
{
	if (!(t->flags & DRIVE_NOWAIT))
		return;
	t->buf[cell] = dst;
	t->lent |= 1u << cell;
}

static void note_met(struct reader *r, const struct stripe *t)
{
	r->met.degraded |= t->decoded;
	if (!t->damaged)
		return;
	/* Stripes are read in the order of their offsets. */
	if (!r->met.damaged_to_4k)
		r->met.damaged_from_4k = t->offset_4k;
	r->met.damaged_to_4k = t->offset_4k + 1;
}

/* The part of one data cell that is wanted and was not read yet. */
struct piece {
	uint32_t from, to; /* in the cell */
	uint8_t *dst;
};

/* What the pieces of the cells in `want` have in the rows [lo, hi); each begins there or behind. */
static int read_rows(struct reader *r, struct piece *piece, uint32_t want, uint32_t lo, uint32_t hi, unsigned flags)
{
	struct stripe t;

	stripe_begin(r, &t, lo, hi, flags);
	for (uint32_t m = want; m; m &= m - 1) {
		const struct piece *p = &piece[__builtin_ctz(m)];
		if (p->from == lo && p->to >= hi)
			stripe_lend(&t, (unsigned)__builtin_ctz(m), p->dst);
	}
	int rc = stripe_need(&t, want);
	for (uint32_t m = rc == 0 ? want : 0; m; m &= m - 1) {
		struct piece *p = &piece[__builtin_ctz(m)];
		uint32_t n = MIN(p->to, hi) - p->from;
		if (!(t.lent & m & -m))
			memcpy(p->dst, t.buf[__builtin_ctz(m)] + (p->from - lo), n);
		p->dst += n;
		p->from += n;
	}
	note_met(r, &t);
	stripe_done(&t);
	return rc;
}

static uint32_t row_begin(const struct reader *r, uint32_t at)
{
	return at / r->block * r->block;
}

static uint32_t row_end(const struct reader *r, uint32_t at)
{
	return (uint32_t)MIN(ALIGN_UP((uint64_t)at, r->block), r->cell_len);
}

/* The pieces that have something before `end`, and from where to where. */
static uint32_t pieces_before(const struct piece *piece, unsigned n, uint32_t end, uint32_t *ret_from, uint32_t *ret_to)
{
	uint32_t ret = 0;

	*ret_from = end;
	*ret_to = 0;
	for (unsigned c = 0; c < n; c++) {
		if (piece[c].from >= MIN(piece[c].to, end))
			continue;
		ret |= 1u << c;
		*ret_from = MIN(*ret_from, piece[c].from);
		*ret_to = MAX(*ret_to, MIN(piece[c].to, end));
	}
	return ret;
}

/* From top to bottom through all cells, so that what was read of one serves to decode another. */
static int read_cached(struct reader *r, struct piece *piece)
{
	for (uint32_t end = CACHED_ROWS; end < r->cell_len + CACHED_ROWS; end += CACHED_ROWS) {
		uint32_t from, to, want = pieces_before(piece, r->set->k, end, &from, &to);
		int rc = want ? read_rows(r, piece, want, row_begin(r, from), row_end(r, to), DRIVE_NOWAIT) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The pieces that lie in the rows [lo, hi) as a whole. */
static uint32_t pieces_inside(const struct piece *piece, unsigned n, uint32_t lo, uint32_t hi)
{
	uint32_t ret = 0;

	for (unsigned c = 0; c < n; c++)
		if (piece[c].from < piece[c].to && piece[c].from >= lo && piece[c].to <= hi)
			ret |= 1u << c;
	return ret;
}

/* -1: nothing is left. */
static int widest(const struct piece *piece, unsigned n)
{
	int ret = -1;

	for (unsigned c = 0; c < n; c++) {
		uint32_t len = piece[c].to - piece[c].from;
		if (len > (ret < 0 ? 0 : piece[ret].to - piece[ret].from))
			ret = (int)c;
	}
	return ret;
}

/* The widest piece first, in one go: narrow ones inside of its range come along. */
static int read_waiting(struct reader *r, struct piece *piece)
{
	unsigned k = r->set->k;

	for (int c; (c = widest(piece, k)) >= 0;) {
		uint32_t lo = row_begin(r, piece[c].from), hi = row_end(r, piece[c].to);
		int rc = read_rows(r, piece, pieces_inside(piece, k, lo, hi), lo, hi, 0);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* [from, to) of the stripe's data. */
static int read_stripe(struct reader *r, uint32_t from, uint32_t to, uint8_t *dst)
{
	struct piece piece[ERASURE_MAX_CELLS] = {0};

	for (unsigned c = from / r->cell_len; from < to; c++) {
		uint32_t start = c * r->cell_len, end = MIN(to, start + r->cell_len);
		piece[c] = (struct piece){.from = from - start, .to = end - start, .dst = dst};
		dst += end - from;
		from = end;
	}
	int rc = read_cached(r, piece);
	return rc == -EAGAIN && !(r->flags & DRIVE_NOWAIT) ? read_waiting(r, piece) : rc;
}

/* Sets the reader on stripe i of the blob; returns the number of its data bytes. */
static uint32_t reader_seek(struct reader *r, uint64_t i)
{
	uint32_t cell = (uint32_t)BYTES_4K(r->seg->info.cell_4k), bytes = cell * r->set->k;
	uint64_t rest = r->at->stored_len - i * bytes;

	r->offset_4k = r->at->offset_4k + (uint32_t)(i * r->seg->info.cell_4k);
	r->crc_base = i * r->set->ncell * DIV_ROUND_UP(cell, r->block);
	r->cell_len = rest >= bytes ? cell : (uint32_t)ALIGN_UP(DIV_ROUND_UP(rest, r->set->k), DRIVE_BLOCK);
	r->blocks_per_cell = DIV_ROUND_UP(r->cell_len, r->block);
	r->missing = erasure_missing_mask(r->set, r->at->segment, r->offset_4k, r->offset_4k + r->cell_len / DRIVE_BLOCK);
	return (uint32_t)MIN(rest, bytes);
}

static int read_large(struct reader *r, uint64_t start, size_t len, uint8_t *dst)
{
	uint32_t bytes = (uint32_t)BYTES_4K(r->seg->info.cell_4k) * r->set->k;

	while (len) {
		uint32_t from = (uint32_t)(start % bytes);
		uint32_t to = (uint32_t)MIN((uint64_t)reader_seek(r, start / bytes), from + (uint64_t)len);
		int rc = read_stripe(r, from, to, dst);
		if (rc < 0)
			return rc;
		start += to - from;
		dst += to - from;
		len -= to - from;
	}
	return 0;
}

/* ---- Packed blobs ------------------------------------------------------------------------------------------------ */
struct packed_range {
	uint32_t from, to; /* whole blocks of the blob, which hold what is wanted */
	uint32_t skip;     /* bytes before it */
	size_t len;
	uint8_t *dst;
	uint32_t crc[ERASURE_PACKED_CELL >> ERASURE_PACKED_BLOCK_LOG2];
};

static int own_crcs(void *arg, unsigned cell, unsigned first, unsigned n, uint32_t *ret)
{
	const struct packed_range *pr = arg;

	memcpy(ret, pr->crc + first, n * sizeof *ret);
	return 0;
}

/* The blob's bytes in its cell; where they are not there or not good, what the same bytes of K other cells decode to. Those
 * cells have checksums as a whole only. The blob's own are of the bytes that are returned, so they prove the decoding too. */
static int packed_own(struct reader *r, const struct packed_range *pr, unsigned flags)
{
	unsigned cell = r->at->cell;
	struct stripe t;

	stripe_begin(r, &t, 0, pr->to - pr->from, flags);
	t.byte = r->at->byte + pr->from;
	t.unsummed = ~(1u << cell);
	t.crcs = own_crcs;
	t.arg = (void *)pr;
	if (pr->len == t.hi)
		stripe_lend(&t, cell, pr->dst);
	int rc = stripe_need(&t, 1u << cell);
	if (rc == 0 && !t.lent)
		memcpy(pr->dst, t.buf[cell] + pr->skip, pr->len);
	note_met(r, &t);
	stripe_done(&t);
	return rc;
}

static int cell_crcs(void *arg, unsigned cell, unsigned first, unsigned n, uint32_t *ret)
{
	const uint32_t *crc = arg;

	for (unsigned i = 0; i < n; i++)
		ret[i] = crc[cell + first + i];
	return 0;
}

/* The whole cell, from itself or from the others; the stripe's row has a checksum of each cell. */
static int packed_cell(struct reader *r, const struct packed_range *pr, unsigned flags)
{
	uint32_t crc[ERASURE_MAX_CELLS];
	struct stripe t;

	if (!r->at->stripe_crcs)
		return -QE_QUORUM_READ;
	int rc = r->at->stripe_crcs(r->at->arg, crc);
	if (rc < 0)
		return rc;
	stripe_begin(r, &t, 0, ERASURE_PACKED_CELL, flags);
	t.block_log2 = 16;
	t.crcs = cell_crcs;
	t.arg = crc;
	rc = stripe_need(&t, 1u << r->at->cell);
	if (rc == 0) {
		const uint8_t *p = t.buf[r->at->cell] + r->at->byte + pr->from;
		if (blocks_verify(p, pr->to - pr->from, r->at->block_log2, pr->crc) == 0)
			memcpy(pr->dst, p + pr->skip, pr->len);
		else
			rc = -QE_CORRUPT; /* the rows of blob and stripe do not agree */
	}
	note_met(r, &t);
	stripe_done(&t);
	return rc;
}

static int packed_try(struct reader *r, const struct packed_range *pr, unsigned flags)
{
	int rc = packed_own(r, pr, flags);

	return rc == -QE_CORRUPT ? packed_cell(r, pr, flags) : rc;
}

static int read_packed(struct reader *r, uint64_t start, size_t len, uint8_t *dst)
{
	struct packed_range pr = {.len = len, .dst = dst};

	r->offset_4k = r->at->offset_4k;
	r->cell_len = ERASURE_PACKED_CELL;
	r->missing = erasure_missing_mask(r->set, r->at->segment, r->offset_4k,
	                                  r->offset_4k + ERASURE_PACKED_CELL / DRIVE_BLOCK);
	pr.from = (uint32_t)(start / r->block) * r->block;
	pr.to = (uint32_t)MIN(ALIGN_UP(start + len, (uint64_t)r->block), r->at->stored_len);
	pr.skip = (uint32_t)start - pr.from;
	int rc = r->at->crcs(r->at->arg, pr.from / r->block, DIV_ROUND_UP(pr.to - pr.from, r->block), pr.crc);
	if (rc < 0)
		return rc;
	rc = packed_try(r, &pr, DRIVE_NOWAIT);
	return rc == -EAGAIN && !(r->flags & DRIVE_NOWAIT) ? packed_try(r, &pr, 0) : rc;
}

/* ---- Both -------------------------------------------------------------------------------------------------------- */
/* Places come from rows: what cannot be is damage, never an assertion. */
static bool place_fits(const struct erasure_set *s, const struct segment_info *i, const struct erasure_place *at)
{
	if (at->block_log2 < 12 || at->block_log2 > 16 || at->offset_4k == 0 || at->offset_4k >= i->size_4k)
		return false;
	if (at->packed)
		return i->cls == SEGMENT_PACKED && at->cell < s->k && at->stored_len <= ERASURE_PACKED_CELL &&
		       at->byte <= ERASURE_PACKED_CELL - at->stored_len &&
		       i->size_4k - at->offset_4k >= ERASURE_PACKED_CELL / DRIVE_BLOCK;
	uint64_t bytes = BYTES_4K(i->cell_4k) * s->k, full = at->stored_len / bytes;
	uint64_t last = DIV_ROUND_UP(DIV_ROUND_UP(at->stored_len % bytes, s->k), (uint64_t)DRIVE_BLOCK);
	return i->cls == SEGMENT_LARGE && full <= i->size_4k && full * i->cell_4k + last <= i->size_4k - at->offset_4k;
}

int erasure_read(struct erasure_set *s, const struct erasure_place *at, uint64_t start, size_t len, void *dst,
                 unsigned flags, struct erasure_read *ret_met)
{
	if (start > at->stored_len || len > at->stored_len - start)
		return -EINVAL;
	struct reader r = {.set = s, .at = at, .flags = flags, .seg = segment_pin(s, at->segment)};
	if (!r.seg)
		return -QE_CORRUPT;
	int rc = -QE_CORRUPT;
	if (place_fits(s, &r.seg->info, at)) {
		r.block = 1u << at->block_log2;
		rc = len == 0 ? 0 : at->packed ? read_packed(&r, start, len, dst) : read_large(&r, start, len, dst);
	}
	segment_unpin(s, r.seg);
	if (rc == 0)
		STAT_ADD(s, bytes_read, len);
	if (rc == -EAGAIN)
		r.met = (struct erasure_read){0}; /* who waits meets it again */
	if (r.met.degraded)
		STAT_ADD(s, degraded_reads, 1);
	if (ret_met)
		*ret_met = r.met;
	return rc;
}
