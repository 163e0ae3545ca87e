/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing of cells, many stripes at a time (STORAGE.md section 5, Healing). The caller names the stripes of one segment
 * in offset order, each with the slots whose cells are to be written anew; cells of the slots to check are read and
 * verified, and bad ones are written anew as well. What was written is flushed and read back from the drive before it
 * counts as healed.
 *
 * Stripes are gathered in windows of some MiB per drive. Cells that lie one behind the other are one transfer, however
 * small the stripes are, and while one window is decoded the next is read and the one before is written. A stripe that
 * cannot be decoded from what was read takes the long way (stripe.c: all cells, all choices of K).
 *
 * A healer is used by one thread at a time. It opens files of its own: an error of a flush is then told to it and to
 * those who wrote what it covers, to each once.
 */
#ifndef QUOIN_ERASURE_HEAL_H
#define QUOIN_ERASURE_HEAL_H

#include "erasure/set.h"

struct erasure_healer;

struct erasure_healed_slot {
	uint64_t bad;                  /* cells (and headers) to check that are absent, unreadable or of other bytes */
	uint64_t healed, healed_bytes; /* cells written, flushed and read back as they must be */
	uint64_t failed, failed_bytes; /* cells that should have been */
	uint64_t lost;                 /* the caller's: whole files that it found gone, counted as bad, and left to be filled */
};
struct erasure_healed {
	uint64_t stripes, bytes; /* bytes: read to verify */
	struct erasure_healed_slot slot[ERASURE_MAX_CELLS];
};

void erasure_healed_add(struct erasure_healed *to, const struct erasure_healed *from);

struct erasure_healer *erasure_healer_new(struct erasure_set *s); /* NULL: no memory */
/* One that only looks: bad cells are counted and told, by the calls that are made of it, and nothing is written. Headers
 * and files that are absent are not told: erasure_file_check. */
struct erasure_bad_cell {
	uint64_t segment;
	unsigned slot, cell;
	uint32_t offset_4k, cell_4k;
	bool decodable; /* the others give its bytes */
};
typedef void (*erasure_bad_fn)(void *arg, const struct erasure_bad_cell *c);
struct erasure_healer *erasure_verifier_new(struct erasure_set *s, erasure_bad_fn bad, void *arg);
/* A stripe that is here in fewer than K good cells: the bytes of these data cells cannot be had now. */
struct erasure_lost_stripe {
	uint64_t segment;
	uint32_t offset_4k, cell_4k;
	uint16_t cells;
};
typedef void (*erasure_lost_fn)(void *arg, const struct erasure_lost_stripe *l);
void erasure_healer_on_lost(struct erasure_healer *h, erasure_lost_fn fn, void *arg); /* fn: by the calls that are made of it */
struct erasure_healer *erasure_healer_free(struct erasure_healer *h);
/* Slots of `write` are those that erasure_healer_add may name; cells of `check` are verified. Slots whose drive is absent
 * or out are left out of both; K others are read when `check` has fewer. -QE_CORRUPT: no such segment, or dead. */
int erasure_healer_begin(struct erasure_healer *h, uint64_t segment, uint32_t write, uint32_t check) WARN_UNUSED;
/* Takes a copy of the stripe. -QE_CORRUPT: it cannot be in the segment; -ENOMEM. Nothing is counted then. */
int erasure_healer_add(struct erasure_healer *h, const struct erasure_stripe *st, uint32_t write) WARN_UNUSED;
/* Transfers so far, in bytes: what a budget counts. */
uint64_t erasure_healer_moved(const struct erasure_healer *h);
/* Writes the rest, flushes, reads back, and adds to *ret what was done. Cells of the slots to write that are not counted
 * as failed are whole and durable. */
void erasure_healer_end(struct erasure_healer *h, struct erasure_healed *ret);
/* Instead of end: waits for the transfers under way and leaves the rest. */
void erasure_healer_drop(struct erasure_healer *h);

#endif
