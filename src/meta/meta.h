/* SPDX-License-Identifier: Apache-2.0
 *
 * One set's ordered state: what object/ builds on. (Contract: STORAGE.md; words: its section 1.)
 *
 * The story of a change: the caller opens a *view*, reads rows, decides, and fills a *batch* with the rows that it
 * relied on (expect), new rows (put, del), counter changes (deltas) and payload. It submits the batch. Whoever finds the
 * set's writer free *leads*: the sequencer orders what waits, rejects batches whose expectations no longer hold, resolves
 * deltas and stamps; the group becomes one record on every in-sync drive; it is applied to the memtable, visible to all
 * views opened from then on; ordered batches are answered; a flush follows, and durable batches are answered. Behind it
 * checkpoints carry the memtable to the index copies (LMDB) and small payload to packed stripes, and recycle the journal.
 *
 * Errors of a batch: -QE_CONFLICT (a row it relied on changed: read again, submit again), -QE_QUORUM_WRITE (read-only),
 * -QE_UNKNOWN_OUTCOME, -QE_FULL.
 */
#ifndef QUOIN_META_META_H
#define QUOIN_META_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/op_ctx.h"
#include "drive/drive.h"
#include "drive/super.h"
#include "erasure/set.h"
#include "meta/row.h"

struct meta_set;
struct meta_view;
struct meta_iter;
struct meta_batch;

/* ---- Opening ------------------------------------------------------------------------------------------------------ */
struct meta_params {
	struct drive *drives[SUPER_MAX_SLOTS]; /* by place on the command line; NULL: could not be opened. The caller's, who
	                                        * closes them after the set; those of slots it borrows (see Drives) */
	unsigned n, m;                         /* drives and parity; K = n - m */
	uint16_t pool, set;
	unsigned log2_journal_file;            /* 26 */
	unsigned journal_files;                /* per drive, >= 4; 0: 16, at most 1/32 of the drive */
	uint64_t segment_size;                 /* 0: by the drive's size */
	unsigned spares;                       /* files of dead segments that each drive keeps for the next ones */
	uint32_t inline_max;                   /* 32 KiB */
	uint64_t memtable_bytes;               /* checkpoint above this: 512 MiB */
	uint64_t ordered_window_ns;            /* 5 s */
	uint64_t drive_timeout_ns;             /* 5 s */
	uint64_t checkpoint_idle_ns;           /* 60 s after the first row */
	uint64_t full_wait_ns;                 /* a writer waits so long for room in the journal: 5 s, 30 s while a checkpoint runs */
	uint64_t index_map_bytes;              /* LMDB map size: 1 TiB */
	bool queue_threads;                    /* no io_uring */
	bool read_only;                        /* fsck: R5' whatever drives there are, and nothing is written */
	bool no_background;                    /* tests: no threads; meta_tick and meta_checkpoint are called by hand */
	/* In sequence order, by the leader, right after the rows of the batch can be seen and before anyone is answered.
	 * It must not block and takes no lock above LOCK_NOTIFY. */
	void (*applied)(void *arg, struct meta_batch *b);
	/* The state changed in ways that no batch tells (recovery while serving): forget what was cached. */
	void (*reset)(void *arg);
	void *arg;
};

/* Blank drives: all of them are formatted as a new set (only when every drive is blank). Else R0..R9. Drives that do
 * not fit are refused, named in the log, and not written. ctx->detail names the cause of a failure and the cure. */
int meta_set_open(const struct meta_params *p, struct op_ctx *ctx, struct meta_set **ret) WARN_UNUSED;
/* Clean stop: waits for what was submitted, checkpoints, closes. Returns NULL; or the set, when drives hang: what they were
 * given last has not returned within the drive timeout, and needs it. It has let go of everything else then: of all drives
 * that have no I/O under way (drive_users), of the index copies. It may be closed again, to see whether they answer now. */
struct meta_set *meta_set_close(struct meta_set *s) WARN_UNUSED;
/* As kill -9 would leave it (tests): nothing is written any more. */
struct meta_set *meta_set_kill(struct meta_set *s);
const uint8_t *meta_deployment_id(const struct meta_set *s);
/* Where new blobs go. Held: erasure_set_unhold it. Another one takes its place when the set is revived. */
struct erasure_set *meta_erasure_hold(struct meta_set *s);
/* False: a segment of that epoch is from before the set was revived. What was written to it and not committed is refused with
 * -QE_QUORUM_WRITE; who still wants its bytes reads them (erasure_segment_add makes it known) and writes them anew. */
bool meta_epoch_taken(struct meta_set *s, uint64_t epoch);
uint32_t meta_inline_max(const struct meta_set *s);

/* ---- Views -------------------------------------------------------------------------------------------------------- */
struct meta_row {
	struct str key;    /* without the table */
	struct str body;   /* of the row, without its envelope; pieces are joined */
	uint64_t seq;      /* of the row; of the tombstone when absent but still remembered; else 0 */
};

/* One consistent state, the newest that is applied. Cheap. At most 1 s; used by one thread at a time. Everything that
 * it returned is valid until it is closed. */
int meta_view_open(struct meta_set *s, struct meta_view **ret) WARN_UNUSED;
void meta_view_close(struct meta_view *v);                /* accepts NULL */
static inline void meta_view_closep(struct meta_view **v)
{
	meta_view_close(*v);
}
#define CLEANUP_VIEW CLEANUP(meta_view_closep)
uint64_t meta_view_seq(const struct meta_view *v);
/* The highest sequence of rows and tombstones that this view was asked about so far. What left the machine because of
 * it waits for meta_durable_seq to reach this (meta_wait). */
uint64_t meta_view_consulted(const struct meta_view *v);
/* 1 found, 0 absent (ret->seq is set all the same, body empty), < 0 error. */
int meta_get(struct meta_view *v, enum meta_table t, const void *key, size_t klen, struct meta_row *ret) WARN_UNUSED;
int meta_get_k(struct meta_view *v, enum meta_table t, const struct meta_key *k, struct meta_row *ret) WARN_UNUSED;
/* Live rows of a table in key order from the first key >= from. Closed before its view. A row is valid until next/seek. */
int meta_iter_open(struct meta_view *v, enum meta_table t, struct meta_iter **ret) WARN_UNUSED;
void meta_iter_close(struct meta_iter *it);
int meta_iter_seek(struct meta_iter *it, const void *from, size_t flen, struct meta_row *ret) WARN_UNUSED; /* 1, 0 end, < 0 */
int meta_iter_next(struct meta_iter *it, struct meta_row *ret) WARN_UNUSED;

/* Bytes of a blob wherever they are now: the memtable (its payload is still in the journal) or the drives; verified.
 * flags: DRIVE_NOWAIT -> -EAGAIN instead of blocking. */
int meta_blob_read(struct meta_view *v, uint64_t blob, uint64_t start, size_t len, void *dst, unsigned flags) WARN_UNUSED;
/* The same with the decoded row at hand. */
int meta_blob_read_row(struct meta_view *v, uint64_t blob, const struct row_blob *r, uint64_t start, size_t len, void *dst,
		       unsigned flags) WARN_UNUSED;
/* Blob content may be read without a view that stays open: opens a fresh one inside for each call. The blob must be
 * referenced for as long. */
int meta_blob_read_now(struct meta_set *s, uint64_t blob, uint64_t start, size_t len, void *dst, unsigned flags) WARN_UNUSED;

/* ---- Batches ------------------------------------------------------------------------------------------------------ */
enum meta_promise { META_ORDERED = 0, META_DURABLE = 1 };
#define META_BATCH_MAX (8u << 20)

typedef void (*meta_done_fn)(void *arg, struct meta_batch *b, int rc);

uint64_t meta_new_id(struct meta_set *s); /* any kind of id; never returned twice */

/* The batch belongs to the caller until submit, and again from its done call on. Errors of building are sticky and
 * come back from submit's done. view: the state that the decisions were made on (only its sequence is kept). */
struct meta_batch *meta_batch_new(struct meta_set *s, enum meta_promise promise, enum op_origin origin);
void meta_batch_free(struct meta_batch *b); /* accepts NULL */
void meta_batch_reset(struct meta_batch *b);            /* empty again, payload kept (see meta_batch_payload) */
void meta_batch_view(struct meta_batch *b, const struct meta_view *v); /* call once, before expect */
/* Relied on: the row as meta_get returned it (present or absent). */
void meta_batch_expect(struct meta_batch *b, enum meta_table t, const struct meta_key *k, const struct meta_row *seen,
		       bool present);
/* stamp_off: offset in body of an 8 byte mtime that becomes max(its value, the commit time); 0: none. */
void meta_batch_put(struct meta_batch *b, enum meta_table t, const struct meta_key *k, struct str body, uint16_t stamp_off);
void meta_batch_del(struct meta_batch *b, enum meta_table t, const struct meta_key *k);
/* What the batch itself does to a row, the last word of several: 1 it puts *ret_body (valid until the next change of the
 * batch), 0 it deletes it, -ENOENT nothing. For absolute rows that one batch may count in twice. Looks through the batch. */
int meta_batch_pending(const struct meta_batch *b, enum meta_table t, const struct meta_key *k, struct str *ret_body) WARN_UNUSED;

/* Counter changes. Every row that a delta may touch is given as it was seen (`seen`): the directory, and each ancestor up
 * to the bucket's root. The sequencer adds to the newest row; when a directory's shown state (explicit or live > 0)
 * changes it carries live +-1 to the parent, and when an implicit directory ends with children = 0 it deletes its dir row
 * and its entry row and takes 1 from the parent's children, upwards. -QE_CONFLICT when a needed row was not given or has
 * been deleted. */
void meta_batch_dir_seen(struct meta_batch *b, uint64_t dir, const struct meta_row *seen);
void meta_batch_dir_delta(struct meta_batch *b, uint64_t dir, int live, int children, int locked, int uploads);
void meta_batch_usage_delta(struct meta_batch *b, uint64_t bucket, const struct meta_row *seen, const struct row_usage *delta); /* fields as signed */
/* References of a blob: when they reach 0 the row and its bsum rows are deleted, a reclaim row is put, and the live bytes
 * of its segment fall. seen: the blob's row. */
void meta_batch_blob_ref(struct meta_batch *b, uint64_t blob, const struct meta_row *seen, int delta);
/* A new directory or blob row is put with meta_batch_put; deltas of the same batch on it come after. A put does not
 * carry anything to the parent: who makes or changes a directory that is explicit gives the parent's live and children as
 * deltas; of an implicit one only the parent's children (live follows from the delta on the directory itself). A delta of
 * zeros makes the sequencer look whether the directory ends. A delta of live or children sets the directory's mtime and
 * ctime to the commit time. */

/* Room for inline payload in the batch, 8-byte aligned, <= inline_max unless alone; the caller fills it before submit
 * (straight from the socket). Kept over meta_batch_reset. The blob row (place journal, refs, checksums of 4 KiB blocks)
 * is put by meta_batch_blob_inline, which fills seq and payload_off. One batch may hold several blobs. */
void *meta_batch_payload(struct meta_batch *b, size_t len);
void meta_batch_blob_inline(struct meta_batch *b, uint64_t blob, const void *payload, uint32_t len, uint32_t refs);
/* A blob that an erasure_writer made: puts its blob, bsum and segment rows, lists its stripes. Takes over *eb. */
void meta_batch_blob_large(struct meta_batch *b, uint64_t blob, struct erasure_blob *eb, uint32_t refs);
int meta_batch_err(const struct meta_batch *b);

/* For the object layer: what the batch is about; seen by the `applied` hook. Never touched by meta. */
void meta_batch_set_user(struct meta_batch *b, void *user);
void *meta_batch_user(const struct meta_batch *b);
/* After a good answer, and in the applied hook: */
uint64_t meta_batch_seq(const struct meta_batch *b);
uint64_t meta_batch_time(const struct meta_batch *b); /* the commit time that stamps got (wall ns) */

/* Queues the batch; done runs exactly once, on whichever thread leads, perhaps before submit returns. done must be
 * quick and must not wait; it may submit. Nothing moves until somebody calls meta_drive. */
void meta_submit(struct meta_batch *b, meta_done_fn done, void *arg);
/* Submits and waits, leading when the writer is free. For threads that may block. 0 or the batch's error. */
int meta_commit(struct meta_batch *b) WARN_UNUSED;
/* Leads if the writer is free: does all that can be done without waiting, and returns. Event loops call it after each
 * turn and whenever meta_event_fd is readable. */
void meta_drive(struct meta_set *s);
int meta_event_fd(struct meta_set *s);
/* Tells meta that an event loop calls meta_drive: then completions need no thread of its own. */
void meta_attach_loop(struct meta_set *s, bool attached);

/* ---- Watermark ---------------------------------------------------------------------------------------------------- */
uint64_t meta_durable_seq(const struct meta_set *s);   /* one atomic load */
uint64_t meta_applied_seq(const struct meta_set *s);
struct meta_waiter {
	struct list node;
	uint64_t seq;
	void (*done)(struct meta_waiter *w, int rc);    /* rc: 0, or -QE_UNKNOWN_OUTCOME when the set fell below W */
	int rc;                                         /* meta's */
};
/* Sequences of what was seen mean nothing any more when the set has fallen below W since, and the drives that came back did not
 * keep them (meta_set_revive): such a one is lost. Nobody may answer with what it stands for. */
bool meta_seq_lost(struct meta_set *s, uint64_t seq);
/* It is durable, and is not lost. */
static inline bool meta_seq_durable(struct meta_set *s, uint64_t seq)
{
	return meta_durable_seq(s) >= seq && !meta_seq_lost(s, seq);
}
/* What to wait for after both were consulted: the higher one, or one that is lost. */
uint64_t meta_seq_both(struct meta_set *s, uint64_t a, uint64_t b);
/* done when durable_seq >= seq; starts a flush when none runs. True: it is already (done is not called). False: done
 * runs once, on whichever thread leads, perhaps before this returns. */
bool meta_wait(struct meta_set *s, uint64_t seq, struct meta_waiter *w) WARN_UNUSED;
int meta_wait_blocking(struct meta_set *s, uint64_t seq) WARN_UNUSED;
int meta_sync(struct meta_set *s) WARN_UNUSED;         /* everything submitted before is durable on return */

/* ---- Drives --------------------------------------------------------------------------------------------------------
 * Whoever opened a drive owns it and closes it. The set has it, as that of a slot, until it is closed or gives it back by
 * meta_slot_release: nobody else may close it meanwhile. */
struct drive *meta_drive_of(struct meta_set *s, unsigned slot); /* held: drive_unhold it; NULL: absent */
/* Gives back the drive of a slot that is out: nothing in the set uses it any more, no file or index of it is open, and all
 * I/O that was issued to it has returned. *ret_old NULL: it had none. -EBUSY: not yet, call it again; -EINVAL: the slot
 * takes part (`in` or `joining`) in a set that writes. */
int meta_slot_release(struct meta_set *s, unsigned slot, struct drive **ret_old) WARN_UNUSED;
/* Takes a drive into a slot that has none, while the set serves (STORAGE.md R10): one of this slot that comes back, or a
 * blank one, which is formatted. Blocks until the slot is `in`. -EBUSY: the slot has a drive. Else the drive is lent to the
 * set, also when it fails: then the slot is out as before, meta_slot_release gives the drive back, and it may be tried
 * again. Nothing is written to a drive that does not belong here. ctx->detail names the cause. -QE_QUORUM_WRITE: the set
 * does not write; -QE_DRIVE_FOREIGN, -QE_DRIVE_FORMAT, -QE_DRIVE_LOCKED; an error of the drive. One caller at a time. */
int meta_slot_join(struct meta_set *s, struct drive *d, unsigned slot, struct op_ctx *ctx) WARN_UNUSED;
/* An operator says that the drive of a slot, which is out of a set below its write quorum, is lost and will never be put back.
 * Each makes the write quorum one smaller, down to the data drives, until another drive is in at its slot; where that makes
 * enough of those that are left, meta_set_revive succeeds. Known to this process only. -QE_INVALID_REQUEST: the set
 * writes, the drive is there, or too few would be left to read; ctx->detail says so. */
int meta_slot_give_up(struct meta_set *s, unsigned slot, struct op_ctx *ctx) WARN_UNUSED;
/* Takes a drive that is `in` out, durably, for the reason given. -EINVAL: it is not; -QE_QUORUM_WRITE: too few would be
 * left (`force`: then the set stops writing); -QE_BUSY: its index copy is the only good one, until another is made. */
int meta_slot_remove(struct meta_set *s, unsigned slot, bool force, const char *why) WARN_UNUSED;
/* Why a slot is not `in`, as far as it is known; empty when nothing is wrong. */
void meta_slot_why(struct meta_set *s, unsigned slot, char *ret, size_t cap);

/* ---- The set writes again ------------------------------------------------------------------------------------------ */
/* The set is below W (meta_writable is false, from its start or since drives were lost) and drives have returned: R1 to R8
 * run beside what is served, with the drives that never failed and those of `drives` (opened; in any order; NULL: none) whose
 * slot has no drive any more. Then the state that the drives agree on is served in place of the old one, and writes are taken;
 * what the old one had behind it is gone, and the reset hook tells. Views that are open stay as they are. Blocks, one caller
 * at a time; on failure nothing has changed. Drives that were taken belong to the set as those of meta_params, and are NULL in
 * `drives` afterwards. 0 (also when the set can write); -QE_QUORUM_WRITE: too few drives, and others of R0 to R8. */
int meta_set_revive(struct meta_set *s, struct drive *drives[SUPER_MAX_SLOTS], struct op_ctx *ctx) WARN_UNUSED;

/* ---- State, for admin and tests ------------------------------------------------------------------------------------ */
struct meta_flush_time { uint64_t flushes, p50_us, p99_us; }; /* of the journal, on all drives, in a minute */
struct meta_stats {
	unsigned n, k, m, w;
	struct isr_body isr;
	/* As it is now: a drive that is absent or failed is ISR_OUT, while the list above stands still below W. */
	enum isr_state state[SUPER_MAX_SLOTS];
	bool writable, has_loop;
	uint64_t epoch, applied_seq, durable_seq, checkpoint_seq;
	uint64_t records, batches, rejected, flush_rounds, journal_bytes;   /* since start */
	struct meta_flush_time flush;
	uint64_t memtable_bytes, memtable_rows, frozen_bytes;
	unsigned journal_files, journal_free;
	uint64_t checkpoints, destaged_blobs, destaged_bytes;
	uint64_t checkpoint_rows, checkpoint_row_bytes, index_bytes; /* in all copies: rows written, their bytes, bytes written for them */
	bool checkpointing;
	uint64_t checkpoint_ended_ns, checkpoint_took_ns; /* of the newest: wall, duration; 0: none yet */
	uint64_t reclaimed_segments, reclaimed_bytes;     /* given back since start; bytes of the set, with parity */
	uint64_t degraded_reads, unavailable_blobs;
	unsigned missing_ranges, missing_of[SUPER_MAX_SLOTS]; /* all, and by slot */
	uint32_t full;                        /* slots: new segments are made without them */
	uint32_t index_bad; /* slots whose index copy was found bad, and is not struck yet */
};
void meta_stats(struct meta_set *s, struct meta_stats *ret);
bool meta_writable(const struct meta_set *s);
int meta_checkpoint(struct meta_set *s) WARN_UNUSED;   /* now, blocking */
void meta_tick(struct meta_set *s);                    /* tests without background threads */
/* Recounts directory, usage and blob counters from the rows; the number of differences, each written to ret (may be
 * NULL) as a line. step (may be NULL) is told now and then, and at the end, how many rows were looked at; false ends it:
 * -ECANCELED.
 * What object/ counts:
 *   dir     children: its entry rows (objects and directories; those behind continuation rows belong to the directory that
 *           the name begins in, continuation rows themselves do not count); live: objects + shown directories among them.
 *           The upload root of a bucket is such a directory; its entries are objects.
 *   usage   objects = versions: entries of objects below the bucket's root + explicit directories other than the roots;
 *           bytes = stored: obj.size of each of these (a linked file's once per name); uploads: upload rows; markers: 0
 *   blob    refs: extents in entry rows, dir markers, file rows, uparts and map runs that name it
 *   map     users: entry, dir, file and upart rows that name the map */
int meta_recount(struct meta_set *s, bool (*step)(void *arg, uint64_t rows), void *arg, struct buf *ret) WARN_UNUSED;

#endif
