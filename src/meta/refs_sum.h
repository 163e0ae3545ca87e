/* SPDX-License-Identifier: Apache-2.0
 *
 * Are references counted right, of any number of things, in a fixed space? What names a thing adds a number made of its
 * id, the count in its row takes that number away as often as it says: where all counts are right every sum is 0. A sum
 * that is not 0 tells which ids (one of 16,384 of them each) are worth a closer look. A wrong count is overlooked with a
 * chance of 2^-64.
 */
#ifndef QUOIN_META_REFS_SUM_H
#define QUOIN_META_REFS_SUM_H

#include <stdbool.h>
#include <stdint.h>

#define REFS_LOG2 14

struct refs_sum {
	uint64_t sum[1u << REFS_LOG2];
};

static inline uint64_t refs_mix(uint64_t id)
{
	uint64_t x = id + 0x9e3779b97f4a7c15u; /* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline void refs_named(struct refs_sum *s, uint64_t id)
{
	uint64_t x = refs_mix(id);

	s->sum[x >> (64 - REFS_LOG2)] += x;
}

static inline void refs_counted(struct refs_sum *s, uint64_t id, uint64_t refs)
{
	uint64_t x = refs_mix(id);

	s->sum[x >> (64 - REFS_LOG2)] -= x * refs;
}

static inline bool refs_differ(const struct refs_sum *s, uint64_t id)
{
	return s->sum[refs_mix(id) >> (64 - REFS_LOG2)] != 0;
}

static inline bool refs_differ_anywhere(const struct refs_sum *s)
{
	for (unsigned i = 0; i < 1u << REFS_LOG2; i++)
		if (s->sum[i])
			return true;
	return false;
}

#endif
