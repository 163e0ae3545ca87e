/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/macros.h"

static void check(const char *json, bool bar, const char *expected)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	json_t *j = json_loads(json, 0, NULL);

	assert_non_null(j);
	progress_line(j, bar, &b);
	assert_string_equal(buf_cstr(&b), expected);
	json_decref(j);
}

static void bytes_with_a_rate_and_what_is_left(void **state)
{
	check("{\"finished\": false, \"done\": 1073741824, \"total\": 2147483648, \"unit\": \"bytes\", "
	      "\"per_second\": 104857600, \"eta_seconds\": 10.2, \"text\": \"2 drives\"}",
	      true, "[############------------]  50 %  1.0 GiB of 2.0 GiB, 100.0 MiB/s, 10.2 s left: 2 drives");
}

static void other_units_without_a_bar(void **state)
{
	check("{\"finished\": false, \"done\": 3, \"total\": 12, \"unit\": \"segments\"}", false, " 25 %  3 of 12 segments");
}

static void an_unknown_total_is_no_progress(void **state)
{
	check("{\"finished\": false, \"done\": 3, \"total\": 0, \"unit\": \"segments\"}", false, "  0 %  3 of 0 segments");
}

static void what_has_finished_is_full(void **state)
{
	check("{\"finished\": true, \"done\": 0, \"total\": 0, \"unit\": \"bytes\"}", true,
	      "[########################] 100 %  0 B of 0 B");
}

static void more_done_than_expected_is_not_more_than_all(void **state)
{
	check("{\"finished\": false, \"done\": 30, \"total\": 12, \"unit\": \"x\"}", true,
	      "[########################] 100 %  30 of 12 x");
}

static void the_end_is_a_summary(void **state)
{
	check("{\"finished\": true, \"done\": 0, \"total\": 0, \"unit\": \"bytes\", \"failed\": 0, \"text\": \"0 drives healed\"}", false,
	      "100 %  0 drives healed");
	check("{\"finished\": true, \"done\": 8, \"total\": 8, \"unit\": \"bytes\", \"failed\": 0, \"text\": \"1 drive\"}", false,
	      "100 %  8 B of 8 B: 1 drive");
}

static void what_is_not_whole_is_not_all_done(void **state)
{
	check("{\"finished\": true, \"done\": 8, \"total\": 8, \"unit\": \"bytes\", \"failed\": 1, \"text\": \"one is out\"}", false,
	      " 99 %  8 B of 8 B: one is out");
	check("{\"finished\": true, \"done\": 0, \"total\": 0, \"unit\": \"bytes\", \"failed\": 1, \"text\": \"one is out\"}", false,
	      "  0 %  one is out");
}

static void what_waits_says_for_what(void **state)
{
	check("{\"finished\": false, \"done\": 0, \"total\": 9, \"unit\": \"x\", \"text\": \"t\", \"waits\": \"it is paused\"}", false,
	      "  0 %  0 of 9 x: t; it waits: it is paused");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_with_a_rate_and_what_is_left),
		cmocka_unit_test(other_units_without_a_bar),
		cmocka_unit_test(an_unknown_total_is_no_progress),
		cmocka_unit_test(what_has_finished_is_full),
		cmocka_unit_test(the_end_is_a_summary),
		cmocka_unit_test(what_is_not_whole_is_not_all_done),
		cmocka_unit_test(what_waits_says_for_what),
		cmocka_unit_test(more_done_than_expected_is_not_more_than_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
