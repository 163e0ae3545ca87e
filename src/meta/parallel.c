/* SPDX-License-Identifier: Apache-2.0
 *
 * The same work on many drives at once: what waits for their flushes in turn would take N times as long.
 */
#include <pthread.h>

#include "base/thread.h"
#include "meta/set_internal.h"

struct part {
	pthread_t thread;
	bool started;
	int (*fn)(void *arg, unsigned slot);
	void *arg;
	unsigned slot;
	int rc;
};

static void *run_part(void *arg)
{
	struct part *p = arg;

	p->rc = p->fn(p->arg, p->slot);
	return NULL;
}

uint32_t slots_parallel(uint32_t slots, int (*fn)(void *arg, unsigned slot), void *arg, int *ret_rc)
{
	struct part part[SUPER_MAX_SLOTS] = {0};
	uint32_t failed = 0;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		struct part *p = &part[i];
		*p = (struct part){.fn = fn, .arg = arg, .slot = i};
		/* The last one is done here. */
		if ((slots & 1u << i) && slots >> i != 1)
			p->started = thread_start(&p->thread, "qn-slots", run_part, p) == 0;
		if ((slots & 1u << i) && !p->started)
			run_part(p);
	}
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		if (part[i].started)
			thread_join(part[i].thread);
		if (part[i].rc >= 0)
			continue;
		failed |= 1u << i;
		if (ret_rc)
			*ret_rc = part[i].rc;
	}
	return failed;
}
