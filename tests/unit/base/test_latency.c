/* SPDX-License-Identifier: Apache-2.0
 *
 * Times of many operations: what is told of them.
 */
#include "unit/base/unit.h"

#include "base/latency.h"

static void nothing_added_tells_nothing(void **state)
{
	struct latency l = {0};

	(void)state;
	assert_int_equal(latency_part(&l, 0.99), 0);
}

static void parts_are_at_most_a_bucket_above_the_truth(void **state)
{
	struct latency l = {0};

	(void)state;
	for (uint64_t us = 1; us <= 100000; us++)
		latency_add(&l, us);
	for (unsigned percent = 1; percent <= 100; percent++) {
		uint64_t truth = percent * 1000, told = latency_part(&l, percent / 100.0);

		assert_true(told >= truth && told <= truth + truth / 31);
	}
}

static void small_times_are_exact(void **state)
{
	(void)state;
	for (uint64_t us = 0; us < 2 * LATENCY_SUB; us++) {
		struct latency l = {0};

		latency_add(&l, us);
		assert_int_equal(latency_part(&l, 0.5), us);
	}
}

static void what_is_too_long_counts_as_the_longest(void **state)
{
	struct latency l = {0};

	(void)state;
	latency_add(&l, UINT64_MAX);
	latency_add(&l, 5);
	assert_int_equal(latency_part(&l, 0.0), 5);
	assert_true(latency_part(&l, 1.0) >= UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_added_tells_nothing),
		cmocka_unit_test(parts_are_at_most_a_bucket_above_the_truth),
		cmocka_unit_test(small_times_are_exact),
		cmocka_unit_test(what_is_too_long_counts_as_the_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
