/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of a set share.
 *
 *   set.c         opening, the background threads, stats
 *   close.c       closing
 *   format.c      blank drives become a set; drives find their slots
 *   recovery*.c   R0 to R9
 *   batch.c       building a batch
 *   sequencer.c   ordering: read sets, deltas, stamps; a group becomes a record's body
 *   writer.c      the leader's state machine; record_io.c: records and flush rounds on drives
 *   answer.c      done calls, waiters of the watermark, blocking callers
 *   isr.c         drives that leave; the set below W
 *   slot.c        the drive object of a slot: who has it, giving it back
 *   revive.c      the set writes again: R1 to R8 while it serves (Q4)
 *   checkpoint.c, destage.c, payload.c; index_bounded.c, index_look.c: an index copy whose drive hangs; pack.c: small blobs into packed stripes
 *   reclaim.c, punch.c, compact.c   space of what is deleted comes back
 *   space.c       what is kept free, so that deletes always work
 *
 * Who guards what: (W) the writer lock, held by the leader; (Q) queue_lock; (A) answer_lock; (C) checkpoint_lock;
 * (D) drives_lock; (atomic); nothing: constant after open.
 */
#ifndef QUOIN_META_SET_INTERNAL_H
#define QUOIN_META_SET_INTERNAL_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/latency.h"
#include "base/list.h"
#include "base/lock.h"
#include "drive/identity.h"
#include "meta/envelope.h"
#include "meta/heal.h"
#include "meta/index.h"
#include "meta/journal.h"
#include "meta/memtable.h"
#include "meta/meta.h"
#include "meta/record.h"
#include "meta/view_internal.h"

#define GROUP_BYTES (4u << 20)
#define LARGE_INLINE_MAX 65536u   /* a blob above this is never inline */

/* ---- Batches ------------------------------------------------------------------------------------------------------ */
struct vec {                      /* of anything: a growing array */
	void *p;
	unsigned n, cap;
};
void *vec_push(struct vec *v, size_t size); /* zeroed; NULL: no memory */
void vec_free(struct vec *v);
#define VEC_AT(v, type, i) (&((type *)(v)->p)[i])

struct batch_expect { uint64_t seq; uint32_t key_off; uint16_t klen; uint8_t table; bool present; };
struct batch_seen { uint64_t id, seq; uint32_t off, len; uint8_t table; bool present; };
struct batch_dir { uint64_t dir; int live, children, locked, uploads; };
struct batch_usage { uint64_t bucket; struct row_usage delta; };
struct batch_ref { uint64_t blob; int delta; };
struct batch_inline { uint64_t blob; uint32_t chunk, off, len, refs; uint32_t crc[LARGE_INLINE_MAX / 4096]; };
struct batch_segment { struct segment_info info; int64_t live; uint32_t end_4k; }; /* named, or its state changes */

/* Inline payload of a batch: the bytes that go into the memtable. The block tells where they lie in the record. */
struct payload {
	uint64_t inline_off;
	size_t len;
	uint8_t pad[48];
	uint8_t data[];           /* 64-byte aligned */
};
struct payload *payload_new(size_t len);
void payload_release(void *data); /* of memtable_payload_add */
static inline struct payload *payload_of(const void *data)
{
	return CONTAINER_OF(data, struct payload, data);
}

enum batch_kind {                 /* what record it becomes */
	BATCH_GROUP = 0,
	BATCH_BARRIER,            /* none: answered as durable when all before it is */
	BATCH_PAD, BATCH_CKPT,    /* of their own; durable */
	BATCH_ISR, BATCH_EPOCH    /* the batch inside */
};

struct meta_batch {
	struct list node;
	struct meta_set *set;
	enum batch_kind kind;
	uint8_t promise, origin;
	bool internal;            /* freed by its answer when it has no done */
	bool has_view, deletes, puts;
	int err;                  /* sticky */
	uint64_t view_seq;
	struct buf ops;           /* as in the record, envelopes not sealed; the sequencer appends what it emits */
	unsigned nops;
	struct buf bytes;         /* keys of expects, bodies of seen rows */
	struct vec expects, seen, dirs, usages, refs, inlines, segments, stamps; /* stamps: uint32_t places in ops */
	struct vec blobs;         /* struct erasure_blob: their stripes are listed */
	struct vec chunks;        /* struct payload *: several only until the sequencer joins them */
	struct record_ckpt ckpt;
	/* Filled by the sequencer: */
	uint64_t seq, time, inline_off;
	bool missing;             /* has missing rows */
	bool unflushed;           /* lists stripes whose cells are not flushed everywhere */
	/* The caller's. */
	meta_done_fn done;
	void *arg, *user;
	int rc;
};
size_t batch_payload_len(const struct meta_batch *b);
size_t batch_estimate(const struct meta_batch *b); /* body bytes, at least */
struct payload *batch_payload_join(struct meta_batch *b); /* one block, 8-byte aligned blobs; NULL: none or no memory */
void batch_op(struct meta_batch *b, unsigned table, struct str key, bool del, struct str body);
/* end_4k: where the cells that the batch names end, 0: none. */
void batch_segment(struct meta_batch *b, const struct segment_info *info, int64_t live, uint32_t end_4k);
void batch_take_blob(struct meta_batch *b, struct erasure_blob *eb); /* lists its stripes; takes over *eb */
void batch_missing(struct meta_batch *b, unsigned slot, uint64_t segment, uint32_t from_4k, uint8_t reason);
void batch_seal(struct meta_batch *b);                     /* stamps and seals every row; seq and time are set */
void batch_encode(struct meta_set *s, struct buf *body, const struct meta_batch *b);

/* ---- The sequencer (W) -------------------------------------------------------------------------------------------- */
struct segment_known {
	struct hash_node node;
	struct segment_info info;
	bool known;               /* has a row */
	struct meta_batch *carrier; /* the batch of this group that puts its row */
};
struct row_state;
struct group {
	struct meta_set *s;
	struct list accepted;     /* struct meta_batch */
	unsigned n;
	uint64_t first_seq;
	size_t body, payload;     /* estimates so far, padded payload so far */
	struct arena arena;
	struct row_state **table; /* open addressing over rows touched in this group */
	size_t mask, count;
	struct vec undo;          /* of the batch being added */
	struct vec touched;       /* struct segment_known * */
};
void group_init(struct group *g, struct meta_set *s);
void group_done(struct group *g);
void group_begin(struct group *g, uint64_t first_seq);
/* Orders b behind those before, or -QE_CONFLICT, ...: then nothing has changed. */
int group_add(struct group *g, struct meta_batch *b) WARN_UNUSED;
/* What the set knows of a segment; known: from its row. (W) */
int segment_row_state(struct meta_set *s, uint64_t id); /* enum segment_state; -ENOENT: no row names it */
void segment_forget(struct meta_set *s, uint64_t id);
struct segment_known *segment_note(struct meta_set *s, const struct segment_info *info, bool known);
/* All rows are sealed; appends the batches (not the crcs of payload cells). */
void group_finish(struct group *g, struct buf *body);

/* ---- Writing (W) -------------------------------------------------------------------------------------------------- */
struct slot_io {
	struct drive_io io;
	void *owner;              /* struct wrec or struct round */
	unsigned slot;
	bool joins;               /* a record for a joining slot */
	struct erasure_flush ef;  /* round: of a segment; file NULL: of a log */
	struct list node;
};
struct wrec {                     /* a record on its way */
	struct list node;
	struct record_head head;
	struct list batches;
	uint64_t last_seq;
	bool control;             /* may use the reserve */
	struct meta_set *s;
	struct log_file *log;
	uint32_t off;             /* of the write, the file's header included */
	bool dsync;               /* flushed when it has returned */
	uint64_t begun_ns;        /* then: mono, of its submit */
	uint32_t waiting;         /* `in` slots that have not returned */
	unsigned inflight;
	bool detached;            /* freed when nothing is in flight */
	uint8_t *buf[SUPER_MAX_SLOTS];
	size_t cap[SUPER_MAX_SLOTS];
	size_t len;               /* bytes of each write */
	struct slot_io io[SUPER_MAX_SLOTS];
};
struct flush_time {
	struct latency running;
	uint64_t since_ns;        /* mono; 0: none yet */
	struct meta_flush_time told; /* of the window before */
};
struct round {                    /* one fdatasync of everything unflushed, on all `in` drives */
	uint64_t seq;             /* all up to here is covered */
	uint64_t begun_ns;
	uint32_t waiting;         /* slots with a sync that has not returned */
	unsigned pending[SUPER_MAX_SLOTS];
	unsigned inflight;
	bool detached;
	bool partial;             /* more segment files wait than one round takes */
	struct list ios;          /* struct slot_io */
	struct meta_set *s;
	struct erasure_set *erasure; /* held: what was begun there ends there */
};

#define SLOT_WHY_MAX 320

struct set_slot {
	struct meta_set *set;
	struct drive *d;          /* NULL: absent or refused; changed under (C), (W) and (D), read under one of them */
	struct identity id;
	struct super super;       /* (C) as on the drive */
	bool has_super;
	bool counts;              /* R1 */
	bool io_lost;             /* recovery: a promise or a settle failed */
	bool index_checked, index_whole; /* recovery: of a copy that the ISR does not call good */
	char why[SLOT_WHY_MAX];   /* (D) why it left or cannot come back; empty: nothing is wrong */
	struct index *index;      /* NULL: none; changed under (C) and (W), read under one of them */
	bool index_lent;          /* revive.c: of the state that still serves; never closed here */
};

/* Sequences behind `after` up to `last` that were handed out and then dropped: no row carries one, and none is used again. */
struct stale_range { uint64_t after, last; };
struct damage_item {
	uint64_t segment, blob;   /* blob: of a large stripe, else 0 */
	uint32_t from_4k, to_4k;
};
struct damage {                   /* what reads met, oldest first */
	struct damage_item item[META_DAMAGE_MAX];
	unsigned first, n;
	struct meta_damage_stats st;
};

struct waiting_thread;

struct meta_set {
	struct meta_params p;
	unsigned n, k, m, r, ncell;
	unsigned w;               /* (W); atomic for who only looks */
	uint32_t given_up;        /* (W) slots whose drives an operator says are lost; until another one is in */
	uint8_t deployment[16], boot[16];
	struct set_slot slot[SUPER_MAX_SLOTS];
	struct erasure_set *erasure;
	struct drive_queue *queue;
	struct drive_queue *lane; /* for plain writes of records; NULL: they are done in place */
	struct publish pub;

	struct mutex writer;      /* LOCK_WRITER */
	struct journal journal;   /* (W) */
	struct isr_body isr;      /* (W) newest built */
	uint32_t in_mask;         /* (W) of it */
	uint32_t fail_mask;       /* (W) `in` slots that failed and are to be removed */
	bool joining;             /* atomic; set under (C): a drive is taken in, no checkpoint runs */
	bool join_ends;           /* atomic: the journal needs room, the drive is given up */
	uint32_t join_mask;       /* (W) the slot that gets all records and cells without being waited for (R10); 0: none */
	unsigned join_inflight;   /* (W) records on their way to it, or to one that was given up */
	struct round *join_round; /* (W) its own flush */
	struct vec join_born;     /* (W) uint64_t: segments that it has from their first cell on, with a `missing` row until `in` */
	uint64_t isr_pending;     /* (W) Q2: sequence of an ISR or EPOCH record not flushed on all its members; 0: none */
	uint64_t isr_epoch, isr_seq; /* (W) of the newest durable ISR body */
	struct isr_body isr_durable; /* (W) */
	uint64_t epoch;           /* atomic */
	uint64_t next_seq;        /* (W) */
	uint32_t head_crc;        /* (W) of the last record built */
	uint64_t last_wall_ns;    /* (W) commit times ascend */
	struct super_epoch history[SUPER_MAX_EPOCHS]; /* (W) newest first */
	unsigned nhistory;
	bool last_is_pad;         /* (W) */
	uint64_t last_record_ns;  /* (W) mono; of the last record that was no PAD */
	uint64_t dirty_since_ns;  /* (W) mono; oldest record that no flush covers; 0: none */
	bool cells_dirty;         /* (W) named cells are not flushed */
	bool flush_wanted;        /* (W) */
	struct list unapplied;    /* (W) struct wrec: built, in order */
	struct list barriers;     /* (W) batches that wait for what is built */
	bool freezing;            /* (W) a checkpoint waits for the end of a record */
	bool full;                /* (W) something waits for room in the journal */
	bool again;               /* atomic: somebody found the writer taken */
	uint32_t index_bad;       /* atomic: slots whose index copy is not good any more */
	struct round *round;      /* (W) */
	struct flush_time flush_time; /* (W) */
	struct list idle_wrecs;   /* (W) */
	struct buf body;          /* (W) */
	struct group group;       /* (W) */
	struct hash segments;     /* (W) struct segment_known */
	struct list wait_durable; /* (W) batches applied, in order */
	uint64_t full_since_ns;   /* (W) the journal has no room: since when */

	struct mutex queue_lock;  /* LOCK_SEQUENCER */
	struct list q_control, q_ordered, q_durable; /* (Q) */
	size_t q_bytes;           /* (Q) of q_durable, about */

	uint64_t durable_seq;     /* atomic; written by (W) */
	uint32_t slot_errors;     /* atomic: slots that somebody reported */
	bool writable;            /* atomic */
	bool killed;              /* atomic */
	bool has_loop;            /* atomic */
	uint64_t start_epoch;     /* of this process's first id; 0: it never wrote */
	uint64_t reign_epoch;     /* atomic; blobs in segments of epochs before it are not taken: recovery did not look at them */
	uint64_t durable_floor;   /* recovery: so much is durable, whatever is found; 0: not known */
	uint64_t next_id;         /* atomic: whole ids, of this epoch */
	uint64_t flush_upto;      /* atomic: the highest sequence waited for */

	struct vec stale;         /* (A) struct stale_range: of states that are gone */
	bool has_stale;           /* atomic */
	struct mutex answer_lock; /* LOCK_QUEUE */
	struct list answers;      /* (A) batches with rc */
	struct list due;          /* (A) struct meta_waiter with rc */
	struct list waiters;      /* (A) struct meta_waiter */
	bool answering;           /* (A) */
	struct list blocked;      /* (A) struct waiting_thread */
	bool pilot;               /* (A) a blocked thread waits for the queue's fd */
	int epfd, kick_fd;
	bool kicked;              /* atomic: kick_fd was written */

	struct mutex checkpoint_lock; /* LOCK_CHECKPOINT */
	uint64_t checkpoint_seq;  /* atomic */
	uint64_t punched_seq;     /* (C) what died up to here was looked at */
	struct super_start start; /* (C) the journal's */
	bool hold_checkpoint;     /* (C), atomic: unavailable payload in the journal */
	uint64_t memtable_first_ns; /* atomic: first row since the freeze, mono */
	struct super_start frozen_start; /* (C) */
	uint64_t frozen_seq;      /* (C) 0: nothing frozen */

	pthread_t journal_thread, checkpoint_thread;
	bool has_threads, has_checkpoint_thread, has_journal, has_publish;
	unsigned missing_ranges;  /* (W) open `missing` rows */
	struct mutex drives_lock; /* LOCK_DRIVE (D) */
	unsigned preparing;       /* (W) somebody is in journal_prepare without the lock */
	struct vec retired;       /* (C) struct erasure_set *: of states before, somebody still used them */
	bool checkpointing;       /* atomic: room in the journal is to be had soon */
	uint64_t rebuild_ns;      /* (W) mono; when a lacking index copy is worth a checkpoint */
	struct fsck *fsck;
	uint64_t space_total;     /* atomic: bytes of the smallest drive in sync; 0: not known yet */
	uint64_t space_free;      /* atomic: bytes of that which has least, of those that are not full alone */
	uint64_t space_look_ns;   /* mono: when to look again; of the checkpoint thread */
	bool space_low;           /* atomic: nothing is taken in but what frees space */
	bool stopping;            /* atomic; set under (B): nothing long begins, the checkpoint thread ends */
	bool stop;                /* (B) the journal thread ends */
	bool let_go;              /* meta_set_close has done all but to free it */
	bool bg_pending;          /* (B) */
	struct mutex bg_lock;     /* LOCK_QUEUE */
	struct cond bg_cond, ckpt_cond;
	struct mutex heal_lock;   /* LOCK_QUEUE: what follows */
	struct meta_heal_slot heal[SUPER_MAX_SLOTS];
	struct damage damage;
	unsigned healers;         /* atomic: between heal_begin and heal_end */
	struct meta_stats st;     /* atomic counters */
};

#define STAT_ADD(s, field, v) __atomic_fetch_add(&(s)->st.field, (v), __ATOMIC_RELAXED)

/* writer.c */
void writer_step(struct meta_set *s);   /* (W) all that can be done without waiting */
void writer_lead(struct meta_set *s);   /* takes the lock when it is free; answers are given by answers_run */
void writer_unlock(struct meta_set *s); /* for who took it otherwise: leads when somebody came meanwhile */
void apply_ops(struct meta_set *s, struct str ops, uint64_t seq, bool missing);

/* record_io.c (W) */
struct wrec *wrec_get(struct meta_set *s);
void wrec_put(struct meta_set *s, struct wrec *r);
void wrec_free(struct wrec *r);
/* Room for a record of len bytes, rolling when needed. 0, -QE_FULL. */
int record_place(struct meta_set *s, uint32_t len, bool control) WARN_UNUSED;
/* Builds the buffers from s->body (and the batches' payload) at the journal's end: the record exists from here on. */
int record_build(struct meta_set *s, struct wrec *r, enum record_type type, uint32_t nbatch, size_t payload) WARN_UNUSED;
void record_write_sync(struct meta_set *s, struct wrec *r);  /* plain writes, in place; failed slots go to fail_mask */
void record_submit(struct meta_set *s, struct wrec *r);      /* by RWF_DSYNC, or plain writes in the lane */
bool round_begin(struct meta_set *s);
void round_begin_joiner(struct meta_set *s); /* covers all that has returned from the joining slot: s->join_round */
void round_release(struct round **r); /* forgets it; it goes when its last sync has returned */
bool journal_dirty(const struct meta_set *s);
/* Slots with I/O submitted before that has not returned. */
uint32_t slots_overdue(const struct meta_set *s, uint64_t before_ns);

/* flush_time.c (W); begun, now: mono */
void flush_time_add(struct flush_time *t, uint64_t begun_ns, uint64_t now_ns);
void flush_time_tell(const struct flush_time *t, struct meta_flush_time *ret);

/* answer.c */
int events_open(struct meta_set *s) WARN_UNUSED;
void answer_batch(struct meta_set *s, struct meta_batch *b, int rc); /* done runs later, without locks */
void answer_waiters(struct meta_set *s, uint64_t durable, int rc);   /* rc < 0: all of them */
void answers_run(struct meta_set *s);
void lane_finished(void *arg);           /* of a set: leads */
void set_kick(struct meta_set *s);       /* somebody must lead: loop, blocked thread or background thread */
bool background_pilot(struct meta_set *s);

/* isr.c (W) */
uint32_t slots_in(const struct isr_body *isr);
/* The joining slot failed: it gets nothing more. */
void isr_joiner_fails(struct meta_set *s, const char *what, int rc); /* rc 0: what says it all */
void isr_write(struct meta_set *s, struct meta_batch *b); /* s->isr, with the batch, as a record */
bool isr_remove_failed(struct meta_set *s);
void isr_strike_index(struct meta_set *s, uint32_t slots);
void isr_index_good(struct meta_set *s, unsigned slot);
/* The newest ISR record built is flushed on all its members. */
void isr_is_durable(struct meta_set *s);
void isr_below_w(struct meta_set *s, const char *why);
/* Each key of a record in doubt is shown as before, by a row that waits for the record's sequence. The view: from before. */
int doubt_ops(struct meta_set *s, struct meta_view *v, struct str ops, uint64_t seq) WARN_UNUSED;
void doubt_unapplied(struct meta_set *s); /* the leader: what was built and is not applied */
void isr_abandon(struct meta_set *s);    /* everything that waits is answered with -QE_UNKNOWN_OUTCOME */
void isr_slot_error(void *arg, unsigned slot, int rc);

/* parallel.c */
/* fn for each slot of the mask at the same time; returns those for which it failed, one of their errors in *ret_rc (may be
 * NULL). */
uint32_t slots_parallel(uint32_t slots, int (*fn)(void *arg, unsigned slot), void *arg, int *ret_rc);

/* set.c; f: told by recovery what it found (fsck_internal.h), NULL: nobody */
struct fsck;
int set_open(const struct meta_params *p, struct fsck *f, struct op_ctx *ctx, struct meta_set **ret) WARN_UNUSED;

/* format.c */
/* Fills slots from the drives given, formatting blank ones. */
int drives_find(struct meta_set *s, struct op_ctx *ctx) WARN_UNUSED;
/* Fills the slots of s from s->p.drives with members of the set that `as` is, others are refused; nothing is written. */
void drives_find_again(struct meta_set *s, const struct meta_set *as);
/* R10: the identity of the drive fits the slot: into slot[].id. A blank drive is formatted for it; its journal has nothing
 * yet, so it does not count (`member` unset). */
int drive_identify(struct meta_set *s, unsigned slot, struct drive *d, struct op_ctx *ctx) WARN_UNUSED;

/* recovery.c */
bool super_fits(const struct meta_set *s, unsigned slot); /* slot[].super is one of this set, slot and drive */
int supers_find(struct meta_set *s, struct op_ctx *ctx) WARN_UNUSED; /* reads them, takes over what they tell */
int recovery_run(struct meta_set *s, struct op_ctx *ctx) WARN_UNUSED;
/* The superblock of each slot of the mask (C): fill takes the set's state (W), put writes; returns the slots that failed. */
void supers_fill(struct meta_set *s, uint32_t mask);
uint32_t supers_put(struct meta_set *s, uint32_t mask);
uint32_t supers_write(struct meta_set *s, uint32_t mask); /* both (W) */
int supers_save(struct meta_set *s) WARN_UNUSED;          /* of all `in` slots; those that fail leave, durably (C) */
void history_add(struct meta_set *s, const struct super_epoch *e);

/* index_rebuild.c */
/* The slots that have a copy of the index. M + 1 would leave one when M drives are gone; one more is for the time in which a
 * copy is made anew. Others are not needed, and each costs as much as the first. Other sets of a pool have theirs elsewhere. */
uint32_t index_homes(const struct meta_set *s);
bool index_is_whole(struct index *ix);
void index_watch(struct set_slot *slot);         /* reports it when it turns bad */
void index_rebuild_one(struct meta_set *s);      /* (C) */

/* index_bounded.c: (C) index_apply to the copy of the slot, paced. -QE_DRIVE_TIMEOUT: it was given up, *ix is NULL and not to
 * be closed; the slot's drive leaves. */
int index_apply_bounded(struct meta_set *s, unsigned slot, struct index **ix, struct memtable *m, uint64_t seq,
			struct index_applied *ret) WARN_UNUSED;

void index_hangs(struct meta_set *s, unsigned slot); /* its drive leaves, for that reason */

/* index_look.c: bounded, when the drive's calls are. -QE_DRIVE_TIMEOUT: it does not answer and is out. */
struct index_opening {
	uint64_t map_bytes;
	bool create, read;        /* read: as index_open_read */
};
int index_open_of(struct drive *d, const struct index_opening *how, struct index **ret) WARN_UNUSED;
/* fn's answer, 1 or 0; given up when it gets no further (index_progress): *ix is NULL then and not to be closed. */
int index_ask(struct drive *d, struct index **ix, bool (*fn)(struct index *ix)) WARN_UNUSED;
void index_close_of(struct drive *d, struct index *ix); /* accepts NULL */

/* checkpoint.c, destage.c */
int checkpoint_strike(struct meta_set *s, uint32_t slots) WARN_UNUSED;
int destage_run(struct meta_set *s) WARN_UNUSED;

/* iter.c: fn for a page of the table's rows from *from on, in a view of its own. 1: the next page begins at *from; 0: that was
 * the last, or fn returned > 0: it wants no more; or the first error of fn. */
typedef int (*rows_fn)(void *arg, const struct meta_row *row);
int rows_page(struct meta_set *s, enum meta_table t, struct meta_key *from, rows_fn fn, void *arg) WARN_UNUSED;

/* payload.c: 1 the blob's row, valid until the view is closed; 0: none. */
int blob_row_get(struct meta_view *v, uint64_t blob, struct row_blob *ret) WARN_UNUSED;
/* Checksums [first, first + n) of a blob, from its row or the runs behind it. */
int blob_crcs_get(struct meta_view *v, uint64_t blob, const struct row_blob *r, uint64_t first, unsigned n, uint32_t *ret) WARN_UNUSED;

/* heal_progress.c: what was counted before the start. */
void heal_progress_load(struct meta_set *s);

/* damage.c: a read had to do without cells of these stripes. blob: of a large one, else 0. */
void damage_note(struct meta_set *s, uint64_t segment, uint64_t blob, uint32_t from_4k, uint32_t to_4k);

/* reclaim.c */
void reclaim_run(struct meta_set *s);            /* (C) */
#define PUNCH_MIN_4K 64                          /* 256 KiB: smaller holes cost more than they give */
void punch_dead(struct meta_set *s);             /* punch.c (C) */
void slots_give_up(struct meta_set *s, uint32_t slots); /* (W) all that are given up from here on; W follows */
void reclaim_orphans(struct meta_set *s);        /* after a start, in place or not */
void reclaim_orphans_of(struct meta_set *s, struct drive *d);

/* space.c */
uint64_t space_reserve(void *arg, enum segment_class cls); /* of a set: erasure_params.reserve */
void space_look(struct meta_set *s);             /* by one thread, without locks */
/* A segment of which less than so much lives is worth compacting: the more, the less room there is. */
unsigned space_compact_percent(struct meta_set *s);
bool space_is_short(const struct meta_set *s);   /* less than an eighth is free */
static inline bool space_low(const struct meta_set *s)
{
	return __atomic_load_n(&s->space_low, __ATOMIC_RELAXED);
}

/* epoch.c */
static inline uint64_t id_epoch(uint64_t id)
{
	return id >> 40;
}
void ids_begin(struct meta_set *s, uint64_t epoch);
bool ids_low(const struct meta_set *s);
uint64_t set_new_id(void *arg);
int epoch_in_place(struct meta_set *s) WARN_UNUSED; /* (C) */

/* join.c */
/* Before a checkpoint: waits while a drive joins, unless the journal gets full; then the drive is given up. */
void join_gives_way(struct meta_set *s);
bool join_holds(struct meta_set *s); /* a drive joins, and there is room for that */

/* join_copy.c */
struct log_end {            /* of the last record built before the joining slot got them all */
	uint64_t log, seq;
	uint32_t off, crc;
};
/* Makes the retained logs of the slot equal to those of the `in` slots, up to `end`, which is durable; flushes them, reads
 * them back, and completes the payload cells that can be, on `in` slots too. (C) */
int join_copy(struct meta_set *s, unsigned slot, const struct log_end *end, struct op_ctx *ctx) WARN_UNUSED;

/* slot.c */
void slot_set_drive(struct meta_set *s, unsigned slot, struct drive *d); /* (C, W) */
/* (C) The copy of a slot, or one that is being made; takes (W). */
void index_set(struct meta_set *s, struct index **at, struct index *ix);
/* Keeps the first reason since the slot was well. */
void slot_note(struct meta_set *s, unsigned slot, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void slots_note(struct meta_set *s, uint32_t slots, const char *why);
void slots_note_failed(struct meta_set *s, uint32_t slots, const char *what); /* and the drive's last error */
/* "0,1,3", for who reads the log; "none". Returns its buffer. */
#define SLOTS_TEXT 48
const char *slots_text(uint32_t slots, char ret[SLOTS_TEXT]);
void slot_well(struct meta_set *s, unsigned slot);

/* writer.c */
/* Everything that was built is durable, and nothing new is built until s->freezing falls. Lets go of the lock while it waits. False:
 * the set does not write any more. (W) */
bool writer_rest(struct meta_set *s);
void writer_pause(struct meta_set *s); /* lets go of the lock for a moment (W) */

/* revive.c */
void retired_free(struct meta_set *s, bool wait); /* (C) */
void retired_detach(struct meta_set *s, unsigned slot); /* (C) */

/* set.c */
struct meta_set *set_alloc(const struct meta_params *p);
/* R1 to R8 with the drives that are in the slots. owner: the set that erasure calls back. */
int set_recover(struct meta_set *s, struct meta_set *owner, struct op_ctx *ctx) WARN_UNUSED;
void set_checkpoints_stop(struct meta_set *s); /* the thread that runs them; it begins nothing more */
void set_threads_stop(struct meta_set *s);     /* both */
void set_sealed(void *arg, const struct segment_info *info);

/* close.c */
void set_free(struct meta_set *s); /* waits for what is in flight */
/* As meta_set_close, but nothing more is written. */
struct meta_set *set_end(struct meta_set *s) WARN_UNUSED;

#endif
