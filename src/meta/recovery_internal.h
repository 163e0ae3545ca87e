/* SPDX-License-Identifier: Apache-2.0
 *
 * Recovery of a set at start (STORAGE.md section 4). An attempt runs R1 to R8 with the drives that are left; when one fails
 * on the way the attempt is given up and repeated without it, which only raises promises and writes equal bytes.
 *
 *   recovery.c         R1, R2, R4: who counts, the promise, the ISR and D
 *   recovery_scan.c    R3: the tree of records and the history in it
 *   recovery_window.c  reading ahead of it
 *   recovery_decide.c  R5, R5': the tail
 *   recovery_repair.c  R6: equal bytes on all drives that count
 *   recovery_epoch.c   R6: superblocks and EPOCH
 *   recovery_index.c   index copies: which are read
 *   recovery_replay.c  R8: the memtable
 */
#ifndef QUOIN_META_RECOVERY_INTERNAL_H
#define QUOIN_META_RECOVERY_INTERNAL_H

#include "meta/set_internal.h"

struct found_record {
	struct list node;         /* in recovery.records, in the order found: parents first */
	struct found_record *parent, *next; /* next: its successor on the history */
	struct record_head head;
	uint64_t log;
	uint32_t off;
	uint32_t copies;          /* slots with a valid head and body at its place */
	uint32_t cells_ok;        /* slots with a valid payload cell */
	bool history, unavailable;
	uint8_t *body;            /* kept when it is to be replayed or is an ISR or EPOCH; else NULL */
	uint8_t *payload;         /* K data cells, kept when to be replayed and K are valid */
};

struct found_file {
	uint64_t log;
	struct drive_file *f;
	bool head_ok;             /* its header is that of this drive and number */
	struct record_head first; /* of the record at LOG_HEAD_BYTES; len 0: none */
};

struct window_half { uint8_t *mem; uint32_t cap; };
struct window {
	uint64_t log;
	uint32_t off, len;        /* what buf holds; len 0: nothing */
	uint8_t *buf;             /* in half[turn] */
	bool absent;              /* no such file, or unreadable: reads as zeros */
	struct window_half half[2];
	unsigned turn;
	uint32_t ahead_off, ahead_len; /* read or being read into the other half, of the same file; len 0: nothing */
	bool now_pending, ahead_pending;
	struct drive_io now_io, ahead_io;
};

struct recovery {
	struct meta_set *s;
	struct op_ctx *ctx;
	struct drive_queue *queue; /* its reads */
	const bool *ends;         /* atomic; NULL: never. Nothing more is repaired once it is true */
	uint32_t counted;         /* R1, after R4 */
	bool read_only;
	struct super_start start;
	uint64_t root_epoch;      /* of the records at the start, when no EPOCH is behind it */
	uint64_t max_epoch;       /* seen anywhere */
	uint64_t epoch;           /* E */
	struct vec files[SUPER_MAX_SLOTS]; /* struct found_file, ascending */
	struct window win[SUPER_MAX_SLOTS];
	bool read_ahead;          /* what is read is read in order */
	struct list records;
	struct found_record *root, *head, *tail; /* root stands for what is before the start; tail: the last of the history */
	struct found_record *kept;               /* the last one kept (R5) */
	struct isr_body isr;      /* R4's */
	struct isr_body isr_root; /* in force at the start of the journal, as far as superblocks tell */
	struct isr_body isr_kept; /* in force at T */
	uint64_t isr_epoch, isr_seq;
	uint64_t durable;         /* D */
	uint64_t replay_from;     /* p */
	uint32_t index_ok;        /* slots whose copy will be read */
	unsigned unavailable;
	struct arena arena;
	struct vec missing;       /* struct found_missing: what EPOCH's batch puts */
};

struct found_missing {
	uint64_t segment;
	uint32_t from_4k;
	unsigned slot;
};

/* recovery.c */
/* Drives that fail count no more; true: there is one, and the attempt is repeated without it. */
bool recovery_lost(struct recovery *r, uint32_t slots, const char *what);
const struct super *super_newest(const struct meta_set *s, uint32_t slots); /* by its ISR; NULL: there is none */
static inline bool isr_newer(uint64_t ae, uint64_t as, uint64_t be, uint64_t bs)
{
	return ae > be || (ae == be && as > bs);
}

/* recovery_index.c */
int indexes_open(struct recovery *r); /* 0; 1: a drive that does not answer is lost */
/* Read is what the ISR calls good, or what was away, as far as the journal still reaches it. p: the lowest of their
 * positions. 1: a drive that does not answer is lost. */
int indexes_choose(struct recovery *r, const struct isr_body *isr);
void indexes_close_others(struct recovery *r);      /* they are made anew once the set serves (index_rebuild.c) */
int indexes_learn(struct recovery *r) WARN_UNUSED;  /* segments that stripes of (D, T] may lie in */

/* recovery_epoch.c; all return the slots that failed */
/* Before EPOCH: nothing of the coming epoch, and no D that only this start worked out (TRACES.md H32). */
uint32_t epoch_supers(struct recovery *r, uint32_t slots);
void epoch_history(struct recovery *r); /* the newest list of a superblock; epoch_begin adds what is behind that */
uint32_t epoch_begin(struct recovery *r, uint32_t slots);

/* recovery_scan.c */
int scan_files(struct recovery *r);             /* R3's settling; drives that fail lose io */
int scan_journals(struct recovery *r) WARN_UNUSED;
void scan_forget(struct recovery *r);            /* the records, for another scan */
void scan_done(struct recovery *r);
/* Opened by somebody else (takes a reference): what is read of it before the scan. */
int scan_add_file(struct recovery *r, unsigned slot, uint64_t log, struct drive_file *f) WARN_UNUSED;
struct found_file *scan_file(struct recovery *r, unsigned slot, uint64_t log);

/* recovery_window.c */
/* Brings the range into the windows of all slots of the mask, in parallel. */
void window_fetch(struct recovery *r, uint32_t slots, uint64_t log, uint32_t off, uint32_t len);
const uint8_t *window_at(const struct window *w, uint64_t log, uint32_t off, uint32_t len); /* NULL: not in it, or absent */
void windows_ahead(struct recovery *r, bool on); /* off: nothing is on its way any more */
void windows_forget(struct recovery *r);
void windows_free(struct recovery *r);
/* Bytes of a slot's file; NULL: absent. Valid until the next call for this slot. */
const uint8_t *scan_bytes(struct recovery *r, unsigned slot, uint64_t log, uint32_t off, uint32_t len);

/* recovery_scan.c again */
const uint8_t *record_body_of(struct recovery *r, struct found_record *f); /* NULL: no copy can be read any more */
/* All K + M payload cells, from those that are valid; false: fewer than K. cells: each cell_len, caller's. */
bool record_cells_of(struct recovery *r, const struct found_record *f, uint8_t *const cells[]);
static inline uint64_t found_last_seq(const struct found_record *f)
{
	return record_last_seq(&f->head);
}

/* recovery_decide.c */
int decide_tail(struct recovery *r) WARN_UNUSED;
void learn_rows(struct recovery *r, struct found_record *f); /* segments and missing rows of a record, for erasure */

/* recovery_repair.c: slots that are complete and flushed */
uint32_t repair_drives(struct recovery *r);
/* Up to and with `last`: copies of records and payload cells that the slots lack, unflushed. Returns the slots that failed;
 * *ret_written (may be NULL): those that something was written to. */
uint32_t repair_records(struct recovery *r, const struct found_record *last, uint32_t slots, uint32_t *ret_written);
int repair_zero_block(struct drive_file *f, uint32_t off); /* so that nothing begins there */
uint32_t journal_adopt(struct recovery *r, uint32_t slots); /* the writer takes over the files; slots that failed */

/* recovery_replay.c */
int replay(struct recovery *r) WARN_UNUSED;
/* The inline payload of a record into the memtable, which may have it already. (W) while the set serves. */
int replay_payloads(struct recovery *r, struct found_record *f) WARN_UNUSED;
int replay_doubt(struct recovery *r) WARN_UNUSED; /* R5' */
int load_segments(struct meta_set *s) WARN_UNUSED;

#endif
