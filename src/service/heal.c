/* SPDX-License-Identifier: Apache-2.0 */
#include "service/heal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

#define LOOK_BYTES (8u << 20)        /* moved between two looks at what others do */
#define REST_NS (250 * NS_PER_MS)    /* at most, at a time */
#define REST_STEP_NS (20 * NS_PER_MS)

struct heal {
	struct meta_set *set;
	/* The run's. */
	struct service_run *run;
	struct meta_healer *healer;
	uint64_t moved, look_ns, others; /* since and at the last look */
};

struct heal *heal_new(struct meta_set *set)
{
	struct heal *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->set = set;
	return h;
}

struct heal *heal_free(struct heal *h)
{
	if (!h)
		return NULL;
	meta_healer_free(h->healer);
	free(h);
	return NULL;
}

/* A number that grows with all that is read and written, but for what heals. */
static uint64_t work_of_others(struct heal *h)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(h->set);
	struct erasure_stats st;

	erasure_set_stats(e, &st);
	return st.bytes_read + st.bytes_written + meta_applied_seq(h->set);
}

static bool rest(struct heal *h, uint64_t ns)
{
	uint64_t until = clock_mono_ns() + MIN(ns, REST_NS);

	while (clock_mono_ns() < until) {
		if (service_run_ends(h->run))
			return false;
		clock_sleep_ns(REST_STEP_NS);
	}
	return true;
}

static bool go_on(void *arg, uint64_t bytes)
{
	struct heal *h = arg;

	if (!service_run_spend(h->run, bytes))
		return false;
	h->moved += bytes;
	if (h->moved < LOOK_BYTES)
		return true;
	uint64_t others = work_of_others(h), took = clock_mono_ns() - h->look_ns;
	/* Its own batches are a few a segment. */
	bool busy = others > h->others + 8;
	bool on = !busy || rest(h, took);
	h->moved = 0;
	h->others = work_of_others(h);
	h->look_ns = clock_mono_ns();
	return on;
}

/* The row's note and progress, from the drives that are worked on. */
static void tell(struct heal *h, struct service_run *r)
{
	struct heal_status st;
	uint64_t done = 0, total = 0;

	heal_status(h, &st);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		done += st.drive[i].s.bytes_done;
		total += st.drive[i].s.bytes_total;
	}
	service_run_progress(r, done, total);
	service_run_note(r, "%u missing ranges, %u damaged stripes wait", st.missing_ranges, st.damage.waiting);
}

int heal_run(void *arg, struct service_run *r)
{
	struct heal *h = arg;
	struct meta_stats st;

	if (!h->healer)
		h->healer = meta_healer_new(h->set, go_on, h);
	if (!h->healer)
		return -ENOMEM;
	h->run = r;
	h->moved = 0;
	h->look_ns = clock_mono_ns();
	h->others = work_of_others(h);
	meta_stats(h->set, &st);
	if (!st.writable)
		return 0; /* it is tried again when the set is */
	int rc = meta_heal_damage(h->healer);
	if (rc == 0 && st.missing_ranges)
		rc = MIN(meta_heal_missing(h->healer), 0);
	tell(h, r);
	return rc == -QE_QUORUM_WRITE || rc == -QE_UNKNOWN_OUTCOME ? 0 : rc;
}

static void fill_drive(struct heal_drive *d)
{
	uint64_t done = d->s.bytes_done + d->s.bytes_failed;
	uint64_t until = d->s.active ? clock_wall_ns() : d->s.ended_ns;
	double seconds = until > d->s.started_ns ? (double)(until - d->s.started_ns) / 1e9 : 0;

	d->bytes_queued = d->s.bytes_total > done ? d->s.bytes_total - done : 0;
	d->bytes_per_s = seconds > 0 ? (uint64_t)((double)d->s.bytes_done / seconds) : 0;
	if (d->s.active && d->bytes_per_s)
		d->eta_ns = (uint64_t)((double)d->bytes_queued / (double)d->bytes_per_s * 1e9);
}

void heal_status(struct heal *h, struct heal_status *ret)
{
	struct meta_heal_slot slot[SUPER_MAX_SLOTS];
	struct meta_stats st;

	memset(ret, 0, sizeof *ret);
	meta_heal_progress(h->set, slot);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		ret->drive[i].s = slot[i];
		fill_drive(&ret->drive[i]);
	}
	meta_damage_stats(h->set, &ret->damage);
	meta_stats(h->set, &st);
	ret->missing_ranges = st.missing_ranges;
}
