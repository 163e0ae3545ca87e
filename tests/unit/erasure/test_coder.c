/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "erasure/coder.h"

#define LEN 257 /* no multiple of any vector */

static uint8_t data[ERASURE_MAX_CELLS][LEN], work[ERASURE_MAX_CELLS][LEN];

static void fill(uint64_t *state, unsigned k)
{
	for (unsigned c = 0; c < k; c++)
		for (unsigned i = 0; i < LEN; i++)
			data[c][i] = (uint8_t)rnd(state);
}

static void encode(struct erasure_coder *c)
{
	void *cells[ERASURE_MAX_CELLS];

	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		cells[i] = data[i];
	erasure_encode(c, LEN, cells);
}

/* Loses what is not in `have`, decodes it, compares. */
static void check(struct erasure_coder *c, unsigned n, uint32_t have)
{
	void *cells[ERASURE_MAX_CELLS];
	uint32_t want = ((1u << n) - 1) & ~have;

	for (unsigned i = 0; i < n; i++) {
		if (have & 1u << i)
			memcpy(work[i], data[i], LEN);
		else
			memset(work[i], 0xa5, LEN);
		cells[i] = work[i];
	}
	assert_int_equal(erasure_decode(c, LEN, cells, have, want), 0);
	for (unsigned i = 0; i < n; i++)
		assert_memory_equal(work[i], data[i], LEN);
}

static void any_losses_decode(void **state)
{
	uint64_t seed = 4242;

	for (unsigned n = 1; n <= ERASURE_MAX_CELLS; n++)
		for (unsigned k = 1; k <= n; k++) {
			struct erasure_coder *c = erasure_coder_new(k, n - k);
			fill(&seed, k);
			encode(c);
			/* Every pattern of small sets, many of the others. */
			bool all = n <= 8;
			for (uint32_t i = 0; i < (all ? 1u << n : 60); i++) {
				uint32_t have = all ? i : (uint32_t)rnd(&seed) & ((1u << n) - 1);
				if ((unsigned)__builtin_popcount(have) >= k)
					check(c, n, have);
			}
			check(c, n, ((1u << k) - 1) << (n - k)); /* the most parity */
			erasure_coder_free(c);
		}
}

static void one_data_cell_is_copied(void **state)
{
	struct erasure_coder *c = erasure_coder_new(1, 3);
	uint64_t seed = 1;

	fill(&seed, 1);
	encode(c);
	for (unsigned i = 1; i < 4; i++)
		assert_memory_equal(data[i], data[0], LEN);
	erasure_coder_free(c);
}

static void too_few_cells_are_refused(void **state)
{
	struct erasure_coder *c = erasure_coder_new(4, 2);
	void *cells[ERASURE_MAX_CELLS];

	for (unsigned i = 0; i < 6; i++)
		cells[i] = work[i];
	assert_int_equal(erasure_decode(c, LEN, cells, 0x7, 0x8), -QE_QUORUM_READ);
	assert_int_equal(erasure_decode(c, LEN, cells, 0xf, 0), 0);
	erasure_coder_free(c);
	c = erasure_coder_new(3, 0);
	assert_int_equal(erasure_decode(c, LEN, cells, 0x3, 0x4), -QE_QUORUM_READ);
	erasure_coder_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_losses_decode),
		cmocka_unit_test(one_data_cell_is_copied),
		cmocka_unit_test(too_few_cells_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
