/* SPDX-License-Identifier: Apache-2.0
 *
 * The scrub: once a period every live cell of every drive is read and verified, and bad ones are written anew; then the
 * index copies are compared. It goes through the segments by id, at no more than its budget of bytes a second, and rests
 * while drives are healed. How far it is, and what it found, is a row of the set, so a restart goes on there.
 *
 *   doc row of bucket 0, kind 1 (STORAGE.md section 6): format u16 1, slots u16, cycle u64, started u64, ended u64 (wall
 *   ns, 0: it goes on), next segment u64, segments u64, stripes u64, bytes u64, index copies compared u32, bad u32, then
 *   for each slot: bad cells u64, repaired u64, failed u64
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
};

struct scrub *scrub_new(struct meta_set *set, uint64_t period_ns); /* NULL: no memory */
struct scrub *scrub_free(struct scrub *s); /* accepts NULL; returns NULL; no run is under way */
/* Of the row in the table of services, which calls it often: it looks itself whether a scrub is due. */
int scrub_run(void *arg, struct service_run *r);
void scrub_request(struct scrub *s); /* from the beginning, at the next run, due or not */
void scrub_report(struct scrub *s, struct scrub_report *ret);

/* For tests: the row's body. */
struct buf;
void scrub_report_encode(const struct scrub_report *r, unsigned slots, struct buf *ret);
int scrub_report_decode(struct str body, struct scrub_report *ret) WARN_UNUSED;

#endif
