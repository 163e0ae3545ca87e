/* SPDX-License-Identifier: Apache-2.0
 *
 * The scrub: once a period every live cell of every drive is read and verified, and bad ones are written anew; then the
 * index copies are compared. It goes through the segments by id, at no more than its budget of bytes a second, and rests
 * while drives are healed. How far it is, and what it found, is a row of the set, so a restart goes on there.
 *
 *   doc row of bucket 0, kind 1 (STORAGE.md section 6): format u16 2, slots u16, cycle u64, started u64, ended u64 (wall
 *   ns, 0: it goes on), next segment u64, segments u64, stripes u64, bytes u64, index copies compared u32, bad u32, then
 *   for each slot: bad cells u64, repaired u64, failed u64; then unreadable stripes of the scrub before u64 and of this one
 *   u64, and for each run of the first of them: segment u64, from u32 and to u32 (4 KiB), data cells u16
 */
#ifndef QUOIN_SERVICE_SCRUB_H
#define QUOIN_SERVICE_SCRUB_H

#include "meta/heal.h"
#include "service/service.h"

struct scrub;

struct scrub_slot {
	uint64_t bad, repaired, failed; /* cells */
};
struct scrub_report {
	uint64_t cycle;                /* 0: none has begun yet */
	uint64_t started_ns, ended_ns; /* wall; ended 0: it goes on */
	uint64_t position;             /* the segment that comes next */
	uint64_t segments, stripes, bytes;
	unsigned index_copies, index_bad;
	struct scrub_slot slot[SUPER_MAX_SLOTS];
	uint64_t lost_before;       /* stripes that the scrub before could not read */
	struct meta_lost_list lost; /* what this one cannot */
};
/* Stripes that are known not to be readable: of this scrub, or while it is under way of the one before, if that are more. */
static inline uint64_t scrub_unreadable(const struct scrub_report *r)
{
	return r->ended_ns ? r->lost.stripes : MAX(r->lost.stripes, r->lost_before);
}

struct scrub *scrub_new(struct meta_set *set, uint64_t period_ns); /* NULL: no memory */
struct scrub *scrub_free(struct scrub *s); /* accepts NULL; returns NULL; no run is under way */
/* Of the row in the table of services, which calls it often: it looks itself whether a scrub is due. */
int scrub_run(void *arg, struct service_run *r);
void scrub_request(struct scrub *s); /* from the beginning, at the next run, due or not */
void scrub_report(struct scrub *s, struct scrub_report *ret);
/* fn for each blob that the newest scrub that ended found unreadable, under a lock; how many more there are. */
uint64_t scrub_lost(struct scrub *s, void (*fn)(void *arg, const struct meta_lost_blob *b), void *arg);

/* For tests: the row's body. */
struct buf;
void scrub_report_encode(const struct scrub_report *r, unsigned slots, struct buf *ret);
int scrub_report_decode(struct str body, struct scrub_report *ret) WARN_UNUSED;

#endif
