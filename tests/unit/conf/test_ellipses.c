/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/ellipses.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

static int join(void *arg, struct str item)
{
	struct buf *b = arg;

	buf_add_str(b, item);
	buf_add_char(b, ' ');
	return 0;
}

static int stop_at_second(void *arg, struct str item)
{
	return ++*(int *)arg == 2 ? -ENOSPC : 0;
}

static void check(const char *pattern, const char *expected)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char why[256] = "";
	int rc = conf_ellipses_expand(str_of(pattern), join, &b, why, sizeof(why));

	if (!expected) {
		assert_int_equal(rc, -EINVAL);
		assert_string_not_equal(why, "");
		assert_int_equal(b.len, 0);
		return;
	}
	assert_int_equal(rc, 0);
	assert_string_equal(buf_cstr(&b), expected);
}

static void plain_text_stands_for_itself(void **state)
{
	check("/data", "/data ");
	check("/a b.c..d", "/a b.c..d ");
}

static void a_range_counts_up(void **state)
{
	check("/d{1...4}", "/d1 /d2 /d3 /d4 ");
	check("/d{9...11}/x", "/d9/x /d10/x /d11/x ");
	check("/d{7...7}", "/d7 ");
	check("{0...1}", "0 1 ");
}

static void leading_zeros_are_kept(void **state)
{
	check("/d{08...10}", "/d08 /d09 /d10 ");
	check("/d{001...002}", "/d001 /d002 ");
}

static void letters_are_hexadecimal(void **state)
{
	check("/d{a...c}", "/da /db /dc ");
	check("/d{9...b}", "/d9 /da /db ");
	check("/d{0e...10}", "/d0e /d0f /d10 ");
}

static void several_ranges_give_every_combination(void **state)
{
	check("/h{1...2}/d{1...3}", "/h1/d1 /h1/d2 /h1/d3 /h2/d1 /h2/d2 /h2/d3 ");
	check("{1...2}{1...2}", "11 12 21 22 ");
}

static void malformed_patterns_are_refused(void **state)
{
	static const char *const bad[] = {
		"/d{1..4}",          "/d{4...1}", "/d{1...}",       "/d{...4}",           "/d{}",
		"/d{1...4",          "/d1...4}",  "/d{1,2}",        "/d{x...y}",          "/d{A...C}",
		"/d{-1...2}",        "{{1...2}}", "/d{1...100000}", "{1...100}{1...100}", "{1...2}{1...2}{1...2}{1...2}{1...2}",
		"/d{0...9999999999}"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(bad[i], NULL);
}

static void the_callers_error_ends_it(void **state)
{
	char why[64];
	int n = 0;

	assert_int_equal(conf_ellipses_expand(STR_LIT("/d{1...9}"), stop_at_second, &n, why, sizeof(why)), -ENOSPC);
	assert_int_equal(n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_stands_for_itself),
		cmocka_unit_test(a_range_counts_up),
		cmocka_unit_test(leading_zeros_are_kept),
		cmocka_unit_test(letters_are_hexadecimal),
		cmocka_unit_test(several_ranges_give_every_combination),
		cmocka_unit_test(malformed_patterns_are_refused),
		cmocka_unit_test(the_callers_error_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
