/* SPDX-License-Identifier: Apache-2.0
 *
 * How long flushes took, as it is told.
 */
#include "unit/base/unit.h"

#include <string.h>

#include "base/clock.h"
#include "meta/set_internal.h"

static void add(struct flush_time *t, uint64_t at_s, uint64_t took_us)
{
	uint64_t now = at_s * NS_PER_S;

	flush_time_add(t, now - took_us * 1000, now);
}

static void nothing_is_told_before_a_flush(void **state)
{
	struct flush_time t = {.since_ns = 0};
	struct meta_flush_time told;

	(void)state;
	flush_time_tell(&t, &told);
	assert_int_equal(told.flushes, 0);
	assert_int_equal(told.p99_us, 0);
}

static void the_running_minute_is_told_until_one_is_whole(void **state)
{
	struct flush_time *t = calloc(1, sizeof *t);
	struct meta_flush_time told;

	(void)state;
	for (unsigned i = 0; i < 97; i++)
		add(t, 1000, 200);
	for (unsigned i = 0; i < 3; i++)
		add(t, 1059, 5000);
	flush_time_tell(t, &told);
	assert_int_equal(told.flushes, 100);
	assert_in_range(told.p50_us, 200, 206);
	assert_in_range(told.p99_us, 5000, 5160);
	add(t, 1061, 90000); /* begins a minute: what came before stays told */
	flush_time_tell(t, &told);
	assert_int_equal(told.flushes, 100);
	assert_in_range(told.p99_us, 5000, 5160);
	add(t, 1121, 100);
	flush_time_tell(t, &told);
	assert_int_equal(told.flushes, 1);
	assert_in_range(told.p99_us, 90000, 92900);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_told_before_a_flush),
		cmocka_unit_test(the_running_minute_is_told_until_one_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
