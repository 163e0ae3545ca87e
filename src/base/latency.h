/* SPDX-License-Identifier: Apache-2.0
 *
 * Times of any number of operations in a fixed space: buckets of 1/32 of their power of two, so what is told is at most
 * 3.2 % above the true figure. Up to 2^32 us. No lock.
 */
#ifndef QUOIN_BASE_LATENCY_H
#define QUOIN_BASE_LATENCY_H

#include <stdint.h>

#define LATENCY_SUB 32u
#define LATENCY_BUCKETS (LATENCY_SUB * 28u)

struct latency {
	uint64_t n;
	uint32_t bucket[LATENCY_BUCKETS];
};

static inline void latency_add(struct latency *l, uint64_t us)
{
	unsigned shift = 0;

	while (us >> shift >= 2 * LATENCY_SUB)
		shift++;
	uint64_t at = shift * LATENCY_SUB + (us >> shift);
	l->bucket[at < LATENCY_BUCKETS ? at : LATENCY_BUCKETS - 1]++;
	l->n++;
}

/* The time that `part` (0.99) of all stayed within, rounded up to the end of its bucket. 0 when there are none. */
static inline uint64_t latency_part(const struct latency *l, double part)
{
	uint64_t within = 0, want = (uint64_t)((double)l->n * part);

	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		unsigned shift = i < 2 * LATENCY_SUB ? 0 : i / LATENCY_SUB - 1;

		within += l->bucket[i];
		if (within > want || (within == l->n && within))
			return ((uint64_t)(i - shift * LATENCY_SUB + 1) << shift) - 1;
	}
	return 0;
}

#endif
