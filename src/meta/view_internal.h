/* SPDX-License-Identifier: Apache-2.0
 *
 * What views are taken from: the applied sequence, the two memtables and the index copies of a set, all under
 * LOCK_PUBLISH. The owner of the set keeps one `struct publish`.
 *
 * The writer (whoever holds LOCK_WRITER) puts the rows of a record into publish_active() and then calls
 * publish_applied(last sequence of the record): views opened from then on see them. Only the writer calls
 * publish_applied, publish_swap_freeze, publish_retire_frozen and publish_newest, so what publish_newest returned stays
 * until it lets go of LOCK_WRITER. Everything else may be called by any thread.
 *
 * A checkpoint: publish_swap_freeze (at the end of a record) -> index_apply(frozen, publish_frozen_to) on every copy ->
 * remove the copies that failed -> publish_retire_frozen. Views keep the memtables and the read transaction that they were opened with,
 * so none of this disturbs them.
 */
#ifndef QUOIN_META_VIEW_INTERNAL_H
#define QUOIN_META_VIEW_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/lock.h"
#include "meta/index.h"
#include "meta/memtable.h"
#include "meta/meta.h"

#define PUBLISH_INDEXES 32
/* In place of a sequence, where nobody can tell: no watermark reaches it. */
#define SEQ_DOUBT UINT64_MAX
#define VIEW_OLD_NS NS_PER_S /* a view older than this is counted: it keeps pages of the index from reuse */

struct publish {
	struct mutex lock; /* LOCK_PUBLISH: what follows, but for the atomics */
	_Atomic uint64_t applied;
	uint64_t base;                    /* the memtables hold every row changed behind it; every copy has all up to it */
	uint64_t frozen_to;               /* base after the checkpoint; valid while frozen */
	struct memtable *active, *frozen; /* frozen may be NULL */
	struct index *index[PUBLISH_INDEXES]; /* borrowed from the owner */
	unsigned nindex, turn;
	uint64_t vouched;           /* SEQ_DOUBT, or: rows above may be no part of the history (R5') */
	struct erasure_set *erasure; /* borrowed; held by each view; NULL in tests */
	bool has_index;             /* one was added once: from then on a view without a good copy is an error */
	struct list open, idle;     /* views; idle ones wait for reuse */
	_Atomic uint64_t old_views; /* closed when older than VIEW_OLD_NS */
	_Atomic uint64_t failovers; /* views that went on with another copy */
};

/* The state is that of base (the lowest position of the copies): rows behind it are then put by replay. 0 or -ENOMEM. */
int publish_init(struct publish *p, uint64_t base) WARN_UNUSED;
/* All views must be closed. The copies are the owner's to close, afterwards. */
void publish_done(struct publish *p);
/* Recovery while serving: the state of `fresh` for that of p, and the other way round. Views opened before keep theirs: their
 * copies and the erasure set of then stay until publish_drained(opened before `now`). No view of fresh is open. */
void publish_exchange(struct publish *p, struct publish *fresh);
bool publish_drained(struct publish *p, uint64_t before_ns);

/* The writer's. */
struct memtable *publish_active(struct publish *p); /* borrowed */
struct memtable *publish_frozen(struct publish *p); /* borrowed; NULL: none */
void publish_applied(struct publish *p, uint64_t seq);
/* active becomes frozen and an empty one active. Call at the end of a record, when nothing is frozen. 0 or -ENOMEM. */
int publish_swap_freeze(struct publish *p) WARN_UNUSED;
uint64_t publish_frozen_to(
	struct publish *p); /* the applied sequence when it was frozen: what index_apply goes up to */
/* Every copy that is left has applied the frozen memtable: drops it. A copy that has not is no longer read. */
void publish_retire_frozen(struct publish *p);
/* The newest row of a key, or its tombstone, in the memtables; never looks into an index. False: older than both. */
bool publish_newest(struct publish *p, unsigned table, struct str key, struct memtable_row *ret);

/* A copy whose position is >= base. 0, -EINVAL (position below base), -ENOSPC. */
int publish_add_index(struct publish *p, struct index *ix) WARN_UNUSED;
/* No new view uses it. True when no open one does either: it may be closed. Else call again, a view lives for a second
 * at most. */
bool publish_remove_index(struct publish *p, struct index *ix);

uint64_t publish_applied_seq(const struct publish *p);
/* The memtables hold every row that changed behind this sequence: a view with a lower one is rejected, its read set can
 * no longer be compared. (A view with exactly this sequence is fine.) */
uint64_t publish_oldest_seq(struct publish *p);
/* The lowest sequence of the open views, the applied one when there are none: nothing that it shows may be reclaimed. */
uint64_t publish_view_seq_min(struct publish *p);
void publish_sizes(struct publish *p, uint64_t *ret_bytes, uint64_t *ret_rows, uint64_t *ret_frozen_bytes);
unsigned publish_open_views(struct publish *p, unsigned *ret_old); /* ret_old (may be NULL): older than VIEW_OLD_NS */

/* meta_view_open is this on the set's publish. 0, -ENOMEM, -QE_CORRUPT (no copy that is there is good), -QE_QUORUM_READ (none
 * is there). */
int view_open(struct publish *p, struct meta_view **ret) WARN_UNUSED;
/* The memtables of a view and its sequence, for payload that is still in the journal. */
const void *view_payload(const struct meta_view *v, uint64_t seq, size_t *ret_len);

/* recount.c: the number of differences, each a line in ret (may be NULL); < 0: the view failed. */
int recount_view(struct meta_view *v, bool (*step)(void *arg, uint64_t rows), void *arg, struct buf *ret) WARN_UNUSED;

#endif
