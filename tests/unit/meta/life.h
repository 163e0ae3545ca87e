/* SPDX-License-Identifier: Apache-2.0
 *
 * A scripted life of a set, the same in every run: changes of both promises, inline and large blobs, deletes, checkpoints.
 * A test lets it end somewhere; what then comes back must be a prefix of its history with all that was answered.
 */
#ifndef QUOIN_TESTS_UNIT_META_LIFE_H
#define QUOIN_TESTS_UNIT_META_LIFE_H

#include "set_fixture.h"

#define LIFE_EVENTS 40

struct life {
	struct fixture f;
	unsigned done;     /* events answered well */
	unsigned durable;  /* of them, the last one answered as durable */
	unsigned begun;
};

/* Until an event fails, or to the end. */
void life_run(struct life *l);
/* The state is some prefix of at_least events or more; what and n name the case when it is not. */
void life_expect(struct life *l, unsigned at_least, const char *what, uint64_t n);
/* With all drives; must succeed. */
void life_reopen(struct fixture *f, const char *what, uint64_t n);
/* QUOIN_CRASH_STEP: 1 tries every place of a sweep. */
unsigned life_step(unsigned by_default);

#endif
