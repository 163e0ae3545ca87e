/* SPDX-License-Identifier: Apache-2.0
 *
 * Payload of one set: segments, cells, blobs (STORAGE.md section 5). It knows places and checksums, not names; the rows
 * that remember them are meta's.
 *
 * A stripe is K data cells and M parity cells of equal length at one offset of one segment. Cell i lies on slot
 * (i + rotation) mod N. A large blob is a contiguous run of full stripes and a shorter last one; a packed blob lies
 * whole inside one data cell of a packed stripe.
 *
 * Locks: LOCK_SEGMENT guards open segments; no I/O under it. Thread safe.
 */
#ifndef QUOIN_ERASURE_SET_H
#define QUOIN_ERASURE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "drive/drive.h"
#include "erasure/coder.h"

#define ERASURE_BLOB_MAX (64u << 20) /* plain stored bytes of one large blob */
#define ERASURE_PACKED_CELL 65536u
#define ERASURE_PACKED_BLOCK_LOG2 12
#define ERASURE_LARGE_BLOCK_LOG2 16

enum segment_class { SEGMENT_LARGE = 1, SEGMENT_PACKED = 2 };
enum segment_state { SEGMENT_OPEN = 0, SEGMENT_SEALED = 1, SEGMENT_DEAD = 2 };

struct segment_info { /* the body of a `segment` row and, without state, of a segment header */
	uint64_t id, epoch;
	uint8_t cls, block_log2, rotation, state;
	uint8_t n, k, m;
	uint32_t cell_4k; /* length of a full cell */
	uint32_t size_4k;
	uint32_t sealed_4k;  /* length when sealed, else 0 */
	uint32_t punched_4k; /* of it, what was given back: holes, on each drive */
	uint64_t live_bytes; /* stored bytes of live blobs: in rows, by the sequencer's deltas; an erasure set tells 0 */
};

/* Units of 4 KiB on each drive of a large blob of len bytes in such a segment. */
static inline uint64_t erasure_blob_units(const struct segment_info *i, uint64_t len)
{
	uint64_t stripe = ((uint64_t)i->cell_4k << 12) * i->k;

	return len / stripe * i->cell_4k + DIV_ROUND_UP(DIV_ROUND_UP(len % stripe, (uint64_t)i->k), UINT64_C(4096));
}

struct erasure_params {
	unsigned n, k, m;
	uint16_t pool, set;
	struct drive *drives[ERASURE_MAX_CELLS]; /* by slot; NULL: absent */
	uint64_t segment_size;                   /* bytes; 0: 1 GiB, on small drives less (STORAGE.md, Files) */
	unsigned spares;                         /* files of dead segments that each drive keeps for the next ones */
	unsigned need;                           /* fewest cells that make a stripe good enough to be written: W, K at least */
	uint64_t drive_timeout_ns;               /* of one cell's I/O; 0: 5 s */
	uint64_t (*new_id)(void *arg);           /* a segment id of the epoch in force; called without a lock */
	uint64_t (*epoch)(void *arg);
	/* Bytes that stay free on each writer, beside one more segment, when a large segment is made; of the packed class:
	 * what they may not use either. NULL: none. */
	uint64_t (*reserve)(void *arg, enum segment_class cls);
	void *arg;
};

struct erasure_set;

struct erasure_set *erasure_set_new(const struct erasure_params *p);
struct erasure_set *erasure_set_free(struct erasure_set *s); /* waits for I/O in flight; nobody may hold it */
/* Who uses a set that its owner may replace by another holds it meanwhile; a writer holds it by itself. */
struct erasure_set *erasure_set_hold(struct erasure_set *s);
void erasure_set_unhold(struct erasure_set *s); /* accepts NULL */
static inline void erasure_set_unholdp(struct erasure_set **s)
{
	erasure_set_unhold(*s);
}
#define CLEANUP_ERASURE CLEANUP(erasure_set_unholdp)
/* Nobody holds it and no I/O of it is in flight: erasure_set_free would not wait. */
bool erasure_set_quiet(struct erasure_set *s);
struct erasure_coder *erasure_set_coder(struct erasure_set *s);
uint64_t erasure_segment_size(const struct erasure_set *s); /* as a rule */
/* Bytes of a full stripe's data (k * cell) of the class. */
uint32_t erasure_stripe_bytes(const struct erasure_set *s, enum segment_class cls);

/* Which slots get cell writes (`in` and `joining`), by the newest ISR. Slots without a drive must not be in it. A slot
 * that failed gets no cells until the next call. After it returns no cell goes to a slot outside the mask, so when a
 * slot leaves this comes first and erasure_unflushed_ranges second. A new run never lies in a segment that was made
 * while one of the writers was not, or had no room and has some now. */
void erasure_set_writers(struct erasure_set *s, uint32_t slot_mask);
uint32_t erasure_set_writer_mask(const struct erasure_set *s);
/* Writers that failed and get no cells any more; they are or are about to be reported. */
uint32_t erasure_set_suspects(struct erasure_set *s);

/* Slots whose drives are full, said again every second or so: new segments are made without them as long as the others are
 * enough (erasure_params.need), and end when the slots they lack are not full any more. A drive that had no room for a segment
 * is full by itself, until it has. */
void erasure_set_full(struct erasure_set *s, uint32_t slots);
uint32_t erasure_full_slots(struct erasure_set *s);
void erasure_set_need(struct erasure_set *s, unsigned need); /* from now on */

/* Another drive for a slot that gets no cells (erasure_set_writers). detach: from now on nobody begins to use the drive, and
 * the set's open files of it are dropped; reads and writes under way keep theirs (drive_users tells), and a segment that
 * was being made meanwhile may bring one back: call it again until there are no users. attach: only then. */
void erasure_slot_detach(struct erasure_set *s, unsigned slot);
void erasure_slot_attach(struct erasure_set *s, unsigned slot, struct drive *d);

/* Segments known from rows at start, and what becomes known later (replay, apply). Reads of an unknown segment, or of
 * a dead one, fail with -QE_CORRUPT. The caller re-adds a segment to change its state. No run is reserved in a segment
 * that was not made by this process. -QE_CORRUPT: not of this set's geometry. */
int erasure_segment_add(struct erasure_set *s, const struct segment_info *info) WARN_UNUSED;
/* The segment, made by an earlier process, holds cells up to end_4k: replay tells this of every blob and stripe. What
 * erasure_seal_open seals ends at the highest such end, sealed_4k of the row counted; at its full size if none is known. */
void erasure_segment_used(struct erasure_set *s, uint64_t segment, uint32_t end_4k);
/* Slots that got the segment's file when this process made it, and still have it; all when it was made by another. */
uint32_t erasure_segment_slots(struct erasure_set *s, uint64_t segment);
/* It is known, or just being made: of a file that was found before, false tells that it is nobody's. */
bool erasure_segment_known(struct erasure_set *s, uint64_t segment);
bool erasure_segment_get(struct erasure_set *s, uint64_t segment, struct segment_info *ret);
/* Slots of the mask whose drive is there and has no file of that name. */
uint32_t erasure_segment_absent(struct erasure_set *s, uint64_t segment, uint32_t slots);
/* Somebody reads or writes it, or a blob in it waits for its row. Of a sealed segment that nobody uses and no row names a
 * blob of, nobody will. */
bool erasure_segment_in_use(struct erasure_set *s, uint64_t segment);
/* Each of those, without a lock. */
void erasure_segments_in_use(struct erasure_set *s, void (*fn)(void *arg, const struct segment_info *info), void *arg);
/* Forgets a dead segment and unlinks its files (its `dead` row is durable). -EBUSY: a reader or writer is in it;
 * absent files are no error; the first error of a drive is returned when all have been tried. Some files that are whole
 * become spares instead (spare.c). */
int erasure_segment_remove(struct erasure_set *s, uint64_t segment) WARN_UNUSED;
/* Spares go where they are too many, of another size, or their room is needed. To be called from time to time. */
void erasure_spares_tidy(struct erasure_set *s);
/* Gives back what the files of the slots hold behind the end of a sealed segment, where that was not done yet; its row,
 * which seals it, is durable. Where a drive fails to, the next call tries again. */
void erasure_segment_trim(struct erasure_set *s, uint64_t segment, uint32_t slots);
/* Gives back what the files of the slots hold in [from, to) of a large segment: nothing lives there and nobody reads it.
 * Returns the slots where that is done, or nothing was to be had. */
uint32_t erasure_segment_punch(struct erasure_set *s, uint64_t segment, uint32_t from_4k, uint32_t to_4k, uint32_t slots);
/* Called (from any thread, no lock held) when a full segment was sealed: its row is to be put. */
void erasure_on_sealed(struct erasure_set *s, void (*fn)(void *arg, const struct segment_info *info), void *arg);
/* Missing ranges (STORAGE.md, Degraded write): cells of the slot in [from, to) 4 KiB units are not to be read. */
void erasure_missing_add(struct erasure_set *s, unsigned slot, uint64_t segment, uint32_t from_4k, uint32_t to_4k);
/* Slots whose cells in [from, to) are not to be read. */
uint32_t erasure_missing_mask(struct erasure_set *s, uint64_t segment, uint32_t from_4k, uint32_t to_4k);
/* One range says of the slot that everything from from_4k on is missing. */
bool erasure_missing_covers(struct erasure_set *s, unsigned slot, uint64_t segment, uint32_t from_4k);
void erasure_missing_del(struct erasure_set *s, unsigned slot, uint64_t segment, uint32_t from_4k);
unsigned erasure_missing_count(struct erasure_set *s, unsigned slot); /* its ranges */

/* For each segment, open or sealed, of which the slot has not flushed all that was, or that is going to be, written:
 * the lowest such offset (0: the slot has no file of it). An open segment is always told: what is written to it later
 * lacks the slot. Used when a slot leaves the ISR, after erasure_set_writers; fn is called without a lock. */
void erasure_unflushed_ranges(struct erasure_set *s, unsigned slot,
                              void (*fn)(void *arg, uint64_t segment, uint32_t from_4k), void *arg);

/* ---- What a flush round must sync ------------------------------------------------------------------------------ */
struct erasure_flush {
	struct drive_file *file; /* a reference; dropped by erasure_flush_done */
	uint64_t segment, token;
	unsigned slot;
};
/* Segment files of the slot with returned but unsynced cell writes; up to max. Their sync must begin after this. A file
 * whose sync is under way is given again (that sync may have begun too early for this caller). When max are returned
 * more may wait: call again once these are done. */
unsigned erasure_flush_begin(struct erasure_set *s, unsigned slot, struct erasure_flush *ret, unsigned max);
/* Every begun flush is ended. !ok: the slot is reported by *on_slot_error; what it covered never counts as flushed. */
void erasure_flush_done(struct erasure_set *s, struct erasure_flush *f, bool ok);

/* ---- Writing a blob --------------------------------------------------------------------------------------------- */
/* One stripe as a record's batch lists it. crc: [cell 0..k+m)[block], blocks_per_cell each, which is the cell's length
 * / block length rounded up: the last block of a cell may be short, and its checksum is of the short block. Padding
 * counts as data. A packed stripe is listed with block_log2 16: one checksum per cell, those of its `stripe` row. */
struct erasure_stripe {
	uint64_t segment;
	uint32_t offset_4k;
	uint16_t cell_4k;
	uint8_t ncell, block_log2;
	uint16_t slot_mask; /* slots whose cell was written */
	uint16_t blocks_per_cell;
	uint32_t departures; /* of drives, when it was written; not in the record */
	uint32_t *crc;       /* ncell * blocks_per_cell; owned by the blob */
};

struct erasure_blob { /* what a writer made; becomes a blob row */
	uint64_t segment;
	uint32_t offset_4k;
	uint8_t block_log2;
	uint64_t stored_len;
	unsigned nstripes;
	struct erasure_stripe *stripes;
	struct segment_info info; /* of its segment, for the row of a new one */
	struct segment_claim *claim; /* keeps the segment in use until a row names the blob (erasure_segment_in_use) */
};
void erasure_blob_free(struct erasure_blob *b); /* frees what it owns, not b */
int erasure_blob_copy(const struct erasure_blob *from, struct erasure_blob *ret) WARN_UNUSED; /* -ENOMEM: nothing is in ret */
/* Some slot of its mask has not flushed its cell, as far as is known: the record must list the stripe. */
bool erasure_stripe_unflushed(struct erasure_set *s, const struct erasure_stripe *st);

/* Slots that should hold a cell of the stripe and do not for sure: it was not written, or the slot stopped being a writer
 * since, whatever drive is there now. */
uint32_t erasure_stripe_lacks(struct erasure_set *s, const struct erasure_stripe *st);

struct erasure_writer;
/* Reserves a run for up to max_len bytes (1 to ERASURE_BLOB_MAX) in an open large segment; opens or creates one when
 * needed, on every writer slot. -QE_FULL, -QE_QUORUM_WRITE. One thread at a time per writer. */
int erasure_writer_open(struct erasure_set *s, uint64_t max_len, struct erasure_writer **ret) WARN_UNUSED;
/* Appends a full stripe's bytes, or fewer for the last one. Blocks while more than 4 stripes are in flight. The buffer
 * must be 4 KiB aligned, hold erasure_stripe_bytes (a short last stripe is padded in place), and stay until
 * `release(arg)`, called once its writes have ended: exactly once per push, from any thread, also when push fails,
 * then before it returns. Release may come after erasure_writer_finish when a drive hangs. A slot that fails to take
 * its cell, or is not done within the drive timeout, is left out of the slot_mask and reported by *on_slot_error of the
 * set; fewer than K + 1 (K if M = 0) written cells is an error: -QE_QUORUM_WRITE. Errors are sticky. -EINVAL: no byte,
 * more than the run holds, or a push behind a short one. */
int erasure_writer_push(struct erasure_writer *w, void *buf, uint32_t len, void (*release)(void *arg), void *arg)
	WARN_UNUSED;
/* Waits for all cells; gives the unused end of the run back; w is freed, also on error. -EINVAL: nothing was pushed. */
int erasure_writer_finish(struct erasure_writer *w, struct erasure_blob *ret) WARN_UNUSED;
void erasure_writer_abort(struct erasure_writer *w);
uint64_t erasure_writer_epoch(const struct erasure_writer *w); /* of its segment */
/* Called (from any thread, no lock held) when a cell write to a slot fails or exceeds the drive timeout, or a flush
 * failed. Once per slot until the next erasure_set_writers. All I/O of the set may wait for fn: it only notes and wakes. */
void erasure_on_slot_error(struct erasure_set *s, void (*fn)(void *arg, unsigned slot, int rc), void *arg);
/* Cell writes to the slot that have not returned, and reads that were given up: R10 waits until there are none. */
unsigned erasure_slot_inflight(struct erasure_set *s, unsigned slot);

/* One packed stripe: k * ERASURE_PACKED_CELL bytes, zero-padded. Blocks until written. *ret has one stripe. data is the
 * caller's again behind it, also when a drive hangs. */
int erasure_packed_write(struct erasure_set *s, const void *data, struct erasure_blob *ret) WARN_UNUSED;

/* ---- Reading ----------------------------------------------------------------------------------------------------- */
struct erasure_place {
	bool packed;
	uint64_t segment;
	uint32_t offset_4k;
	uint8_t cell;  /* packed: which data cell */
	uint32_t byte; /* packed: offset within the cell */
	uint64_t stored_len;
	uint8_t block_log2;
	/* Checksums first .. first + n: large: [stripe][cell][block]; packed: one per block of the blob's own bytes. */
	int (*crcs)(void *arg, uint64_t first, unsigned n, uint32_t *ret);
	/* Packed: the crc of whole cell 0..k+m of the stripe, for decoding. */
	int (*stripe_crcs)(void *arg, uint32_t *ret);
	void *arg;
};
struct erasure_read { /* what a read met */
	bool degraded; /* something had to be reconstructed */
	/* Cells of stripes that begin in [from, to) were absent, unreadable or of other bytes on drives that are there, under
	 * no missing range. to 0: none. */
	uint32_t damaged_from_4k, damaged_to_4k;
};
/* Reads [start, start + len) of the blob into dst, every block verified; other cells are read and decoded when one is
 * absent or bad. flags: DRIVE_NOWAIT gives -EAGAIN instead of blocking: the page cache lacks what is wanted, or what it has
 * to be decoded from. -QE_QUORUM_READ: too few good cells; dst is then undefined, as on -EAGAIN. -QE_CORRUPT: the place
 * cannot be. -EINVAL: outside of the blob. Errors of the callbacks are passed on. *ret_met may be NULL. */
int erasure_read(struct erasure_set *s, const struct erasure_place *at, uint64_t start, size_t len, void *dst,
                 unsigned flags, struct erasure_read *ret_met) WARN_UNUSED;

/* ---- Recovery ---------------------------------------------------------------------------------------------------- */
/* Reads (O_DIRECT) one cell of a listed stripe on one slot and compares all its block checksums: 1 valid (also when the
 * slot has no cell of the stripe), 0 not (also when the file is absent or short), < 0 error. */
int erasure_cell_check(struct erasure_set *s, const struct erasure_stripe *st, unsigned slot) WARN_UNUSED;
/* The slot's file of a known segment, by its header and size. ERASURE_FILE_MISSING: not wanted yet, a missing range covers its
 * beginning; ERASURE_FILE_CUT: it ends before end_4k, and no missing range says so. -ENOENT, -QE_CORRUPT, -errno. */
enum { ERASURE_FILE_GOOD = 0, ERASURE_FILE_MISSING = 1, ERASURE_FILE_CUT = 2 };
int erasure_file_check(struct erasure_set *s, uint64_t segment, unsigned slot, uint32_t end_4k) WARN_UNUSED;
/* Rewrites the slots of the mask from the others of the stripe (K valid ones are needed, else -QE_QUORUM_READ). Makes
 * the segment file of a slot that lacks it. The writes are unflushed: flush_begin tells them. First write error. */
int erasure_cell_repair(struct erasure_set *s, const struct erasure_stripe *st, uint32_t slot_mask) WARN_UNUSED;
/* fdatasync and drop clean pages of every segment file of the slot (R3). */
int erasure_slot_settle(struct erasure_set *s, unsigned slot) WARN_UNUSED;
/* Ends all open segments: the next writer opens new ones (R7). fn gets each with its sealed length, without a lock held.
 * Blobs in flight may still be finished in their runs, which lie below it. */
void erasure_seal_open(struct erasure_set *s, void (*fn)(void *arg, const struct segment_info *info), void *arg);

/* ---- What is told to metrics ------------------------------------------------------------------------------------- */
struct erasure_stats {
	uint64_t bytes_written, bytes_read; /* of blobs, without parity and padding */
	uint64_t cold_reads;                /* cells that were not in the page cache */
	uint64_t degraded_reads;            /* reads that had to reconstruct */
	uint64_t bad_blocks;                /* blocks of drives that failed their checksum */
	uint64_t slot_errors;               /* times a slot was reported */
	uint64_t segments, open_files;      /* now */
};
void erasure_set_stats(struct erasure_set *s, struct erasure_stats *ret);

#endif
