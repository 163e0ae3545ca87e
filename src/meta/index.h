/* SPDX-License-Identifier: Apache-2.0
 *
 * One copy of the index: an LMDB environment in DIR/index of a drive, the journal applied up to `position`. A named
 * database per table; values are rows with their envelope; rows above 1.5 KiB continue in `piece` rows. Per table the
 * count and the 128-bit sum of STORAGE.md section 6 are kept in `meta`.
 *
 * A damaged copy (bad page, bad row, SIGBUS) is reported once by on_bad and answers -QE_CORRUPT from then on.
 * All that reads may answer -QE_DRIVE_TIMEOUT (index_read_through).
 */
#ifndef QUOIN_META_INDEX_H
#define QUOIN_META_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/macros.h"
#include "base/str.h"
#include "meta/memtable.h"
#include "meta/tables.h"

struct drive_file;
struct index;
struct index_txn;
struct index_cursor;

/* drive_path: of the directory that the drive is (drive_dir_path), not the one that it was opened by: another drive may stand
 * there by now. create: makes an empty copy when the directory has none. 0, -ENOENT, -QE_CORRUPT, -QE_DRIVE_FORMAT (newer), -errno.
 * The drive must be locked by this process: lock.mdb is removed, and not made: readers are noted
 * in memory. One open copy of a directory at a time. */
int index_open(const char *drive_path, uint64_t map_bytes, bool create, struct index **ret) WARN_UNUSED;
/* The same for who only looks: nothing is made, removed or written, and no other process may have it open. */
int index_open_read(const char *drive_path, uint64_t map_bytes, struct index **ret) WARN_UNUSED;
struct index *index_close(struct index *ix); /* its transactions must be closed; accepts NULL */
/* fn runs once, on any thread, perhaps under LOCK_PUBLISH: it sets a flag or wakes somebody and takes no lock above
 * LOCK_NOTIFY. */
void index_on_bad(struct index *ix, void (*fn)(void *arg, const char *why), void *arg);
bool index_is_bad(const struct index *ix);
#define INDEX_DATA_FILE "index/data.mdb"
/* Before anybody reads: pages that are not in memory come by bounded calls of the drive, f being the data file. A reference is
 * taken over. When the drive is out what needs such a page is answered -QE_DRIVE_TIMEOUT; the copy is no worse for it. */
void index_read_through(struct index *ix, struct drive_file *f);
bool index_is_doubtful(const struct index *ix);       /* its drive is out: read it only when there is no other */
uint64_t index_position(const struct index *ix);      /* sequence up to which the journal is applied */

/* A read transaction; reusable ones are pooled. */
int index_txn_open(struct index *ix, struct index_txn **ret) WARN_UNUSED;
void index_txn_close(struct index_txn *t);
/* 1 and the whole row (envelope and body; copied to the arena, joined when it had pieces; crc checked), 0 absent, < 0.
 * 0 is sure as far as pages can tell (index_tree.c). */
int index_get(struct index_txn *t, unsigned table, struct str key, struct arena *a, struct str *ret_row, uint64_t *ret_seq) WARN_UNUSED;
int index_cursor_open(struct index_txn *t, unsigned table, struct index_cursor **ret) WARN_UNUSED;
void index_cursor_close(struct index_cursor *c);
/* ret->deleted is never set. 1, 0 at the end of the table, < 0. */
int index_seek(struct index_cursor *c, struct str from, struct arena *a, struct memtable_row *ret) WARN_UNUSED;
int index_next(struct index_cursor *c, struct arena *a, struct memtable_row *ret) WARN_UNUSED;

struct index_applied {
	uint64_t rows, row_bytes; /* changed rows; keys and values of those put */
	uint64_t written_bytes;   /* by this thread, which is where LMDB writes */
};
/* Applies every newest row of the memtable with seq <= upto in key order, in transactions of at most about 2,000 dirty
 * pages, then syncs, then sets the position to upto (synced too). pause() is called between transactions. Rows older
 * than what the copy has are skipped. For a checkpoint upto is publish_frozen_to(), which may
 * be more than the last row's seq. *ret is set on failure too, to what was done by then. -QE_FULL: the map or the drive; a failed flush makes the copy bad. */
int index_apply(struct index *ix, const struct memtable *m, uint64_t upto, void (*pause)(void *arg), void *arg,
		struct index_applied *ret) WARN_UNUSED;
struct index_sum { uint64_t rows; uint8_t sum[16]; };
int index_sums(struct index *ix, struct index_sum ret[TABLE_END]) WARN_UNUSED;      /* as kept */
/* From the rows; what LMDB keeps for itself is checked as well. Nobody writes meanwhile. */
int index_recount(struct index *ix, struct index_sum ret[TABLE_END]) WARN_UNUSED;
/* Grows while the two around this get further, from any thread. */
uint64_t index_progress(const struct index *ix);
/* The rows of one table are what its sum says, or the copy is bad. */
int index_check_table(struct index *ix, unsigned table) WARN_UNUSED;

#endif
