/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output_internal.h"

#include <setjmp.h>
#include <stdarg.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_lines),
		cmocka_unit_test(arrays_of_objects_are_tables),
		cmocka_unit_test(what_is_nested_in_a_row_is_below_it),
		cmocka_unit_test(empty_and_plain_arrays),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
