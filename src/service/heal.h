/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing as background work: one worker for the set, that first repairs what reads met and then fills what is missing on
 * drives that came in (meta/heal.h). It takes the drives for itself while nobody else does anything; as soon as there is
 * other work it rests as long as it worked. It ends within one window of cells when it is told to.
 */
#ifndef QUOIN_SERVICE_HEAL_H
#define QUOIN_SERVICE_HEAL_H

#include "base/str.h"
#include "meta/heal.h"
#include "object/store.h"
#include "service/service.h"

struct heal;

struct heal_drive { /* how far the heal of one drive is */
	struct meta_heal_slot s;
	uint64_t bytes_queued;
	uint64_t bytes_per_s; /* since it began */
	uint64_t eta_ns;      /* from now; 0: it is done, or nobody can tell */
};
enum heal_state { HEAL_NONE, HEAL_WAITS, HEAL_RUNS, HEAL_DONE, HEAL_FAILED };
struct heal_request { /* what somebody asked for, the last of it */
	enum heal_state state;
	char bucket[64], prefix[256]; /* cut when longer; for showing */
	bool deep;
	uint64_t started_ns, ended_ns;          /* wall */
	uint64_t objects, blobs;                /* looked at */
	uint64_t bad, repaired, failed;         /* cells */
	uint64_t lost;                          /* files that were gone, which count as bad as well; they are filled at the end */
	bool unfilled;                          /* not all of them were */
	uint64_t unreadable;                    /* pieces of payload with too few good cells; known at its end */
	int rc;                                 /* of one that failed */
};
struct heal_status {
	struct heal_request request;
	struct heal_drive drive[SUPER_MAX_SLOTS];
	struct meta_damage_stats damage;
	unsigned missing_ranges; /* of all drives */
};

struct heal *heal_new(struct object_store *store); /* NULL: no memory */
struct heal *heal_free(struct heal *h);      /* accepts NULL; returns NULL; no run is under way */
int heal_run(void *arg, struct service_run *r); /* of the row in the table of services */
/* Looks at all content below a prefix, at the next run. deep: every cell is read and verified; else only files that are
 * absent are found (what is missing is filled anyway). -QE_BUSY: another request waits or runs; -QE_NO_SUCH_BUCKET. */
int heal_request(struct heal *h, struct str bucket, struct str prefix, bool deep) WARN_UNUSED;
/* fn for each piece of payload that the newest request found unreadable, under a lock; how many more there are. */
uint64_t heal_lost(struct heal *h, void (*fn)(void *arg, const struct meta_lost_blob *b), void *arg);
void heal_status(struct heal *h, struct heal_status *ret);

#endif
