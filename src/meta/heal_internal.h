/* SPDX-License-Identifier: Apache-2.0
 *
 * What heal.c (missing ranges), damage.c, scrub.c, compact.c and live.c (what of a segment lives) share.
 */
#ifndef QUOIN_META_HEAL_INTERNAL_H
#define QUOIN_META_HEAL_INTERNAL_H

#include "meta/heal.h"
#include "meta/set_internal.h"

struct live_blob {
	uint64_t segment, blob;
	uint32_t offset_4k, len; /* len: stored bytes */
};

struct meta_healer {
	struct meta_set *s;
	/* While something is done, else NULL: a set that is revived has another erasure set afterwards. */
	struct erasure_set *erasure; /* held */
	struct erasure_healer *eh;
	uint64_t epoch;
	bool (*go_on)(void *arg, uint64_t bytes);
	struct meta_lost_list *lost; /* NULL: nobody wants to know */
	erasure_bad_fn bad;        /* it only looks, also at a set that takes no writes; NULL: what is bad is made anew */
	void *arg;                 /* of both */
	uint64_t told;             /* of the bytes moved */
	struct live_blob *blob;    /* blobs of the segments up to blob_upto, by segment and offset (live_collect) */
	size_t nblobs, blob_cap;
	uint64_t blob_upto;
	struct vec failed;         /* struct failed_range */
	uint32_t failed_in;        /* the drives that were in when they failed */
	bool waits;                /* some range cannot be healed now */
};

struct heal_range { /* a `missing` row of a drive that is in */
	uint64_t segment, seq, bytes; /* bytes: expected */
	uint32_t from_4k, to_4k;
	unsigned slot;
};

int heal_begin(struct meta_healer *h) WARN_UNUSED; /* -ENOMEM */
void heal_end(struct meta_healer *h);
bool heal_goes_on(struct meta_healer *h); /* tells what was moved since */
bool heal_may_go_on(struct meta_healer *h, uint64_t bytes); /* after that many more bytes */
/* What could not be done with a segment and a slot (SUPER_MAX_SLOTS: none in particular) is not tried again at once. */
bool heal_failed_lately(const struct meta_healer *h, uint64_t segment, unsigned slot);
/* why: a literal, or as long-lived. True: it is news, the first time for this cause. */
bool heal_note_failed(struct meta_healer *h, uint64_t segment, unsigned slot, const char *why);
uint32_t heal_slots(struct meta_set *s);  /* drives that are in and can be used */
uint32_t heal_whole_slots(struct meta_healer *h, uint64_t segment); /* those of them that lack nothing of the segment */

void lost_note(void *arg, const struct erasure_lost_stripe *l); /* lost.c; of a struct meta_lost_list */

/* heal_progress.c */
void heal_progress_begin(struct meta_set *s, const struct vec *ranges); /* struct heal_range */
void heal_progress_segment(struct meta_set *s, const struct heal_range *r, unsigned n); /* they are worked on */
void heal_progress_range(struct meta_set *s, const struct heal_range *r, const struct erasure_healed_slot *done, bool whole);
/* The row goes with the batch that drops the range, which is not counted yet. */
void heal_progress_put(struct meta_set *s, struct meta_batch *b, const struct heal_range *r,
		       const struct erasure_healed_slot *done);
void heal_progress_end(struct meta_set *s);
void heal_row_encode(const struct meta_heal_slot slot[], unsigned n, struct buf *ret);
int heal_row_decode(struct str body, unsigned n, struct meta_heal_slot ret[]) WARN_UNUSED;

/* live.c */
/* fn for a page of the table's rows from *from on, in a view of its own. 1: the next page begins at *from; 0: that was the
 * last; or the first error of fn. */
typedef int (*live_row_fn)(struct meta_healer *h, void *arg, const struct meta_row *row);
int live_page(struct meta_healer *h, enum meta_table t, struct meta_key *from, live_row_fn fn, void *arg) WARN_UNUSED;
/* Blobs in the segments >= from for which wanted() is true, in one pass. What is there is complete up to h->blob_upto,
 * which is UINT64_MAX when all went into memory. 0, -QE_BUSY: told to end, other errors. */
enum { LIVE_LARGE = 1, LIVE_PACKED = 2 };
int live_collect(struct meta_healer *h, uint64_t from, unsigned kinds, bool (*wanted)(void *arg, uint64_t segment),
		 void *arg) WARN_UNUSED;
const struct live_blob *live_blobs(const struct meta_healer *h, uint64_t segment, size_t *ret_n); /* those collected */
typedef int (*live_fn)(void *arg, const struct erasure_stripe *st);
/* fn for each live stripe of the segment in offset order; a large one must lie in what was collected. The first error
 * that is not 0 ends it. Blobs that went meanwhile drop out. */
int live_stripes(struct meta_healer *h, const struct segment_info *info, live_fn fn, void *arg) WARN_UNUSED;
/* The same for one blob, between two offsets. */
int live_blob_stripes(struct meta_healer *h, uint64_t blob, uint64_t segment, uint32_t from_4k, uint32_t to_4k, live_fn fn,
		      void *arg) WARN_UNUSED;
int live_packed_stripes(struct meta_healer *h, uint64_t segment, uint32_t from_4k, uint32_t to_4k, live_fn fn,
			void *arg) WARN_UNUSED;

#endif
