/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing as background work: one worker for the set, that first repairs what reads met and then fills what is missing on
 * drives that came in (meta/heal.h). It takes the drives for itself while nobody else does anything; as soon as there is
 * other work it rests as long as it worked. It ends within one window of cells when it is told to.
 */
#ifndef QUOIN_SERVICE_HEAL_H
#define QUOIN_SERVICE_HEAL_H

#include "meta/heal.h"
#include "service/service.h"

struct heal;

struct heal_drive { /* how far the heal of one drive is */
	struct meta_heal_slot s;
	uint64_t bytes_queued;
	uint64_t bytes_per_s; /* since it began */
	uint64_t eta_ns;      /* from now; 0: it is done, or nobody can tell */
};
struct heal_status {
	struct heal_drive drive[SUPER_MAX_SLOTS];
	struct meta_damage_stats damage;
	unsigned missing_ranges; /* of all drives */
};

struct heal *heal_new(struct meta_set *set); /* NULL: no memory */
struct heal *heal_free(struct heal *h);      /* accepts NULL; returns NULL; no run is under way */
int heal_run(void *arg, struct service_run *r); /* of the row in the table of services */
void heal_status(struct heal *h, struct heal_status *ret);

#endif
