/* SPDX-License-Identifier: Apache-2.0
 *
 * The insides of views and iterators, for view.c and iter.c.
 */
#ifndef QUOIN_META_VIEW_STRUCT_INTERNAL_H
#define QUOIN_META_VIEW_STRUCT_INTERNAL_H

#include "meta/view_internal.h"

struct meta_view {
	struct list node; /* publish.open or .idle, under its lock */
	struct publish *p;
	uint64_t seq, consulted, opened_ns;
	uint64_t vouched;            /* as publish.vouched was */
	struct erasure_set *erasure; /* where its blobs lie: held; NULL in tests */
	struct memtable *mem[2]; /* active, frozen (may be NULL) when it was opened: references */
	struct index *ix;        /* of txn */
	struct index_txn *txn;   /* NULL: no copy is left, or the set has no index */
	bool indexed;            /* it has one */
	/* Transactions on copies that turned bad. How many there are tells an iterator whether its cursor is current. */
	struct index_txn *past[PUBLISH_INDEXES];
	struct index *past_ix[PUBLISH_INDEXES];
	unsigned npast;
	struct arena arena; /* rows from the index, until close */
	struct meta_iter *idle_iters;
	unsigned open_iters;
};

struct meta_iter {
	struct meta_iter *next; /* idle */
	struct meta_view *v;
	unsigned table;
	const void *at[2]; /* in the memtables; NULL: at their end */
	struct memtable_row mem[2];
	struct index_cursor *cursor;
	unsigned cursor_npast; /* npast of the view when cursor was opened */
	bool has_ix;
	struct memtable_row ix; /* in the arena */
	struct arena arena;
	struct meta_key key; /* the last key passed */
};

void view_free(struct meta_view *v);
/* After an error of its copy: goes on with another if the copy is bad (-QE_CORRUPT) or its drive is out (-QE_DRIVE_TIMEOUT).
 * 0, why (no other is better, or would help), -QE_CONFLICT (too late). */
int view_failover(struct meta_view *v, int why) WARN_UNUSED;
/* Notes that the row was consulted. 1, or 0 for a tombstone. */
int view_row(struct meta_view *v, const struct memtable_row *r, struct meta_row *ret);

#endif
