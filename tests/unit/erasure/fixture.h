/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of erasure share: a set over real directories, blobs of known bytes, damage on drives.
 */
#ifndef QUOIN_TESTS_UNIT_ERASURE_FIXTURE_H
#define QUOIN_TESTS_UNIT_ERASURE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "drive/drive_faulty.h"
#include "erasure/erasure_internal.h"

struct fixture {
	char root[64];
	unsigned n, k, m;
	struct fault_bench *bench; /* NULL: plain directories */
	struct drive *drive[ERASURE_MAX_CELLS];
	struct erasure_set *set;
	uint64_t segment_size, timeout_ns;
	/* Told by the set; read with atomics. */
	uint32_t reported; /* slots */
	unsigned sealed_n;
	struct segment_info sealed[64];
};

void fixture_start(struct fixture *f, unsigned n, unsigned k, unsigned m, uint64_t segment_size, bool faulty);
void fixture_open(struct fixture *f); /* drives and set */
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f); /* as a new process: no segment is known */
void fixture_end(struct fixture *f);    /* removes the directories */

/* Byte `at` of the pattern of a seed. */
void pattern_fill(uint64_t seed, uint64_t at, uint8_t *p, size_t len);
bool pattern_check(uint64_t seed, uint64_t at, const uint8_t *p, size_t len);
uint64_t rnd(uint64_t *state);

/* Writes a blob of the seed's pattern; max_len is what is reserved. 0 or the first error. */
int blob_write_max(struct fixture *f, uint64_t seed, uint64_t len, uint64_t max_len, struct erasure_blob *ret);
int blob_write(struct fixture *f, uint64_t seed, uint64_t len, struct erasure_blob *ret);
struct erasure_place blob_place(const struct erasure_blob *b);
int blob_read(struct fixture *f, const struct erasure_blob *b, uint64_t start, size_t len, uint8_t *dst,
              bool *degraded);
/* Reads all, and some ranges, and compares. */
void blob_expect(struct fixture *f, const struct erasure_blob *b, uint64_t seed, bool *ret_degraded);

void segment_path(const struct fixture *f, unsigned slot, uint64_t id, char *ret, size_t cap);
void flip_byte(struct fixture *f, unsigned slot, uint64_t segment, uint64_t off);
void delete_file(struct fixture *f, unsigned slot, uint64_t segment);
unsigned blob_slot(const struct erasure_blob *b, unsigned cell);
/* With faulty drives: of these slots nothing is in the page cache, of the others everything. Other rules are cleared. */
void cold_slots(struct fixture *f, uint32_t slots);
/* The drives of these slots are out, those of the others are not. */
void drives_out(struct fixture *f, uint32_t slots);

#endif
