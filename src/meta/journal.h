/* SPDX-License-Identifier: Apache-2.0
 *
 * The log files of a set: the same files on every drive, in lockstep (STORAGE.md section 3). A file is zero-filled before
 * it is used, gets its number by a rename that is durable before a record lies in it, and its header with the write of
 * its first record. A file whose records are no longer needed is free again and takes a higher number later; what it
 * holds of old never parses under the new one.
 *
 * The writer (who holds the set's writer lock) owns `used`, `cur` and `off`. `lock` guards the free files, which the
 * background thread makes ready ahead of time.
 */
#ifndef QUOIN_META_JOURNAL_H
#define QUOIN_META_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"
#include "drive/drive.h"
#include "drive/super.h"

#define JOURNAL_MIN_FILES 4

struct log_file {
	struct list node;
	uint64_t log;     /* the number that it serves or is going to serve as; 0: free, its name is an old one */
	uint64_t named;   /* the number in its name */
	struct drive_file *file[SUPER_MAX_SLOTS];
	uint64_t last_seq;
	uint32_t dirty;   /* slots with bytes written since the last sync began */
};

struct journal {
	struct drive *drive[SUPER_MAX_SLOTS];   /* by slot; NULL: out */
	unsigned n;
	uint64_t file_size;
	unsigned max_files;     /* changed by journal_exchange alone: by the writer, under lock */
	struct list used;       /* ascending; the last is cur */
	unsigned nused;
	struct log_file *cur;   /* NULL before the first */
	uint32_t off;           /* where the next record goes */
	struct mutex lock;      /* LOCK_QUEUE */
	struct list free;       /* under lock, as all below */
	unsigned nfree;
	struct log_file *ready; /* named for cur->log + 1 */
	bool preparing;         /* somebody is at it; `prepared` tells the end */
	struct cond prepared;
};

void journal_init(struct journal *j, unsigned n, unsigned log2_file, unsigned max_files);
void journal_done(struct journal *j); /* closes all files */
void journal_file_name(uint64_t log, char *ret, size_t cap);
/* A new, zero-filled file under its number. */
int journal_make_file(struct drive *d, uint64_t log, uint64_t size, struct drive_file **ret) WARN_UNUSED;
/* Files, drives and place of one for those of the other. Nobody may be making a file ready in either. */
void journal_exchange(struct journal *a, struct journal *b);
/* The drive takes part no longer. What is in flight on its files keeps its own references; a file that was being made ready
 * meanwhile may bring one back: called again until the drive has no users. */
void journal_drop_slot(struct journal *j, unsigned slot);

/* Another drive for a slot that was dropped: from now on files are made ready on it too. */
void journal_take_slot(struct journal *j, unsigned slot, struct drive *d);
/* The numbers of files, used or ready, that the slot has not: up to max. Under the writer's lock. */
unsigned journal_lacking(struct journal *j, unsigned slot, uint64_t *ret, unsigned max);
/* Its file of that number, if it still lacks it; takes a reference. Under the writer's lock. */
void journal_give(struct journal *j, unsigned slot, uint64_t log, struct drive_file *f);

/* Free files that only what frees space may take: a checkpoint of all the others must fit into them. */
unsigned journal_reserve(struct journal *j);
uint64_t journal_most(struct journal *j);   /* bytes of all files that it may have */
uint64_t journal_unmade(struct journal *j); /* bytes of those that it may still make */
unsigned journal_room(struct journal *j);   /* files that could still be rolled into: free ones and those not made yet */
/* Makes a file ready for the number next, unless one is or that number is in use already (it was asked for ahead, and the
 * writer was faster). A slot that fails is put into *ret_failed and has no file.
 * 0, or -QE_FULL: every file is in use. May do I/O on all drives: ahead of time from the background thread. */
int journal_prepare(struct journal *j, uint64_t next, uint32_t *ret_failed) WARN_UNUSED;
/* cur becomes the prepared file. */
void journal_roll(struct journal *j);
/* Frees the used files before log. Their records are in every index copy. */
void journal_recycle(struct journal *j, uint64_t log);
/* Does a record of len bytes fit behind the last one? */
static inline bool journal_fits(const struct journal *j, uint32_t len)
{
	return j->cur && (uint64_t)j->off + len <= j->file_size;
}

#endif
