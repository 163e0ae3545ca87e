/* SPDX-License-Identifier: Apache-2.0 */
#include "service/compact.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"

#define REST 20 /* times what looking took */

struct compact {
	struct meta_set *set;
	struct meta_healer *healer;
	/* The run's. */
	struct service_run *run;
	uint64_t rests_until_ns; /* mono */
	struct meta_compacted all; /* since the start */
};

struct compact *compact_new(struct meta_set *set)
{
	struct compact *c = calloc(1, sizeof *c);

	if (c)
		c->set = set;
	return c;
}

struct compact *compact_free(struct compact *c)
{
	if (!c)
		return NULL;
	meta_healer_free(c->healer);
	free(c);
	return NULL;
}

static bool go_on(void *arg, uint64_t bytes)
{
	struct compact *c = arg;

	return service_run_spend(c->run, bytes);
}

int compact_run(void *arg, struct service_run *r)
{
	struct compact *c = arg;
	uint64_t looked = c->all.collect_ns;

	if (!meta_writable(c->set) || (clock_mono_ns() < c->rests_until_ns && !service_run_poked(r)))
		return 0;
	if (!c->healer)
		c->healer = meta_healer_new(c->set, go_on, c);
	if (!c->healer)
		return -ENOMEM;
	c->run = r;
	int rc = meta_compact(c->healer, &c->all);
	c->rests_until_ns = clock_mono_ns() + REST * (c->all.collect_ns - looked);
	service_run_progress(r, c->all.segments, 0);
	service_run_note(r, "%" PRIu64 " segments, %" PRIu64 " blobs of %" PRIu64 " bytes moved", c->all.segments, c->all.blobs,
			 c->all.bytes);
	/* Where there is no room, or too few drives, it waits for better times. */
	return rc == -QE_FULL || rc == -QE_QUORUM_WRITE || rc == -QE_UNKNOWN_OUTCOME ? 0 : MIN(rc, 0);
}
