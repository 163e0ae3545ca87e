/* SPDX-License-Identifier: Apache-2.0
 *
 * Name locks: first come, first served, shared or exclusive, by a 64 bit key (a hash of directory and name). They exist
 * for waiting and fairness only: the sequencer is what makes decisions correct, so two names with one hash are no harm.
 *
 * nslock_acquire never blocks: it grants at once (true) or calls granted() later, from the thread that released the
 * lock; granted() must be quick, so it hands the work over. Never more than the table's own mutex is held (LOCK_NOTIFY,
 * which may be taken in the applied hook).
 */
#ifndef QUOIN_OBJECT_NSLOCK_H
#define QUOIN_OBJECT_NSLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"

struct nslock {
	struct mutex lock;
	struct hash names; /* of struct nslock_name, those with a holder */
};
struct nslock_name;
struct nslock_req {
	struct list node; /* of the name's waiters */
	uint64_t key;
	bool exclusive;
	struct nslock_name *name; /* NULL: neither held nor waited for */
	void (*granted)(struct nslock_req *r);
	void *arg;
};

void nslock_init(struct nslock *t);
void nslock_done(struct nslock *t);
bool nslock_acquire(struct nslock *t, struct nslock_req *r);
void nslock_release(struct nslock *t, struct nslock_req *r); /* accepts one that is not held */

#endif
