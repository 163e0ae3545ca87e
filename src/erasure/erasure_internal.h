/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of erasure/ share. One mutex per set, `lock` (LOCK_SEGMENT), guards all that is marked (L); no I/O, no
 * callback of the caller and no drive_queue call is made under it.
 *
 *   set.c        the set, its thread, waiting for I/O, slot errors
 *   segment.c    segments: known ones, their files, headers, sealing
 *   make.c       making segments, drives that have no room for them
 *   run.c        reserving runs of open segments
 *   space.c      holes in segments that stay
 *   spare.c      files of dead segments that become the next ones
 *   flush.c      what of a slot is written and not flushed
 *   missing.c    ranges that are not to be read
 *   blob_write.c, packed.c   stripes to drives
 *   cell_read.c  parallel reads of cells; stripe.c: a stripe's verified rows, decoded where needed
 *   blob_read.c  blobs from drives
 *   recover.c    check, repair, settle
 *   heal.c, heal_io.c        many stripes verified and written anew (heal_internal.h)
 */
#ifndef QUOIN_ERASURE_INTERNAL_H
#define QUOIN_ERASURE_INTERNAL_H

#include <errno.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/pool.h"
#include "erasure/set.h"

#define SEGMENT_NAME_MAX 32
#define OFFSET_NONE UINT32_MAX
#define BYTES_4K(units) ((uint64_t)(units) << 12)

/* A thread that waits until at most `limit` of its I/Os (or stripes) are pending. (L) */
struct cell_waiter {
	struct list node; /* in the set's waiters while it sleeps */
	struct cond cond;
	bool sleeping;
	unsigned pending, limit;
};

/* What one slot did not flush of a segment, as the lowest offset of each kind, or OFFSET_NONE. (L) */
struct segment_slot {
	uint32_t returned; /* written, no sync begun since */
	uint32_t syncing;  /* covered by the syncs under way */
	uint32_t failed;   /* failed or timed out; until heal says otherwise */
	unsigned syncs;    /* under way */
};

struct missing_range {
	uint32_t from_4k, to_4k;
	uint8_t slot;
};

/* Counts the blobs of a segment that have no row yet, and the segment itself. Blobs may outlive it. */
struct segment_claim {
	unsigned n; /* atomic */
};

struct segment {
	struct hash_node node;
	struct list lru;                             /* (L) in set.lru */
	struct list dirty;                           /* (L) in set.dirty while flush_pending */
	struct segment_info info;                    /* id, geometry: constant; the rest (L) */
	bool owned;                                  /* made by this process: next_4k and slots are known */
	unsigned pins;                               /* (L) users; the segment stays known while > 0 */
	struct segment_claim *claim;
	uint32_t next_4k;                            /* (L) owned: allocation pointer; else highest known end or 0 */
	uint32_t slots;                              /* (L) owned: slots that have the file open, with its header */
	uint32_t lost;                               /* (L) owned: slots that had it until their drive was taken away */
	uint32_t left_out;                           /* owned: slots that had no room for it when it was made */
	uint32_t trimmed;                            /* (L) slots whose file holds nothing behind the sealed end */
	struct drive_file *file[ERASURE_MAX_CELLS];  /* (L) by slot; may be taken away at any time: used by reference */
	struct segment_slot slot[ERASURE_MAX_CELLS]; /* (L) */
	struct list runs;                            /* (L) of struct segment_run */
};

/* A reserved run. Its owner writes at pos_4k upwards. (L) */
struct segment_run {
	struct list node;
	struct segment *seg; /* pinned */
	uint32_t pos_4k, end_4k;
};

struct missing_segment { /* (L) */
	struct hash_node node;
	uint64_t segment;
	unsigned n, cap;
	struct missing_range *range;
};

struct erasure_set {
	unsigned n, k, m, ncell;
	unsigned need; /* atomic: fewest cells that make a stripe good enough to be written */
	uint16_t set;
	struct drive *drives[ERASURE_MAX_CELLS]; /* (L); without the lock by slot_drive */
	uint64_t segment_size, timeout_ns;
	unsigned spares;
	uint64_t (*new_id)(void *arg);
	uint64_t (*epoch)(void *arg);
	uint64_t (*reserve)(void *arg, enum segment_class cls); /* may be NULL */
	void *arg;
	struct erasure_coder *coder;
	uint32_t cell_len[3]; /* by class */
	uint32_t cell_max;

	struct pool *cells;  /* of cell_max */
	struct pool *parity; /* of m * cell_max; NULL if m = 0 */
	struct pool *blocks; /* of 64 KiB */
	struct pool *ops;    /* of struct stripe_job and struct cell_batch */
	struct drive_queue *queue;

	unsigned users; /* atomic */
	struct mutex lock;
	struct hash segments;    /* (L) */
	struct list lru;         /* (L) least recently used first */
	struct list dirty;       /* (L) segments with something to flush */
	unsigned open_files;     /* (L) */
	unsigned max_files;      /* above it those of segments not in use are closed */
	struct hash missing;     /* (L) struct missing_segment by segment */
	unsigned missing_n;      /* atomic: ranges in all, so that reads can skip the table */
	struct segment *open[3]; /* (L) by class */
	bool making[3];          /* (L) somebody makes the next one */
	uint64_t making_id[3];   /* (L) which, from before it has files; 0: none */
	struct cond made;
	unsigned reign;                   /* (L) grows when open segments are sealed from outside */
	unsigned rotation;                /* (L) of the next segment */
	uint32_t writers, suspect;        /* (L) slot masks; suspect: failed since writers was set */
	uint32_t full, refused;           /* (L) slot masks; refused: those of full that took no file lately */
	uint64_t refused_until_ns[ERASURE_MAX_CELLS]; /* (L) mono, by slot */
	uint32_t departures;              /* (L) times that slots stopped being writers */
	uint32_t departed[ERASURE_MAX_CELLS]; /* (L) by slot: the last of them that it was in */
	unsigned hung[ERASURE_MAX_CELLS]; /* atomic: reads that were given up and have not returned */

	struct list jobs;    /* (L) stripes being written, oldest first */
	unsigned abandoned;  /* (L) cell reads that nobody waits for any more */
	bool leading;        /* (L) somebody is in drive_queue_reap */
	struct list waiters; /* (L) of struct cell_waiter */
	struct cond tick;
	bool tick_idle, stop; /* (L) */
	pthread_t thread;
	bool thread_on;

	void (*slot_error)(void *arg, unsigned slot, int rc);
	void *slot_error_arg;
	void (*sealed)(void *arg, const struct segment_info *info);
	void *sealed_arg;
	struct erasure_stats stats; /* atomic counters */
};

#define STAT_ADD(s, field, n) ((void)__atomic_fetch_add(&(s)->stats.field, (uint64_t)(n), __ATOMIC_RELAXED))

/* ---- set.c ------------------------------------------------------------------------------------------------------- */
/* What W drives in sync hold at least (STORAGE.md section 4). A set that has lost all that parity allows goes on with K cells;
 * 1+1 and 2+2, where that would not be a majority, with one more, unless drives were given up. */
static inline unsigned set_need(const struct erasure_set *s)
{
	return __atomic_load_n(&s->need, __ATOMIC_RELAXED);
}
static inline unsigned segment_slot_of(const struct segment *seg, unsigned cell)
{
	return (cell + seg->info.rotation) % seg->info.n;
}
/* Which cell the slot holds; >= k + m: none. */
static inline unsigned segment_cell_of(const struct segment *seg, unsigned slot)
{
	return (slot + seg->info.n - seg->info.rotation % seg->info.n) % seg->info.n;
}
void cell_waiter_init(struct cell_waiter *w);
void cell_waiter_done(struct cell_waiter *w);
/* Under lock, which is given up meanwhile: waits until w->pending <= limit; false: deadline_ns (0: none) came first. */
bool cell_wait(struct erasure_set *s, struct cell_waiter *w, unsigned limit, uint64_t deadline_ns);
void cell_wake(struct cell_waiter *w); /* under lock, after pending fell */
void set_tick(struct erasure_set *s);  /* under lock: jobs or abandoned reads exist, the thread must look */
bool slot_suspect_locked(struct erasure_set *s, unsigned slot); /* true: it was not before and is to be reported */
void slot_report(struct erasure_set *s, unsigned slot, int rc);
void slot_failed(struct erasure_set *s, unsigned slot, int rc); /* both; lock not held */
/* The slot's drive, held (drive_unhold it); NULL: absent. */
struct drive *slot_drive(struct erasure_set *s, unsigned slot);
bool slot_there(struct erasure_set *s, unsigned slot); /* a drive that may be used */
void blocks_sum(const void *p, uint32_t len, unsigned block_log2, uint32_t *ret);
/* Number of blocks that differ. */
unsigned blocks_verify(const void *p, uint32_t len, unsigned block_log2, const uint32_t *crc);

/* ---- segment.c --------------------------------------------------------------------------------------------------- */
#define SEGMENT_HEADER_BYTES 4096
struct segment_header {
	struct segment_info info; /* state, sealed length, live bytes: zero */
	uint16_t set;
	uint8_t slot, cell;
};
void segment_header_encode(const struct segment_header *h, void *block);
int segment_header_decode(const void *block, struct segment_header *ret) WARN_UNUSED;

void segment_name(uint64_t id, char *ret); /* SEGMENT_NAME_MAX bytes */
struct segment_claim *segment_claim_add(struct segment_claim *c); /* returns c; accepts NULL, as drop does */
void segment_claim_drop(struct segment_claim *c);
struct segment *segment_find_locked(struct erasure_set *s, uint64_t id);
/* NULL: unknown or dead. */
struct segment *segment_pin(struct erasure_set *s, uint64_t id);
struct segment *segment_pin_locked(struct erasure_set *s, uint64_t id);
void segment_unpin(struct erasure_set *s, struct segment *seg);
void segment_unpin_locked(struct segment *seg);
/* A reference to the open file of a pinned segment. flags: DRIVE_NOWAIT: only if it is open, else -EAGAIN. create: makes
 * it where it is absent. -ENODEV, -EIO: the slot has no drive that is to be used. */
int segment_file(struct erasure_set *s, struct segment *seg, unsigned slot, unsigned flags, bool create,
                 struct drive_file **ret) WARN_UNUSED;
/* A descriptor of the caller's own, by the name that the file has now. create: makes it where it is absent; -EBUSY: the
 * lost one is in use. */
int segment_file_own(struct erasure_set *s, struct segment *seg, unsigned slot, bool create,
                     struct drive_file **ret) WARN_UNUSED;
/* The header of the slot's file, on the medium when it returns. */
int segment_header_write(struct erasure_set *s, struct segment *seg, unsigned slot, struct drive_file *f) WARN_UNUSED;
void segment_seal_locked(struct erasure_set *s, struct segment *seg);
void segment_unmake(struct erasure_set *s, struct segment *seg); /* unlinks its files and frees */
void segment_insert_locked(struct erasure_set *s, struct segment *seg);
struct segment *segment_alloc(const struct segment_info *info);
/* The slot's file with its header, both on the medium. On an error nothing of it stays. */
int segment_file_create(struct erasure_set *s, struct segment *seg, unsigned slot, struct drive_file **ret) WARN_UNUSED;
void segment_free(struct segment *seg);
/* Drops the set's open files of the slot; who has a reference keeps it. lost: with its drive, so nothing more is written
 * to the slot in the segments of now, and what is not flushed there counts as failed. */
void segment_close_slot(struct erasure_set *s, unsigned slot, bool lost);

/* ---- make.c ------------------------------------------------------------------------------------------------------ */
static inline bool is_no_room(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG;
}
/* Makes a segment that has room for need_4k, on all writers that have room. -QE_FULL, -QE_QUORUM_WRITE. Not yet known to
 * the set. */
int segment_make(struct erasure_set *s, enum segment_class cls, uint32_t need_4k, unsigned rotation,
                 struct segment **ret) WARN_UNUSED;
bool slot_has_room(struct erasure_set *s, unsigned slot, uint64_t bytes); /* free; true when that is not known */
/* A file that heals may be made: the slot is not full, and keeps the room that deleting needs. */
bool slot_takes_file(struct erasure_set *s, unsigned slot, uint64_t bytes);

/* ---- spare.c ----------------------------------------------------------------------------------------------------- */
/* Makes a spare of the file of a dead segment of the usual size. False: it stays what it is, to be unlinked. */
bool spare_keep(struct erasure_set *s, struct drive *d, uint64_t id) WARN_UNUSED;
/* A spare of that size gets the name, both on the medium, and is opened. -ENOENT: there is none. */
int spare_take(struct erasure_set *s, struct drive *d, const char *name, uint64_t bytes, struct drive_file **ret) WARN_UNUSED;

/* ---- run.c ------------------------------------------------------------------------------------------------------- */
int run_reserve(struct erasure_set *s, enum segment_class cls, uint32_t len_4k, struct segment_run *ret) WARN_UNUSED;
void run_release(struct erasure_set *s, struct segment_run *run, bool give_back); /* what is above pos_4k */
void segment_tell_sealed(struct erasure_set *s, const struct segment_info *info); /* without the lock */

/* ---- flush.c ----------------------------------------------------------------------------------------------------- */
void flush_init(struct segment *seg);
static inline void flush_note(uint32_t *lowest, uint32_t offset_4k)
{
	*lowest = MIN(*lowest, offset_4k);
}
bool flush_pending(const struct segment *seg); /* under lock: some slot has written and not flushed */
void flush_returned_locked(struct erasure_set *s, struct segment *seg, unsigned slot, uint32_t offset_4k);

void flush_settled(struct erasure_set *s, unsigned slot); /* every file of the slot was synced anew */

/* ---- missing.c --------------------------------------------------------------------------------------------------- */
void missing_drop_locked(struct erasure_set *s, uint64_t segment); /* all of a removed segment */
void missing_free(struct erasure_set *s);

/* ---- blob_write.c ------------------------------------------------------------------------------------------------ */
struct erasure_writer;

struct stripe_job {
	struct list node; /* set.jobs (L) */
	struct erasure_set *set;
	struct segment *seg;           /* pinned */
	struct erasure_writer *writer; /* (L) NULL once it has its result */
	unsigned index;                /* of the stripe in the blob */
	uint32_t offset_4k;
	uint32_t pending, ok; /* (L) slot masks */
	bool full;            /* (L) a slot answered ENOSPC */
	void *parity;
	void (*release)(void *arg);
	void *arg;
	uint64_t submit_ns;
	struct drive_io io[ERASURE_MAX_CELLS];
};
/* The set's thread: gives up cell writes that take too long. Lock held, given up meanwhile. */
void jobs_expire_locked(struct erasure_set *s);

struct erasure_writer {
	struct erasure_set *set;
	enum segment_class cls;
	struct segment_run run;
	struct cell_waiter wait; /* pending: stripes in flight */
	int rc;                  /* (L) sticky */
	bool ended;              /* a short stripe was pushed */
	uint64_t stored_len;
	unsigned nstripes, cap;
	struct erasure_stripe *stripes;
};
int writer_open(struct erasure_set *s, enum segment_class cls, uint64_t max_len, struct erasure_writer **ret)
	WARN_UNUSED;
struct erasure_writer *writer_free(struct erasure_writer *w);
int writer_settle(struct erasure_writer *w) WARN_UNUSED; /* waits for the stripes in flight */

/* ---- cell_read.c ------------------------------------------------------------------------------------------------- */
struct cell_batch;
struct cell_batch *cell_batch_new(struct erasure_set *s);
/* Adds a read of len bytes into a buffer of the cells pool; tag tells it apart. At most ERASURE_MAX_CELLS. -ENOMEM, or
 * why the file does not open: then nothing was added. */
int cell_batch_add(struct cell_batch *b, struct segment *seg, unsigned slot, uint64_t off, uint32_t len, unsigned flags,
                   unsigned tag) WARN_UNUSED;
/* Reads all, in parallel; what is not there after the drive timeout counts as -ETIMEDOUT. */
void cell_batch_run(struct cell_batch *b);
unsigned cell_batch_count(const struct cell_batch *b);
/* Result of the i-th; on 0 the buffer is the caller's, to be put back to the cells pool. */
int cell_batch_take(struct cell_batch *b, unsigned i, unsigned *ret_tag, uint8_t **ret_buf);
void cell_batch_free(struct cell_batch *b); /* accepts NULL */

/* ---- stripe.c ---------------------------------------------------------------------------------------------------- */
#define STRIPE_ROWS 256

/* The rows [lo, hi) of one stripe, a row being one block of each cell. Zeroed, then the first part filled in. */
struct stripe {
	struct erasure_set *set;
	struct segment *seg; /* pinned */
	uint32_t offset_4k, cell_len;
	unsigned block_log2;
	unsigned flags;    /* of the reads: DRIVE_DIRECT; DRIVE_NOWAIT: of the page cache only, in this thread */
	uint32_t missing;  /* slots that are not to be read */
	uint32_t byte;     /* of the cell where its first row begins: not 0 for a packed blob */
	uint32_t lo, hi;   /* bytes behind it; lo on a block, hi on a block or where the last row ends */
	uint32_t unsummed; /* cells without checksums of these rows: only what is decoded from them can be verified */
	uint32_t lent;     /* cells whose buf is the caller's; with DRIVE_NOWAIT only, for a drive that hangs writes late */
	int (*crcs)(void *arg, unsigned cell, unsigned first, unsigned n, uint32_t *ret);
	void *arg;

	uint8_t *buf[ERASURE_MAX_CELLS]; /* hi - lo bytes, where something was lent, read or made */
	uint32_t tried;                  /* cells that were read, or cannot be */
	bool decoded;                    /* something was reconstructed */
	bool damaged;                    /* a cell on a drive that is there is absent, unreadable or of other bytes */
	uint16_t have[STRIPE_ROWS];      /* cells that are on their drive and good, or unsummed, by row */
	uint16_t made[STRIPE_ROWS];      /* cells that were reconstructed and are good, by row */
};
/* Makes buf[] of the cells in `want` valid over [lo, hi). -QE_QUORUM_READ, -ENOMEM, or an error of crcs. -EAGAIN, with
 * DRIVE_NOWAIT only: a cell is not cached, or too few are good. -QE_CORRUPT: unsummed cells were decoded from that have
 * other bytes. */
int stripe_need(struct stripe *t, uint32_t want) WARN_UNUSED;
void stripe_done(struct stripe *t);

/* ---- recover.c --------------------------------------------------------------------------------------------------- */
/* Stripes come from records and rows: what cannot be is damage. */
bool listed_fits(const struct erasure_set *s, const struct segment_info *i, const struct erasure_stripe *st);
/* The first block of the slot's file is the header that the segment's row says. */
bool header_fits(const struct erasure_set *s, const struct segment *seg, unsigned slot, const void *block);
/* All rows of a stripe with its checksums at hand, to be read from the drives. 0: t->seg is pinned. -QE_CORRUPT. */
int listed_begin(struct erasure_set *s, const struct erasure_stripe *st, struct stripe *t) WARN_UNUSED;

#endif
