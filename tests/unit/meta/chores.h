/* SPDX-License-Identifier: Apache-2.0
 *
 * What a set does in the background, one job each, for sweeps that let something fail in it: what there is to do, the work,
 * and what must be true in the end, however it went.
 */
#ifndef QUOIN_TESTS_UNIT_META_CHORES_H
#define QUOIN_TESTS_UNIT_META_CHORES_H

#include "set_fixture.h"

struct chore {
	const char *name;
	void (*prepare)(struct fixture *f); /* after chore_begin: something is to be done */
	int (*work)(struct fixture *f);     /* does it; an error is none of the set's answers to a client */
};
extern const struct chore chores[];
extern const unsigned chores_n;
#define CHORE_SLOT 3 /* the drive that something is done to */

/* A set of four drives, two of them parity, with objects; then the chore's prepare. */
void chore_begin(const struct chore *c, struct fixture *f, bool faulty);
/* All that was answered is there. */
void chore_expect(struct fixture *f, const char *what, uint64_t nth);
/* Started again, without a fault, it comes to its end: every drive is whole, and dead segments are gone. With any two
 * drives all is there; the set is closed. */
void chore_end(struct fixture *f, const char *what, uint64_t nth);

#endif
