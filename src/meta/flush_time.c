/* SPDX-License-Identifier: Apache-2.0
 *
 * How long flushes of the journal take: from the submit of a durable record, or of a flush round, until it has returned
 * from all drives that are waited for. Told of the last whole minute; of the running one until there is one.
 */
#include "base/clock.h"
#include "meta/set_internal.h"

#define WINDOW_NS (60 * NS_PER_S)

static void tell(const struct latency *l, struct meta_flush_time *ret)
{
	*ret = (struct meta_flush_time){
		.flushes = l->n,
		.p50_us = latency_part(l, 0.5),
		.p99_us = latency_part(l, 0.99),
	};
}

void flush_time_add(struct flush_time *t, uint64_t begun_ns, uint64_t now_ns)
{
	if (t->since_ns && now_ns - t->since_ns >= WINDOW_NS) {
		tell(&t->running, &t->told);
		t->running = (struct latency){0};
		t->since_ns = now_ns;
	}
	if (!t->since_ns)
		t->since_ns = now_ns;
	latency_add(&t->running, now_ns > begun_ns ? (now_ns - begun_ns) / 1000 : 0);
}

void flush_time_tell(const struct flush_time *t, struct meta_flush_time *ret)
{
	if (t->told.flushes)
		*ret = t->told;
	else
		tell(&t->running, ret);
}
