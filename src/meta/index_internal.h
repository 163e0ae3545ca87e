/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside an index copy.
 *
 * LMDB writes and gives snapshots; rows are read by the tree walk of index_tree.c over a read-only mapping of our own.
 * LMDB trusts its pages: on a damaged one it answers "not found", asserts, or copies with a length from the page over
 * its heap. The walk believes nothing that it has not checked, and LMDB is let at a page to change it only after the
 * walk has been there.
 */
#ifndef QUOIN_META_INDEX_INTERNAL_H
#define QUOIN_META_INDEX_INTERNAL_H

#include <lmdb.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/lock.h"
#include "meta/envelope.h"
#include "meta/index.h"
#include "meta/row.h"

/* ---- Guard: SIGBUS and SIGSEGV inside fn, and LMDB's assertions, make it return -QE_CORRUPT ---- */
typedef int (*guard_fn)(void *arg);
/* Before the first call; again does no harm (somebody may have replaced the handlers). */
void guard_install(void);
/* fn must hold no lock and own no memory at the places where it may fault. Not nested. */
int guard_call(guard_fn fn, void *arg) WARN_UNUSED;
void guard_assert(MDB_env *env, const char *msg); /* for mdb_env_set_assert */

/* ---- Pages ---- */
#define TREE_DEPTH 16

struct pages {
	const uint8_t *map;
	size_t len;
	uint32_t size;             /* of a page */
	size_t bits_len;           /* of each of these: */
	_Atomic uint64_t *checked; /* bit per page: its inside was checked since the last commit */
	_Atomic uint64_t *free;    /* bit per page: it is free in the state of transaction free_txn */
	_Atomic uint64_t free_txn; /* UINT64_MAX: the bits are being made */
	_Atomic uint64_t *seen;    /* bit per page: it was in memory since seen_ns */
	_Atomic uint64_t seen_ns;
	struct drive_file *file;   /* referenced; NULL: pages come by faults */
	bool (*in_memory)(const uint8_t *page, size_t size); /* the kernel's word, but in tests */
};

/* index_page.c. Who reads a page that is not in memory waits in the kernel for the drive, for ever when that hangs. So before
 * a page is looked at it is read by a call that is given up. 0, -QE_CORRUPT, -QE_DRIVE_TIMEOUT. Of a page that was there
 * within the last second the kernel is not asked again: one that left the memory since still comes by a fault. */
int page_bring(const struct pages *px, uint64_t pgno) WARN_UNUSED;
bool page_in_memory(const uint8_t *page, size_t size);
void pages_cool(struct pages *px); /* from time to time: they are asked for again */

struct tree_root { /* as LMDB's record of a database has it */
	uint64_t page;
	unsigned depth; /* 0: empty */
	uint64_t txn;   /* whose state is read */
};

struct tree_level {
	const uint8_t *page;
	unsigned at, n; /* place and number of nodes */
};

struct tree {
	const struct pages *px;
	struct tree_root root;
	struct tree_level level[TREE_DEPTH]; /* 0: root, depth - 1: leaf */
};

/* All of these read the map: call them under guard_call. 1 found, 0 not, -QE_CORRUPT, -QE_DRIVE_TIMEOUT. */
/* At the first key >= key of its leaf, perhaps behind the last one of that leaf. *ret_exact (may be NULL). */
int tree_seek(struct tree *t, struct str key, bool *ret_exact) WARN_UNUSED;
/* Goes to the next leaf when behind the last key of one; 0: end of the tree. */
int tree_settle(struct tree *t) WARN_UNUSED;
int tree_next(struct tree *t) WARN_UNUSED;
int tree_item(const struct tree *t, struct str *ret_key, struct str *ret_value) WARN_UNUSED;
/* After tree_seek found nothing: that the key is absent and not hidden by damage. 0 or -QE_CORRUPT. */
int tree_check_absent(const struct tree *t, unsigned table, struct str key) WARN_UNUSED;
/* That LMDB may remove the item here: it may merge each page of the path with a neighbour. 0 or -QE_CORRUPT. */
int tree_check_neighbours(const struct tree *t) WARN_UNUSED;
/* LMDB's list of free pages, whole; notes them in px->free. */
int tree_check_free(const struct pages *px, const struct tree_root *root, uint64_t last_page) WARN_UNUSED;
int tree_root_of(struct str record, struct tree_root *ret) WARN_UNUSED;
void pages_forget(struct pages *px);      /* after a commit: what was checked */
void pages_forget_free(struct pages *px); /* before one: it may use them again */
/* Notes the pages that are free in the newest state. 0 or -QE_CORRUPT. Under guard_call. */
int pages_learn_free(struct pages *px) WARN_UNUSED;
/* What LMDB keeps for itself: both meta pages and the list of free pages, which is learned. While nobody writes. */
int pages_check_own(struct pages *px) WARN_UNUSED;

/* The root of the main database, which LMDB itself reads, is in memory. Under guard_call. */
int pages_bring_main(const struct pages *px) WARN_UNUSED;

/* The meta pages of a data file, checked before LMDB sees them. 0, -QE_CORRUPT, -errno. */
int pages_check_file(int fd) WARN_UNUSED;
/* Root of the free list, its transaction, and last page, of the newest meta page. Under guard_call. */
int pages_newest_meta(const struct pages *px, struct tree_root *ret_free, uint64_t *ret_last_page) WARN_UNUSED;

/* ---- The copy ---- */
struct index {
	MDB_env *env;
	MDB_dbi main, dbi[TABLE_END];
	struct pages pages;
	struct mutex lock; /* LOCK_POOL: idle, sums, on_bad */
	struct list idle;  /* index_txn */
	atomic_bool bad;
	void (*on_bad)(void *arg, const char *why);
	void *on_bad_arg;
	_Atomic uint64_t position;
	_Atomic uint64_t progress;
	struct index_sum sums[TABLE_END];
};

struct index_txn {
	struct list node; /* idle */
	struct index *ix;
	MDB_txn *txn;
	struct tree_root roots[TABLE_END];
	uint32_t known;               /* bit per table: root is loaded */
	struct index_cursor *cursors; /* closed ones */
};
void index_txn_free(struct index_txn *t);

/* A row of more than this is cut (row.h): head with the first INDEX_PART_BODY bytes of its body, then pieces. */
#define INDEX_PART ROW_PLAIN_MAX
#define INDEX_PART_BODY (INDEX_PART - ENVELOPE_BYTES)
void index_piece_key(struct meta_key *k, unsigned table, struct str key, unsigned n);

/* Marks the copy bad, tells the owner once. Returns -QE_CORRUPT. */
int index_damaged(struct index *ix, const char *why);
/* 0 or the error of an LMDB or guarded call; damage marks the copy. MDB_NOTFOUND is damage here. */
int index_rc(struct index *ix, int rc, const char *what) WARN_UNUSED;
int index_root(struct index *ix, MDB_txn *txn, unsigned table, struct tree_root *ret) WARN_UNUSED;

/* Rows of the meta table. */
#define INDEX_SCHEMA 1
#define INDEX_META_SCHEMA STR_LIT("schema")
#define INDEX_META_POSITION STR_LIT("position")
#define INDEX_META_SUMS STR_LIT("sums")
#define INDEX_SUM_BYTES 32 /* table u8, 0 7, rows u64, sum 16 */
int index_put_meta(struct index *ix, MDB_txn *txn, struct str key, const void *body, size_t len) WARN_UNUSED;
int index_put_sums(struct index *ix, MDB_txn *txn, const struct index_sum sums[TABLE_END]) WARN_UNUSED;
int index_commit(struct index *ix, MDB_txn *txn) WARN_UNUSED;
void index_abort(MDB_txn *txn); /* accepts NULL */

void index_sum_change(struct index_sum *s, const uint8_t digest[32], bool add);

#endif
