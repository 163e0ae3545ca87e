/* SPDX-License-Identifier: Apache-2.0
 *
 * Which names the kernel may hold, negative ones included. The kernel drops names without a word, so an exact table
 * could
 * only grow: this is a filter of one bit per hash, in two generations. A name that the kernel got is forgotten here
 * one to
 * two lifetimes later, when the kernel asks again by itself. A wrong yes costs one notification that finds nothing.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "fusefs/fusefs_internal.h"

#define BITS_LOG2 24
#define WORDS ((size_t)1 << (BITS_LOG2 - 6))

struct names {
	_Atomic uint64_t *gen[2];
	atomic_uint current;
	atomic_uint_fast64_t turn_ns; /* when the older generation is emptied and becomes the current one */
	uint64_t life_ns;
};

struct names *names_new(uint64_t life_ns)
{
	struct names *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->life_ns = life_ns;
	n->gen[0] = calloc(WORDS, sizeof *n->gen[0]);
	n->gen[1] = calloc(WORDS, sizeof *n->gen[1]);
	if (!n->gen[0] || !n->gen[1])
		return names_free(n);
	atomic_store(&n->turn_ns, clock_mono_ns() + life_ns);
	return n;
}

struct names *names_free(struct names *n)
{
	if (!n)
		return NULL;
	free(n->gen[0]);
	free(n->gen[1]);
	free(n);
	return NULL;
}

static uint64_t bit_of(uint64_t parent, struct str name)
{
	return hash_u64(parent ^ hash_bytes(name.p, name.len)) >> (64 - BITS_LOG2);
}

static void turn(struct names *n)
{
	uint64_t at = atomic_load_explicit(&n->turn_ns, memory_order_relaxed), now = clock_mono_ns();
	unsigned other;

	/* Names added in the last instant before the turn live through the whole next generation. */
	if (now < at || !atomic_compare_exchange_strong(&n->turn_ns, &at, now + n->life_ns))
		return;
	other = 1 - atomic_load(&n->current);
	for (size_t i = 0; i < WORDS; i++)
		atomic_store_explicit(&n->gen[other][i], 0, memory_order_relaxed);
	atomic_store(&n->current, other);
}

void names_add(struct names *n, uint64_t parent, struct str name)
{
	uint64_t bit = bit_of(parent, name), mask = 1ULL << (bit & 63);
	_Atomic uint64_t *w;

	turn(n);
	w = &n->gen[atomic_load(&n->current)][bit >> 6];
	/* Seen by whoever applies a change after the state for the reply was read: sequentially consistent. */
	atomic_fetch_or(w, mask);
}

bool names_has(struct names *n, uint64_t parent, struct str name)
{
	uint64_t bit = bit_of(parent, name), mask = 1ULL << (bit & 63);

	return ((atomic_load(&n->gen[0][bit >> 6]) | atomic_load(&n->gen[1][bit >> 6])) & mask) != 0;
}
