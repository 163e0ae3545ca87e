/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers of a test, from a seed that a failing run prints (QUOIN_TEST_SEED repeats it).
 */
#ifndef QUOIN_TESTS_META_RND_H
#define QUOIN_TESTS_META_RND_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static uint64_t rnd_state;

static inline void rnd_init(uint64_t dflt)
{
	const char *e = getenv("QUOIN_TEST_SEED");

	rnd_state = dflt;
	if (e && str_to_u64(str_of(e), &rnd_state) < 0)
		abort();
	printf("# QUOIN_TEST_SEED=%" PRIu64 "\n", rnd_state);
}

static inline uint64_t rnd(void)
{
	uint64_t z = (rnd_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline unsigned rnd_below(unsigned n)
{
	return (unsigned)(rnd() % n);
}

static inline void rnd_bytes(void *p, size_t len)
{
	unsigned char *b = p;

	for (size_t i = 0; i < len; i++)
		b[i] = (unsigned char)rnd();
}

#endif
