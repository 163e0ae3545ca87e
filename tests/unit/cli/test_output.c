/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *json, const char *expected)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	json_t *j = json_loads(json, JSON_DECODE_ANY, NULL);

	assert_non_null(j);
	output_text(j, &b);
	assert_string_equal(buf_cstr(&b), expected);
	json_decref(j);
}

static void objects_are_lines(void **state)
{
	check("{\"version\": \"1.0\", \"in_sync\": true, \"seq\": 7, \"free_bytes\": 1536, \"epoch\": null}",
	      "version:           1.0\n"
	      "in sync:           yes\n"
	      "seq:               7\n"
	      "free:              1.5 KiB\n"
	      "epoch:             -\n");
}

static void arrays_of_objects_are_tables(void **state)
{
	check("{\"drives\": [{\"path\": \"/a\", \"state\": \"in\"}, "
	      "{\"path\": \"/longer\", \"state\": \"out\", \"error\": \"EIO\"}]}",
	      "drives:\n"
	      "  path     state  error\n"
	      "  /a       in     -\n"
	      "  /longer  out    EIO\n");
}

static void what_is_nested_in_a_row_is_below_it(void **state)
{
	check("{\"v\": [{\"id\": 1, \"extents\": [{\"start\": 0}]}]}", "v:\n"
	                                                               "  id\n"
	                                                               "  1\n"
	                                                               "      extents:\n"
	                                                               "        start\n"
	                                                               "        0\n");
}

static void a_table_too_wide_for_a_terminal_is_blocks(void **state)
{
	CLEANUP_BUF struct buf json = BUF_INIT, expected = BUF_INIT;
	char wide[100];

	memset(wide, 'x', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	buf_addf(&json, "{\"v\": [{\"a\": 1, \"b\": \"%s\", \"c\": \"%s\", \"d\": 3}, {\"a\": 2}]}", wide, wide);
	buf_addf(&expected,
	         "v:\n"
	         "  --\n"
	         "  a:                 1\n"
	         "  b:                 %s\n"
	         "  c:                 %s\n"
	         "  d:                 3\n"
	         "  --\n"
	         "  a:                 2\n",
	         wide, wide);
	check(buf_cstr(&json), buf_cstr(&expected));
}

/* The reason of a drive that is out may be a sentence: scripts count columns. */
static void a_long_last_column_leaves_a_table(void **state)
{
	CLEANUP_BUF struct buf json = BUF_INIT, expected = BUF_INIT;
	char wide[200];

	memset(wide, 'x', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	buf_addf(&json, "{\"v\": [{\"a\": 1, \"b\": \"%s\"}, {\"a\": 2, \"b\": \"\"}]}", wide);
	buf_addf(&expected,
	         "v:\n"
	         "  a  b\n"
	         "  1  %s\n"
	         "  2  \n",
	         wide);
	check(buf_cstr(&json), buf_cstr(&expected));
}

static void empty_and_plain_arrays(void **state)
{
	check("{\"a\": [], \"b\": [\"x\", \"y\"]}", "a: none\nb:\n  x\n  y\n");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	check("{\"key\": \"a\\u001b[2Jb\\n\"}", "key:               a?[2Jb?\n");
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {UINT64_C(5) << 40, "5.0 TiB"}, {UINT64_MAX, "16384.0 PiB"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_BUF struct buf b = BUF_INIT;

		output_size(cases[i].bytes, &b);
		assert_string_equal(buf_cstr(&b), cases[i].text);
	}
}

static void durations(void **state)
{
	check("{\"a_seconds\": 0.25, \"b_seconds\": 59, \"c_seconds\": 307, \"d_seconds\": 10800, \"e_seconds\": 93600.5}",
	      "a:                 0.25 s\n"
	      "b:                 59 s\n"
	      "c:                 5m 07s\n"
	      "d:                 3h 00m\n"
	      "e:                 1d 02h\n");
}

static void some_columns_of_rows(void **state)
{
	static const char *const keys[] = {"c", "a"};
	CLEANUP_BUF struct buf b = BUF_INIT;
	json_t *rows = json_loads("[{\"a\": 1, \"b\": 2}, {\"a\": 3, \"c\": 4}]", 0, NULL), *some;

	some = output_pick(rows, keys, 2);
	output_text(some, &b);
	assert_string_equal(buf_cstr(&b), "c  a\n-  1\n4  3\n");
	json_decref(some);
	json_decref(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_lines),
		cmocka_unit_test(arrays_of_objects_are_tables),
		cmocka_unit_test(what_is_nested_in_a_row_is_below_it),
		cmocka_unit_test(a_table_too_wide_for_a_terminal_is_blocks),
		cmocka_unit_test(a_long_last_column_leaves_a_table),
		cmocka_unit_test(empty_and_plain_arrays),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(sizes),
		cmocka_unit_test(durations),
		cmocka_unit_test(some_columns_of_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
