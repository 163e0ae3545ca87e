/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing: what of a window is good, what is made of it. See heal.h.
 */
#include "erasure/heal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "erasure/heal_internal.h"

#define COL_BYTES (2u << 20)
#define COLS_BYTES (16u << 20) /* of a window, for many drives */
#define QUEUE_DEPTH 128

/* ---- Life -------------------------------------------------------------------------------------------------------- */
static bool window_new(struct erasure_healer *h, struct heal_window *w)
{
	w->h = h;
	for (unsigned c = 0; c < h->set->ncell; c++) {
		w->col[c] = aligned_alloc(DRIVE_BLOCK, h->col_bytes);
		if (!w->col[c])
			return false;
	}
	return true;
}

struct erasure_healer *erasure_healer_new(struct erasure_set *s)
{
	struct erasure_healer *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->set = s;
	h->col_bytes = MAX(MIN(COL_BYTES, COLS_BYTES / s->ncell / DRIVE_BLOCK * DRIVE_BLOCK), s->cell_max);
	h->queue = drive_queue_new(QUEUE_DEPTH, false);
	bool ok = h->queue;
	for (unsigned i = 0; ok && i < HEAL_WINDOWS; i++)
		ok = window_new(h, &h->window[i]);
	return ok ? h : erasure_healer_free(h);
}

struct erasure_healer *erasure_verifier_new(struct erasure_set *s, erasure_bad_fn bad, void *arg)
{
	struct erasure_healer *h = erasure_healer_new(s);

	if (h) {
		h->bad = bad;
		h->bad_arg = arg;
	}
	return h;
}

void erasure_healer_on_lost(struct erasure_healer *h, erasure_lost_fn fn, void *arg)
{
	h->lost = fn;
	h->lost_arg = arg;
}

struct erasure_healer *erasure_healer_free(struct erasure_healer *h)
{
	if (!h)
		return NULL;
	ASSERT(!h->seg);
	drive_queue_free(h->queue);
	for (unsigned i = 0; i < HEAL_WINDOWS; i++) {
		struct heal_window *w = &h->window[i];
		for (unsigned c = 0; c < ERASURE_MAX_CELLS; c++)
			free(w->col[c]);
		free(w->stripe);
		free(w->extent);
		free(w->crcs);
		free(w->io);
	}
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++) {
		free(h->slot[i].written);
		free(h->slot[i].crcs);
	}
	free(h);
	return NULL;
}

void *heal_room(void *array, unsigned *cap, unsigned n, size_t size)
{
	unsigned more = *cap;

	while (more < n)
		more = more ? 2 * more : 64;
	if (more == *cap)
		return array;
	void *p = realloc(array, more * size);
	if (p)
		*cap = more;
	return p;
}

/* ---- A stripe ---------------------------------------------------------------------------------------------------- */
static const uint32_t *crcs_of(const struct heal_window *w, const struct heal_stripe *st, unsigned cell)
{
	return w->crcs + st->crc + (size_t)cell * st->blocks_per_cell;
}

static bool cell_good(const struct heal_window *w, const struct heal_stripe *st, unsigned cell)
{
	return blocks_verify(w->col[cell] + st->at, st->len, st->block_log2, crcs_of(w, st, cell)) == 0;
}

/* From the cells that were read; returns those that came out good. */
static uint32_t decode_short(struct heal_window *w, const struct heal_stripe *st, uint32_t want)
{
	struct erasure_set *s = w->h->set;
	void *cells[ERASURE_MAX_CELLS] = {0};
	uint32_t good = 0;

	for (unsigned c = 0; c < s->ncell; c++)
		cells[c] = w->col[c] + st->at;
	if (erasure_decode(s->coder, st->len, cells, st->good, want) < 0)
		return 0;
	for (uint32_t m = want; m; m &= m - 1)
		if (cell_good(w, st, (unsigned)__builtin_ctz(m)))
			good |= m & -m;
	return good;
}

/* Every cell there is, every choice of K. */
static uint32_t decode_long(struct heal_window *w, const struct heal_stripe *st, uint32_t want)
{
	struct erasure_set *s = w->h->set;
	struct stripe t;
	struct erasure_stripe listed = {
		.segment = w->h->seg->info.id,
		.offset_4k = st->offset_4k,
		.cell_4k = (uint16_t)(st->len / DRIVE_BLOCK),
		.ncell = (uint8_t)s->ncell,
		.block_log2 = st->block_log2,
		.blocks_per_cell = st->blocks_per_cell,
		.crc = w->crcs + st->crc,
	};

	if (listed_begin(s, &listed, &t) < 0)
		return 0;
	/* A drive may have what a row says it lacks: a start without it could not know (R6). The checksums tell. */
	t.missing = 0;
	bool made = stripe_need(&t, want) == 0;
	for (uint32_t m = made ? want : 0; m; m &= m - 1)
		memcpy(w->col[__builtin_ctz(m)] + st->at, t.buf[__builtin_ctz(m)], st->len);
	stripe_done(&t);
	segment_unpin(s, t.seg);
	return made ? want : 0;
}

static void count_failed(struct erasure_healer *h, const struct heal_stripe *st, uint32_t cells)
{
	for (uint32_t m = cells; m; m &= m - 1) {
		struct erasure_healed_slot *slot = &h->done.slot[segment_slot_of(h->seg, (unsigned)__builtin_ctz(m))];
		slot->failed++;
		slot->failed_bytes += st->len;
	}
}

static uint32_t cells_of(const struct erasure_healer *h, uint32_t slots)
{
	uint32_t cells = 0;

	for (unsigned c = 0; c < h->set->ncell; c++)
		if (slots & 1u << segment_slot_of(h->seg, c))
			cells |= 1u << c;
	return cells;
}

/* Cells that were read for this stripe and are not good, on drives that are there. */
static uint32_t lost_cells(struct erasure_healer *h, const struct heal_stripe *st)
{
	uint32_t lost = cells_of(h, h->check) & ~(uint32_t)(st->good | st->rewrite), ret = 0;

	for (uint32_t m = lost; m; m &= m - 1) {
		unsigned slot = segment_slot_of(h->seg, (unsigned)__builtin_ctz(m));
		if (!slot_there(h->set, slot))
			continue;
		h->done.slot[slot].bad++;
		ret |= m & -m;
	}
	return ret;
}

static void tell_bad(struct erasure_healer *h, const struct heal_stripe *st, uint32_t bad, uint32_t made)
{
	for (uint32_t m = bad; m; m &= m - 1) {
		unsigned cell = (unsigned)__builtin_ctz(m);
		if (h->slot[segment_slot_of(h->seg, cell)].absent)
			continue;
		h->bad(h->bad_arg, &(struct erasure_bad_cell){
			.segment = h->seg->info.id,
			.slot = segment_slot_of(h->seg, cell),
			.cell = cell,
			.offset_4k = st->offset_4k,
			.cell_4k = st->len / DRIVE_BLOCK,
			.decodable = made & 1u << cell,
		});
	}
}

static void tell_lost(struct erasure_healer *h, const struct heal_stripe *st, uint32_t made)
{
	uint32_t cells = ((1u << h->set->k) - 1) & ~(st->good | made);

	if (h->lost && cells)
		h->lost(h->lost_arg, &(struct erasure_lost_stripe){
			.segment = h->seg->info.id,
			.offset_4k = st->offset_4k,
			.cell_4k = st->len / DRIVE_BLOCK,
			.cells = (uint16_t)cells,
		});
}

static void mend_stripe(struct heal_window *w, struct heal_stripe *st)
{
	struct erasure_healer *h = w->h;
	uint32_t want = st->rewrite | lost_cells(h, st), made = 0;

	h->done.stripes++;
	if (!want)
		return;
	if ((unsigned)__builtin_popcount(st->good) >= h->set->k)
		made = decode_short(w, st, want);
	if (want & ~made)
		made |= decode_long(w, st, want & ~made);
	if (want & ~made)
		tell_lost(h, st, made);
	if (h->bad) {
		tell_bad(h, st, want, made);
		return;
	}
	count_failed(h, st, want & ~made);
	st->write = (uint16_t)made;
}

/* ---- A window ---------------------------------------------------------------------------------------------------- */
static void look_at(struct heal_window *w, const struct heal_io *io)
{
	const struct heal_extent *e = &w->extent[io->extent];
	unsigned cell = segment_cell_of(w->h->seg, io->slot);

	for (unsigned i = e->first; i < e->first + e->n; i++) {
		struct heal_stripe *st = &w->stripe[i];
		/* One bad sector fails a whole transfer: the cells are then read one by one. */
		bool read = io->io.result == 0 || heal_read_cell(w->h, io->slot, st, w->col[cell] + st->at);
		if (read && cell_good(w, st, cell))
			st->good |= (uint16_t)(1u << cell);
	}
}

static void window_mend(struct heal_window *w)
{
	if (!w->reading)
		return;
	heal_wait(w);
	for (unsigned i = 0; i < w->nio; i++)
		look_at(w, &w->io[i]);
	for (unsigned i = 0; i < w->nstripes; i++)
		mend_stripe(w, &w->stripe[i]);
	w->reading = false;
	heal_write_window(w);
}

static void window_clear(struct heal_window *w)
{
	heal_wait(w); /* its writes */
	w->nstripes = w->nextents = w->ncrcs = w->nio = 0;
	w->fill = 0;
}

/* The window that is filled is full: its cells are asked for, and the one before it is worked on meanwhile. */
static int turn(struct erasure_healer *h)
{
	struct heal_window *w = &h->window[h->fill];
	int rc = heal_read_window(w);

	if (rc < 0)
		return rc;
	window_mend(&h->window[(h->fill + HEAL_WINDOWS - 1) % HEAL_WINDOWS]);
	h->fill = (h->fill + 1) % HEAL_WINDOWS;
	window_clear(&h->window[h->fill]);
	return 0;
}

/* ---- What the caller sees ---------------------------------------------------------------------------------------- */
static bool slot_hung(struct erasure_set *s, unsigned slot)
{
	return __atomic_load_n(&s->hung[slot], __ATOMIC_RELAXED) > 0;
}

/* K slots are to be read at least; those that are to be written anew have nothing to read. */
static uint32_t add_sources(const struct erasure_healer *h, uint32_t write, uint32_t check)
{
	struct erasure_set *s = h->set;
	uint32_t ret = check & ~write, missing = erasure_missing_mask(s, h->seg->info.id, 0, UINT32_MAX);
	unsigned n = 0;

	for (unsigned c = 0; c < s->ncell; c++)
		n += ret >> segment_slot_of(h->seg, c) & 1;
	for (unsigned c = 0; c < s->ncell && n < s->k; c++) {
		unsigned slot = segment_slot_of(h->seg, c);
		if (((ret | write | missing) & 1u << slot) || !slot_there(s, slot) || slot_hung(s, slot))
			continue;
		ret |= 1u << slot;
		n++;
	}
	return ret;
}

int erasure_healer_begin(struct erasure_healer *h, uint64_t segment, uint32_t write, uint32_t check)
{
	struct erasure_set *s = h->set;
	uint32_t there = 0;

	ASSERT(!h->seg);
	h->seg = segment_pin(s, segment);
	if (!h->seg)
		return -QE_CORRUPT;
	for (unsigned i = 0; i < s->n; i++)
		if (slot_there(s, i) && segment_cell_of(h->seg, i) < s->ncell)
			there |= 1u << i;
	h->write = write & there;
	h->check = add_sources(h, write, check & there);
	memset(&h->done, 0, sizeof h->done);
	h->fill = 0;
	for (unsigned i = 0; i < HEAL_WINDOWS; i++)
		window_clear(&h->window[i]);
	heal_open_slots(h);
	return 0;
}

/* Room for one more stripe with n checksums. */
static int window_room(struct heal_window *w, unsigned n)
{
	struct heal_stripe *stripe = heal_room(w->stripe, &w->stripe_cap, w->nstripes + 1, sizeof *stripe);
	w->stripe = stripe ? stripe : w->stripe;
	struct heal_extent *extent = heal_room(w->extent, &w->extent_cap, w->nextents + 1, sizeof *extent);
	w->extent = extent ? extent : w->extent;
	uint32_t *crcs = heal_room(w->crcs, &w->crc_cap, w->ncrcs + n, sizeof *crcs);
	w->crcs = crcs ? crcs : w->crcs;
	return stripe && extent && crcs ? 0 : -ENOMEM;
}

static int push_stripe(struct heal_window *w, const struct erasure_stripe *st, uint32_t rewrite)
{
	unsigned n = (unsigned)st->ncell * st->blocks_per_cell;
	uint32_t len = (uint32_t)BYTES_4K(st->cell_4k);
	int rc = window_room(w, n);

	if (rc < 0)
		return rc;
	struct heal_extent *last = w->nextents ? &w->extent[w->nextents - 1] : NULL;
	if (last && last->offset_4k + last->len / DRIVE_BLOCK == st->offset_4k) {
		last->len += len;
		last->n++;
	} else {
		w->extent[w->nextents++] = (struct heal_extent){st->offset_4k, w->fill, len, w->nstripes, 1};
	}
	memcpy(w->crcs + w->ncrcs, st->crc, n * sizeof *w->crcs);
	w->stripe[w->nstripes++] = (struct heal_stripe){
		.offset_4k = st->offset_4k,
		.len = len,
		.at = w->fill,
		.crc = w->ncrcs,
		.blocks_per_cell = st->blocks_per_cell,
		.block_log2 = st->block_log2,
		.rewrite = (uint16_t)rewrite,
	};
	w->ncrcs += n;
	w->fill += len;
	return 0;
}

int erasure_healer_add(struct erasure_healer *h, const struct erasure_stripe *st, uint32_t write)
{
	ASSERT(h->seg);
	if (st->segment != h->seg->info.id || !listed_fits(h->set, &h->seg->info, st))
		return -QE_CORRUPT;
	int rc = h->window[h->fill].fill + BYTES_4K(st->cell_4k) > h->col_bytes ? turn(h) : 0;
	return rc < 0 ? rc : push_stripe(&h->window[h->fill], st, cells_of(h, write & h->write));
}

uint64_t erasure_healer_moved(const struct erasure_healer *h)
{
	return h->moved;
}

static void finish(struct erasure_healer *h)
{
	for (unsigned i = 0; i < HEAL_WINDOWS; i++)
		heal_wait(&h->window[i]);
	heal_close_slots(h);
	segment_unpin(h->set, h->seg);
	h->seg = NULL;
}

void erasure_healed_add(struct erasure_healed *to, const struct erasure_healed *from)
{
	to->stripes += from->stripes;
	to->bytes += from->bytes;
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++) {
		to->slot[i].bad += from->slot[i].bad;
		to->slot[i].healed += from->slot[i].healed;
		to->slot[i].healed_bytes += from->slot[i].healed_bytes;
		to->slot[i].failed += from->slot[i].failed;
		to->slot[i].failed_bytes += from->slot[i].failed_bytes;
		to->slot[i].lost += from->slot[i].lost;
	}
}

void erasure_healer_end(struct erasure_healer *h, struct erasure_healed *ret)
{
	struct heal_window *w = &h->window[h->fill];

	if (heal_read_window(w) < 0)
		for (unsigned i = 0; i < w->nstripes; i++)
			count_failed(h, &w->stripe[i], w->stripe[i].rewrite);
	for (unsigned i = 1; i <= HEAL_WINDOWS; i++)
		window_mend(&h->window[(h->fill + i) % HEAL_WINDOWS]);
	heal_settle(h);
	erasure_healed_add(ret, &h->done);
	finish(h);
}

void erasure_healer_drop(struct erasure_healer *h)
{
	for (unsigned i = 0; i < HEAL_WINDOWS; i++)
		h->window[i].reading = false;
	for (unsigned i = 0; i < h->set->n; i++)
		h->slot[i].nwritten = h->slot[i].ncrcs = 0;
	finish(h);
}
