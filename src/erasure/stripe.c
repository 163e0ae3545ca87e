/* SPDX-License-Identifier: Apache-2.0
 *
 * Verified rows of one stripe. A row is one block of each cell: it can be decoded when any K of its blocks are good, so
 * damage in different blocks of different cells adds up only within a row. Cells are read only when some row lacks
 * them: the wanted ones first, then as many others as the worst row needs, until the rows are there or nothing is left.
 * What was decoded is used only when its own checksum agrees; else other choices of K blocks are tried.
 *
 * Cells are read from the page cache one after the other, by the caller's thread and, if it lends its buffer, where it
 * wants them: a drive that is gone then costs the decoding and nothing else. Or they are waited for, all at once.
 */
#include "base/err.h"
#include "erasure/erasure_internal.h"

#define MAX_CHOICES 64 /* of K blocks out of those at hand, per row */

static unsigned row_count(const struct stripe *t)
{
	return DIV_ROUND_UP(t->hi - t->lo, 1u << t->block_log2);
}

static uint32_t row_len(const struct stripe *t, unsigned row)
{
	return MIN(1u << t->block_log2, t->hi - t->lo - (row << t->block_log2));
}

static int stripe_crcs(const struct stripe *t, unsigned cell, unsigned row, unsigned n, uint32_t *ret)
{
	int rc = t->crcs(t->arg, cell, (t->lo >> t->block_log2) + row, n, ret);

	return rc == -EAGAIN ? -QE_CORRUPT : rc; /* that would say that a cell is not cached */
}

static bool cached_only(const struct stripe *t)
{
	return t->flags & DRIVE_NOWAIT;
}

static uint64_t stripe_offset(const struct stripe *t)
{
	return BYTES_4K(t->offset_4k) + t->byte + t->lo;
}

/* Room for cells that are read or made. */
static int get_bufs(struct stripe *t, uint32_t cells)
{
	for (uint32_t m = cells; m; m &= m - 1) {
		uint8_t **buf = &t->buf[__builtin_ctz(m)];
		if (!*buf && !(*buf = pool_get(t->set->cells)))
			return -ENOMEM;
	}
	return 0;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */
static int verify_cell(struct stripe *t, unsigned cell)
{
	uint32_t crc[STRIPE_ROWS];
	unsigned rows = row_count(t), bad = 0;

	if (t->unsummed & 1u << cell) {
		for (unsigned r = 0; r < rows; r++)
			t->have[r] |= (uint16_t)(1u << cell);
		return 0;
	}
	int rc = stripe_crcs(t, cell, 0, rows, crc);
	if (rc < 0)
		return rc;
	for (unsigned r = 0; r < rows; r++) {
		if (blocks_verify(t->buf[cell] + (r << t->block_log2), row_len(t, r), t->block_log2, &crc[r]) == 0)
			t->have[r] |= (uint16_t)(1u << cell);
		else
			bad++;
	}
	if (bad)
		STAT_ADD(t->set, bad_blocks, bad);
	t->damaged |= bad > 0;
	return 0;
}

/* A cell that cannot be read: damage, unless its drive is the cause. */
static void note_unread(struct stripe *t, unsigned cell, int rc)
{
	t->damaged |= rc != -ETIMEDOUT && slot_there(t->set, segment_slot_of(t->seg, cell));
	if (rc == -QE_END_OF_FILE)
		STAT_ADD(t->set, bad_blocks, row_count(t));
}

static int take_cells(struct stripe *t, struct cell_batch *b)
{
	for (unsigned i = 0; i < cell_batch_count(b); i++) {
		unsigned cell;
		uint8_t *buf;
		int rc = cell_batch_take(b, i, &cell, &buf);
		if (rc < 0) {
			note_unread(t, cell, rc);
			continue;
		}
		t->buf[cell] = buf;
		rc = verify_cell(t, cell);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int load_waiting(struct stripe *t, uint32_t cells)
{
	struct cell_batch *b = cell_batch_new(t->set);

	if (!b)
		return -ENOMEM;
	for (uint32_t m = cells; m; m &= m - 1) {
		unsigned cell = (unsigned)__builtin_ctz(m), slot = segment_slot_of(t->seg, cell);
		int rc = cell_batch_add(b, t->seg, slot, stripe_offset(t), t->hi - t->lo, t->flags, cell);
		if (rc == -ENOMEM) {
			cell_batch_free(b);
			return rc;
		}
		if (rc < 0)
			note_unread(t, cell, rc);
	}
	cell_batch_run(b);
	int rc = take_cells(t, b);
	cell_batch_free(b);
	return rc;
}

static int read_cached(struct stripe *t, unsigned cell)
{
	struct drive_file *f;
	int rc = segment_file(t->set, t->seg, segment_slot_of(t->seg, cell), DRIVE_NOWAIT, false, &f);

	if (rc < 0)
		return rc;
	rc = drive_pread(f, t->buf[cell], t->hi - t->lo, stripe_offset(t), DRIVE_NOWAIT);
	drive_file_unref(f);
	return rc;
}

static int load_cached(struct stripe *t, uint32_t cells)
{
	int rc = get_bufs(t, cells);

	for (uint32_t m = cells; m && rc == 0; m &= m - 1) {
		unsigned cell = (unsigned)__builtin_ctz(m);
		rc = read_cached(t, cell);
		if (rc == 0) {
			rc = verify_cell(t, cell);
		} else if (rc != -EAGAIN) {
			note_unread(t, cell, rc);
			rc = 0;
		}
	}
	return rc;
}

static uint32_t not_missing(const struct stripe *t, uint32_t cells)
{
	uint32_t ret = 0;

	for (uint32_t m = cells; m; m &= m - 1)
		if (!(t->missing & 1u << segment_slot_of(t->seg, (unsigned)__builtin_ctz(m))))
			ret |= m & -m;
	return ret;
}

/* Reads the cells; those that cannot be read just stay absent. -EAGAIN: one is there and not cached. */
static int load(struct stripe *t, uint32_t cells)
{
	t->tried |= cells;
	cells = not_missing(t, cells);
	return cached_only(t) ? load_cached(t, cells) : load_waiting(t, cells);
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */
static uint16_t lacking(const struct stripe *t, unsigned row, uint32_t want)
{
	return (uint16_t)(want & ~(t->have[row] | t->made[row]));
}

static int decode_with(struct stripe *t, unsigned row, uint32_t have, uint32_t want)
{
	void *cells[ERASURE_MAX_CELLS] = {0};

	for (unsigned c = 0; c < t->set->ncell; c++)
		if (t->buf[c])
			cells[c] = t->buf[c] + (row << t->block_log2);
	int rc = erasure_decode(t->set->coder, row_len(t, row), cells, have, want);
	if (rc < 0)
		return rc;
	t->decoded = true;
	for (uint32_t m = want; m; m &= m - 1) {
		unsigned cell = (unsigned)__builtin_ctz(m);
		uint32_t crc;
		rc = stripe_crcs(t, cell, row, 1, &crc);
		if (rc < 0)
			return rc;
		if (blocks_verify(cells[cell], row_len(t, row), t->block_log2, &crc) == 0)
			t->made[row] |= (uint16_t)(1u << cell);
	}
	return 0;
}

/* The next larger number with as many bits set. */
static uint32_t next_choice(uint32_t v)
{
	uint32_t t = v | (v - 1);

	return (t + 1) | (((~t & -~t) - 1) >> (__builtin_ctz(v) + 1));
}

/* Bits of `choice` count the set bits of `mask`. */
static uint32_t spread(uint32_t choice, uint32_t mask)
{
	uint32_t ret = 0;

	for (; mask; mask &= mask - 1, choice >>= 1)
		if (choice & 1)
			ret |= mask & -mask;
	return ret;
}

static int decode_row(struct stripe *t, unsigned row, uint32_t want)
{
	unsigned k = t->set->k, n = (unsigned)__builtin_popcount(t->have[row]);
	uint32_t choice = (1u << k) - 1;

	if (n < k)
		return 0;
	for (unsigned i = 0; i < MAX_CHOICES && choice < 1u << n; i++, choice = next_choice(choice)) {
		int rc = decode_with(t, row, spread(choice, t->have[row]), lacking(t, row, want));
		if (rc < 0 || lacking(t, row, want) == 0)
			return rc;
	}
	return 0;
}

/* Decodes what can be; *ret_need: how many more cells the worst of the other rows needs, 0: none is left. */
static int decode_rows(struct stripe *t, uint32_t want, unsigned *ret_need)
{
	unsigned k = t->set->k;

	*ret_need = 0;
	for (unsigned r = 0; r < row_count(t); r++) {
		uint16_t lack = lacking(t, r, want);
		if (!lack)
			continue;
		int rc = get_bufs(t, lack);
		if (rc == 0)
			rc = decode_row(t, r, want);
		if (rc < 0)
			return rc;
		unsigned n = (unsigned)__builtin_popcount(t->have[r]);
		if (lacking(t, r, want))
			*ret_need = MAX(*ret_need, n < k ? k - n : 1);
	}
	return 0;
}

/* Up to n cells that were not tried, those of hung drives last. */
static uint32_t choose(const struct stripe *t, unsigned n)
{
	uint32_t ret = 0;

	for (int hung = 0; hung <= 1; hung++)
		for (unsigned c = 0; c < t->set->ncell && n; c++) {
			bool is = __atomic_load_n(&t->set->hung[segment_slot_of(t->seg, c)], __ATOMIC_RELAXED) > 0;
			if ((t->tried | ret) & 1u << c || is != hung)
				continue;
			ret |= 1u << c;
			n--;
		}
	return ret;
}

static uint32_t not_hung(const struct stripe *t, uint32_t cells)
{
	uint32_t ret = 0;

	for (uint32_t m = cells; m; m &= m - 1)
		if (__atomic_load_n(&t->set->hung[segment_slot_of(t->seg, (unsigned)__builtin_ctz(m))], __ATOMIC_RELAXED) == 0)
			ret |= m & -m;
	return ret;
}

int stripe_need(struct stripe *t, uint32_t want)
{
	unsigned need = 0;

	ASSERT(row_count(t) <= STRIPE_ROWS && !(want & t->unsummed));
	ASSERT(!t->lent || cached_only(t));
	uint32_t cells = want & ~t->tried;
	if (!cached_only(t))
		cells = not_hung(t, cells);
	for (;;) {
		int rc = cells ? load(t, cells) : 0;
		if (rc == 0)
			rc = decode_rows(t, want, &need);
		if (rc < 0 || need == 0)
			return rc;
		if (t->unsummed && t->decoded)
			return -QE_CORRUPT; /* which of them is wrong cannot be seen here */
		cells = choose(t, need);
		if (!cells)
			return cached_only(t) ? -EAGAIN : -QE_QUORUM_READ;
	}
}

void stripe_done(struct stripe *t)
{
	for (unsigned c = 0; c < ERASURE_MAX_CELLS; c++) {
		if (!(t->lent & 1u << c))
			pool_put(t->set->cells, t->buf[c]);
		t->buf[c] = NULL;
	}
}
