/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing: files, transfers, the flush and the reading back. See heal.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "erasure/heal_internal.h"

/* ---- Files ------------------------------------------------------------------------------------------------------- */
/* The header is as good as a cell: a file is told by it. */
static void mend_header(struct erasure_healer *h, unsigned slot)
{
	struct heal_slot *hs = &h->slot[slot];
	struct erasure_healed_slot *done = &h->done.slot[slot];
	void *block = pool_get(h->set->blocks);

	if (!block)
		return;
	int rc = drive_pread(hs->file, block, SEGMENT_HEADER_BYTES, 0, DRIVE_DIRECT);
	bool good = rc == 0 && header_fits(h->set, h->seg, slot, block);
	pool_put(h->set->blocks, block);
	if (good || !slot_there(h->set, slot))
		return;
	done->bad++;
	rc = segment_header_write(h->set, h->seg, slot, hs->file);
	if (rc == 0) {
		done->healed++;
		return;
	}
	done->failed++;
	hs->error = rc;
	slot_failed(h->set, slot, rc);
}

void heal_open_slots(struct erasure_healer *h)
{
	for (unsigned i = 0; i < h->set->n; i++) {
		struct heal_slot *hs = &h->slot[i];
		hs->absent = false;
		hs->error = 0;
		hs->nwritten = hs->ncrcs = 0;
		if (!((h->write | h->check) & 1u << i))
			continue;
		int rc = segment_file_own(h->set, h->seg, i, false, &hs->file);
		if (rc < 0)
			hs->file = NULL;
		hs->absent = rc == -ENOENT;
		if (rc == 0 && !h->bad)
			mend_header(h, i);
	}
}

void heal_close_slots(struct erasure_healer *h)
{
	for (unsigned i = 0; i < h->set->n; i++) {
		drive_file_unref(h->slot[i].file);
		h->slot[i].file = NULL;
	}
}

/* A file to write to; false: there is none. */
static bool writable(struct erasure_healer *h, unsigned slot)
{
	struct heal_slot *hs = &h->slot[slot];

	if (hs->error || (!hs->file && !hs->absent))
		return false;
	if (hs->file)
		return true;
	int rc = segment_file_own(h->set, h->seg, slot, true, &hs->file);
	if (rc < 0) {
		hs->file = NULL;
		hs->error = rc;
	}
	return rc == 0;
}

/* ---- Transfers --------------------------------------------------------------------------------------------------- */
/* A full drive is not a broken one. */
static void slot_ends(struct erasure_healer *h, unsigned slot, int rc)
{
	if (h->slot[slot].error)
		return;
	h->slot[slot].error = rc;
	if (!is_no_room(rc))
		slot_failed(h->set, slot, rc);
}

static void io_done(struct drive_io *io)
{
	struct heal_window *w = io->owner;

	w->pending--;
	if (io->op == DRIVE_IO_WRITE && io->result < 0)
		slot_ends(w->h, CONTAINER_OF(io, struct heal_io, io)->slot, io->result);
}

void heal_wait(struct heal_window *w)
{
	while (w->pending)
		drive_queue_reap(w->h->queue, NS_PER_S);
}

static void start(struct heal_window *w, struct heal_io *io, enum drive_io_op op, void *buf, size_t len, uint64_t off)
{
	struct erasure_healer *h = w->h;

	io->w = w;
	io->io = (struct drive_io){
		.file = h->slot[io->slot].file,
		.op = op,
		.flags = op == DRIVE_IO_SYNC ? 0 : DRIVE_DIRECT,
		.buf = buf,
		.len = len,
		.off = off,
		.done = io_done,
		.owner = w,
	};
	w->pending++;
	h->moved += len;
	drive_queue_submit(h->queue, &io->io);
}

static bool io_room(struct heal_window *w, size_t n)
{
	if (n <= w->io_cap)
		return true;
	struct heal_io *p = realloc(w->io, n * sizeof *p);
	if (!p)
		return false;
	w->io = p;
	w->io_cap = (unsigned)n;
	return true;
}

int heal_read_window(struct heal_window *w)
{
	struct erasure_healer *h = w->h;
	unsigned slots = (unsigned)__builtin_popcount(h->check);

	w->nio = 0;
	if (!io_room(w, (size_t)slots * w->nextents))
		return -ENOMEM;
	for (unsigned i = 0; i < h->set->n; i++) {
		if (!(h->check & 1u << i) || !h->slot[i].file)
			continue;
		unsigned cell = segment_cell_of(h->seg, i);
		for (unsigned e = 0; e < w->nextents; e++) {
			const struct heal_extent *x = &w->extent[e];
			struct heal_io *io = &w->io[w->nio++];
			io->slot = i;
			io->extent = e;
			start(w, io, DRIVE_IO_READ, w->col[cell] + x->at, x->len, BYTES_4K(x->offset_4k));
			h->done.bytes += x->len;
		}
	}
	drive_queue_flush(h->queue);
	w->reading = true;
	return 0;
}

bool heal_read_cell(struct erasure_healer *h, unsigned slot, const struct heal_stripe *st, uint8_t *buf)
{
	return drive_pread(h->slot[slot].file, buf, st->len, BYTES_4K(st->offset_4k), DRIVE_DIRECT) == 0;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */
static void fail_cell(struct erasure_healer *h, unsigned slot, uint32_t len)
{
	h->done.slot[slot].failed++;
	h->done.slot[slot].failed_bytes += len;
}

/* To be read back. False: it cannot be noted, so it is not written. */
static bool note_written(struct heal_slot *hs, const struct heal_window *w, const struct heal_stripe *st, unsigned cell)
{
	const uint32_t *crc = w->crcs + st->crc + (size_t)cell * st->blocks_per_cell;

	struct heal_written *written = heal_room(hs->written, &hs->written_cap, hs->nwritten + 1, sizeof *written);
	hs->written = written ? written : hs->written;
	uint32_t *crcs = heal_room(hs->crcs, &hs->crc_cap, hs->ncrcs + st->blocks_per_cell, sizeof *crcs);
	hs->crcs = crcs ? crcs : hs->crcs;
	if (!written || !crcs)
		return false;
	memcpy(hs->crcs + hs->ncrcs, crc, st->blocks_per_cell * sizeof *crc);
	hs->written[hs->nwritten++] = (struct heal_written){
		.offset_4k = st->offset_4k,
		.len = st->len,
		.crc = hs->ncrcs,
		.blocks = st->blocks_per_cell,
		.block_log2 = st->block_log2,
	};
	hs->ncrcs += st->blocks_per_cell;
	return true;
}

static bool writes(const struct heal_stripe *st, unsigned cell)
{
	return st->write >> cell & 1;
}

/* How many stripes from the i-th on have a cell to write that lies behind the one before. */
static unsigned run_length(const struct heal_window *w, unsigned i, unsigned cell, uint32_t *ret_len)
{
	unsigned n = 1;

	*ret_len = w->stripe[i].len;
	while (i + n < w->nstripes && writes(&w->stripe[i + n], cell) &&
	       w->stripe[i + n].offset_4k == w->stripe[i].offset_4k + *ret_len / DRIVE_BLOCK)
		*ret_len += w->stripe[i + n++].len;
	return n;
}

static void write_cells(struct heal_window *w, unsigned slot)
{
	struct erasure_healer *h = w->h;
	struct heal_slot *hs = &h->slot[slot];
	unsigned cell = segment_cell_of(h->seg, slot);
	uint32_t len;

	for (unsigned i = 0; i < w->nstripes; i++)
		if (writes(&w->stripe[i], cell) && (!writable(h, slot) || !note_written(hs, w, &w->stripe[i], cell))) {
			fail_cell(h, slot, w->stripe[i].len);
			w->stripe[i].write &= (uint16_t)~(1u << cell);
		}
	for (unsigned i = 0, n; i < w->nstripes; i += n) {
		n = 1;
		if (!writes(&w->stripe[i], cell))
			continue;
		n = run_length(w, i, cell, &len);
		struct heal_io *io = &w->io[w->nio++];
		io->slot = slot;
		start(w, io, DRIVE_IO_WRITE, w->col[cell] + w->stripe[i].at, len, BYTES_4K(w->stripe[i].offset_4k));
	}
}

void heal_write_window(struct heal_window *w)
{
	struct erasure_healer *h = w->h;
	size_t cells = 0;

	for (unsigned i = 0; i < w->nstripes; i++)
		cells += (size_t)__builtin_popcount(w->stripe[i].write);
	w->nio = 0;
	if (cells == 0)
		return;
	bool room = io_room(w, cells);
	for (unsigned i = 0; i < h->set->n; i++) {
		if (segment_cell_of(h->seg, i) >= h->set->ncell)
			continue;
		if (!room)
			h->slot[i].error = -ENOMEM;
		write_cells(w, i);
	}
	drive_queue_flush(h->queue);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */
static void flush_slots(struct erasure_healer *h)
{
	struct heal_window *w = &h->window[0];
	struct heal_io io[ERASURE_MAX_CELLS];

	for (unsigned i = 0; i < h->set->n; i++) {
		io[i].slot = i;
		if (h->slot[i].nwritten && !h->slot[i].error)
			start(w, &io[i], DRIVE_IO_SYNC, NULL, 0, 0);
	}
	drive_queue_flush(h->queue);
	heal_wait(w);
	for (unsigned i = 0; i < h->set->n; i++) {
		if (!h->slot[i].nwritten || h->slot[i].error)
			continue;
		/* Where there is no O_DIRECT what is read back must not come from the page cache. */
		int rc = io[i].io.result < 0 ? io[i].io.result : drive_drop_clean(h->slot[i].file);
		if (rc < 0)
			slot_ends(h, i, rc);
	}
}

struct back { /* a run of written cells on its way back */
	struct heal_io io;
	unsigned first, n;
};

static void back_start(struct erasure_healer *h, struct heal_window *w, struct back *b, unsigned slot, unsigned first)
{
	const struct heal_slot *hs = &h->slot[slot];
	const struct heal_written *a = &hs->written[first];
	uint32_t len = a->len;

	b->io.slot = slot;
	b->first = first;
	b->n = 1;
	for (; first + b->n < hs->nwritten; b->n++) {
		const struct heal_written *next = &hs->written[first + b->n];
		if (next->offset_4k != a->offset_4k + len / DRIVE_BLOCK || len + next->len > h->col_bytes)
			break;
		len += next->len;
	}
	start(w, &b->io, DRIVE_IO_READ, w->col[0], len, BYTES_4K(a->offset_4k));
	drive_queue_flush(h->queue);
}

static void back_verify(struct erasure_healer *h, struct heal_window *w, const struct back *b)
{
	const struct heal_slot *hs = &h->slot[b->io.slot];
	struct erasure_healed_slot *done = &h->done.slot[b->io.slot];
	const uint8_t *p = w->col[0];

	heal_wait(w);
	for (unsigned i = b->first; i < b->first + b->n; i++) {
		const struct heal_written *c = &hs->written[i];
		if (b->io.io.result == 0 && blocks_verify(p, c->len, c->block_log2, hs->crcs + c->crc) == 0) {
			done->healed++;
			done->healed_bytes += c->len;
		} else {
			fail_cell(h, b->io.slot, c->len);
		}
		p += c->len;
	}
}

/* Two runs on their way at a time. */
static void read_back(struct erasure_healer *h, unsigned slot)
{
	struct heal_slot *hs = &h->slot[slot];
	struct back b[2];
	unsigned next = 0, turn = 0;

	b[0].n = b[1].n = 0;
	for (; next < hs->nwritten || b[0].n || b[1].n; turn ^= 1) {
		if (b[turn].n)
			back_verify(h, &h->window[turn], &b[turn]);
		b[turn].n = 0;
		if (next < hs->nwritten) {
			back_start(h, &h->window[turn], &b[turn], slot, next);
			next += b[turn].n;
		}
	}
}

void heal_settle(struct erasure_healer *h)
{
	for (unsigned i = 0; i < HEAL_WINDOWS; i++)
		heal_wait(&h->window[i]);
	flush_slots(h);
	for (unsigned i = 0; i < h->set->n; i++) {
		struct heal_slot *hs = &h->slot[i];
		if (!hs->error)
			read_back(h, i);
		else
			for (unsigned j = 0; j < hs->nwritten; j++)
				fail_cell(h, i, hs->written[j].len);
		hs->nwritten = hs->ncrcs = 0;
	}
}
