/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests of healing share: objects of all kinds, ways to lose them on a drive, the work of a healer.
 */
#ifndef QUOIN_TESTS_UNIT_META_HEAL_FIXTURE_H
#define QUOIN_TESTS_UNIT_META_HEAL_FIXTURE_H

#include "set_fixture.h"

#include "meta/heal.h"

/* Objects by key number: inline, packed and large ones, each with its key as its seed. */
void put_key(struct fixture *f, uint64_t key, uint64_t seed);
void put_keys(struct fixture *f, uint64_t from, uint64_t to); /* and a checkpoint */
void expect_keys(struct fixture *f, uint64_t from, uint64_t to);
uint32_t size_of(uint64_t key);

/* Stops after so many questions. */
struct patience {
	unsigned left;
	bool ends; /* else never */
	uint64_t bytes;
};
bool patience_go_on(void *arg, uint64_t bytes);
int heal_with(struct fixture *f, struct patience *p);
int heal(struct fixture *f);

struct scrubbed {
	unsigned segments;
	uint64_t last;
	struct erasure_healed all;
};
int scrub_with(struct fixture *f, struct patience *p, struct scrubbed *ret);
struct scrubbed scrub(struct fixture *f); /* to its end */
uint64_t sum_bad(const struct scrubbed *s);
void expect_whole(struct fixture *f); /* every live cell of every drive is there and good */

/* On a drive: all its segment files go; a byte in each 4 KiB of them changes; so does one in each page of its index behind
 * the first two, which tell where the tables are. */
unsigned remove_segments(struct fixture *f, unsigned slot);
void rot(struct fixture *f, unsigned slot);
void spoil_index(struct fixture *f, unsigned slot);

#endif
