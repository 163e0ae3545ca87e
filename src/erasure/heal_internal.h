/* SPDX-License-Identifier: Apache-2.0
 *
 * What heal.c (windows: verify, decode) and heal_io.c (files, transfers, reading back) share. All of it belongs to the
 * healer's thread.
 */
#ifndef QUOIN_ERASURE_HEAL_INTERNAL_H
#define QUOIN_ERASURE_HEAL_INTERNAL_H

#include "erasure/erasure_internal.h"
#include "erasure/heal.h"

#define HEAL_WINDOWS 3

struct heal_stripe {
	uint32_t offset_4k, len; /* len: of a cell */
	uint32_t at;             /* of its cells in the columns of the window */
	uint32_t crc;            /* of its checksums in the window's */
	uint16_t blocks_per_cell;
	uint8_t block_log2;
	uint16_t rewrite, good, write; /* masks of cells: asked for; read and verified; to be written */
};

struct heal_extent { /* stripes that lie one behind the other */
	uint32_t offset_4k, at, len;
	unsigned first, n;
};

struct heal_io {
	struct drive_io io;
	struct heal_window *w;
	unsigned slot, extent; /* extent: of a read */
};

struct heal_window {
	struct erasure_healer *h;
	uint8_t *col[ERASURE_MAX_CELLS]; /* by cell, col_bytes each */
	uint32_t fill;
	struct heal_stripe *stripe;
	struct heal_extent *extent;
	unsigned nstripes, stripe_cap, nextents, extent_cap;
	uint32_t *crcs;
	unsigned ncrcs, crc_cap;
	struct heal_io *io;
	unsigned nio, io_cap;
	unsigned pending;
	bool reading; /* its cells were asked for, and not looked at yet */
};

struct heal_written { /* a cell that is to be read back */
	uint32_t offset_4k, len, crc;
	uint16_t blocks;
	uint8_t block_log2;
};

struct heal_slot {
	struct drive_file *file; /* a descriptor of the healer's own; NULL: absent, or not opened */
	bool absent;             /* no file */
	int error;               /* of a write or flush: nothing more goes there */
	struct heal_written *written;
	unsigned nwritten, written_cap;
	uint32_t *crcs;
	unsigned ncrcs, crc_cap;
};

struct erasure_healer {
	struct erasure_set *set;
	struct drive_queue *queue;
	erasure_bad_fn bad; /* NULL: bad cells are written anew */
	void *bad_arg;
	erasure_lost_fn lost; /* NULL: nobody is told */
	void *lost_arg;
	uint32_t col_bytes;
	struct heal_window window[HEAL_WINDOWS];
	unsigned fill; /* the window that is filled */
	struct segment *seg; /* pinned between begin and end */
	uint32_t write, check;
	struct heal_slot slot[ERASURE_MAX_CELLS];
	struct erasure_healed done;
	uint64_t moved;
};

/* heal_io.c */
void heal_open_slots(struct erasure_healer *h); /* those of write and check */
void heal_close_slots(struct erasure_healer *h);
void heal_wait(struct heal_window *w);
int heal_read_window(struct heal_window *w) WARN_UNUSED;                 /* begins; -ENOMEM: nothing was begun */
bool heal_read_cell(struct erasure_healer *h, unsigned slot, const struct heal_stripe *st, uint8_t *buf);
void heal_write_window(struct heal_window *w); /* begins the writes that the stripes ask for */
void heal_settle(struct erasure_healer *h);    /* flushes and reads back what was written, and counts it */
/* The array with room for n of size bytes; NULL: no memory, and it stays as it was. */
void *heal_room(void *array, unsigned *cap, unsigned n, size_t size);

#endif
