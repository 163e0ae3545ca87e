/* SPDX-License-Identifier: Apache-2.0
 *
 * Making cells whole again while the set serves (STORAGE.md section 5, Healing). There are three reasons to look at a
 * stripe, and one way to do it (erasure/heal.h):
 *
 *   missing   a drive that is `in` lacks cells, named by its `missing` rows: meta_heal_missing walks them, segment by
 *             segment in offset order; a row goes, durably, when its live cells are written, flushed and read back, so
 *             what was done is never done again
 *   damage    a read met a bad or absent cell on such a drive and had to do without: meta_heal_damage takes the stripes
 *             that reads noted, once each, and verifies all their cells; where a whole file is gone it puts a row
 *   scrub     meta_scrub verifies every cell of every segment
 *
 * Only live stripes are looked at: of packed segments those of `stripe` rows, of large ones those of `blob` rows. These
 * are keyed by blob, so one pass over them collects the places of as many segments as fit into memory.
 *
 * A healer is used by one thread at a time. Errors: -QE_QUORUM_WRITE and others of batches; nothing is lost by one.
 */
#ifndef QUOIN_META_HEAL_H
#define QUOIN_META_HEAL_H

#include "erasure/heal.h"
#include "meta/meta.h"

struct meta_healer;

/* go_on: after that many more bytes have gone from and to drives (often 0). It may wait; false: end soon. */
struct meta_healer *meta_healer_new(struct meta_set *s, bool (*go_on)(void *arg, uint64_t bytes), void *arg);
struct meta_healer *meta_healer_free(struct meta_healer *h); /* accepts NULL; returns NULL */

/* ---- What cannot be read ----------------------------------------------------------------------------------------- */
#define META_LOST_MAX 100
struct meta_lost { /* stripes that lie one behind the other */
	uint64_t segment;
	uint32_t from_4k, to_4k;
	uint16_t cells; /* data cells that cannot be had */
};
struct meta_lost_list {
	uint64_t stripes; /* all of them */
	unsigned n;       /* the first META_LOST_MAX runs */
	struct meta_lost at[META_LOST_MAX];
};
/* What the healer meets from now on that is here in too few good cells is added to the list; NULL: to none. */
void meta_healer_note_lost(struct meta_healer *h, struct meta_lost_list *list);

struct meta_lost_blob {
	uint64_t segment, offset, bytes; /* in each of its files: where its cells begin; of its own */
	char *names; /* BUCKET/KEY, percent-encoded, a line each; "": nothing names it */
};
struct meta_lost_blobs {
	unsigned n;
	uint64_t more; /* that are not told */
	struct meta_lost_blob at[META_LOST_MAX];
};
/* Whose payload it is, by walks over the rows, in pages. On an error *ret is empty. go_on: as of a healer. 0, -QE_BUSY: told
 * to end, others. */
int meta_lost_find(struct meta_set *s, const struct meta_lost_list *list, bool (*go_on)(void *arg, uint64_t bytes), void *arg,
		   struct meta_lost_blobs *ret) WARN_UNUSED;
void meta_lost_blobs_free(struct meta_lost_blobs *b); /* what it owns */

/* ---- Missing ranges ---------------------------------------------------------------------------------------------- */
struct meta_heal_slot { /* of the heal of its drive that is under way, or of the last one; known over restarts */
	uint8_t drive[16];
	bool active;
	uint64_t started_ns, updated_ns, ended_ns; /* wall; ended 0: it goes on; started 0: none yet */
	uint64_t spent_ns, resumed_ns; /* spent by earlier processes; wall, when this one began; 0: not yet */
	uint64_t bytes_total;                      /* of cells, as estimated at its start */
	uint64_t bytes_done, bytes_failed;
	uint64_t stripes_done, stripes_failed;
	uint64_t segments_total, segments_done, segments_failed;
	uint64_t segment; /* that is worked on; 0: none */
};
/* 1: nothing is missing on the drives that are in. 0: something is, and cannot be healed now, or it was told to end.
 * What cannot be healed is named in the log once, and tried again after META_HEAL_RETRY_NS or when a drive came or went. */
#define META_HEAL_RETRY_NS (600 * NS_PER_S)
int meta_heal_missing(struct meta_healer *h) WARN_UNUSED;
void meta_heal_progress(struct meta_set *s, struct meta_heal_slot ret[SUPER_MAX_SLOTS]);

/* ---- Damage that reads met --------------------------------------------------------------------------------------- */
#define META_DAMAGE_MAX 1024 /* stripes that wait; what comes beyond is left to the next read or scrub */
struct meta_damage_stats {
	unsigned waiting;
	uint64_t noted, dropped;   /* stripes; dropped: there was no room */
	uint64_t repaired, failed; /* cells */
};
/* Until nothing waits. 0 or an error. */
int meta_heal_damage(struct meta_healer *h) WARN_UNUSED;
void meta_damage_stats(struct meta_set *s, struct meta_damage_stats *ret);

/* ---- Blobs that somebody asked for ------------------------------------------------------------------------------- */
/* Those of the list that lie in segments are looked at. deep: every cell is read and verified. Else only files that are
 * absent on a drive are found (each counts as bad, once); what is missing then is for meta_heal_missing. Adds to *ret; a
 * blob that went meanwhile is none. 1: all of them; 0: told to end. */
int meta_heal_blobs(struct meta_healer *h, const uint64_t *blobs, unsigned n, bool deep,
		    struct erasure_healed *ret) WARN_UNUSED;

/* ---- Scrub ------------------------------------------------------------------------------------------------------- */
/* All segments with an id >= from, in order; done(arg, segment, r) after each, with what was found in it. 1: to the end;
 * 0: told to end. */
int meta_scrub(struct meta_healer *h, uint64_t from,
	       void (*done)(void *arg, uint64_t segment, const struct erasure_healed *r), void *arg) WARN_UNUSED;

/* ---- Compaction (compact.c) -------------------------------------------------------------------------------------- */
struct meta_compacted {
	uint64_t segments, blobs, bytes; /* bytes: that moved, without parity */
	uint64_t collect_ns;             /* spent on looking which blobs these are, in a pass over all rows of blobs */
};
/* Moves what lives out of segments of which less than half does (space_compact_percent: more, where room is short), some
 * of them in a call; reclaim gives them back behind the next checkpoint. Adds to *ret. 1: there is none; 0: there may be
 * more, or it was told to end. -QE_FULL: there is no room for what lives. */
int meta_compact(struct meta_healer *h, struct meta_compacted *ret) WARN_UNUSED;

/* Every row of every index copy is read and compared with the sums that the copy keeps, and the copies with each other.
 * One that differs is read no more, and a checkpoint makes it anew (index_rebuild.c). No checkpoint meanwhile. */
struct meta_index_check {
	unsigned copies, bad;
};
int meta_index_check(struct meta_set *s, struct meta_index_check *ret) WARN_UNUSED;

#endif
