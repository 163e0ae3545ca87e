/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed strings: comparison, splitting, numbers with units, UTF-8.
 */
#include "unit/base/unit.h"

#include <errno.h>

#include "base/macros.h"
#include "base/str.h"

static void comparison(void **state)
{
	struct str none = {NULL, 0};

	assert_true(str_eq(none, STR_LIT("")));
	assert_true(str_cmp(STR_LIT("ab"), STR_LIT("abc")) < 0);
	assert_true(str_cmp(STR_LIT("abc"), STR_LIT("ab")) > 0);
	assert_true(str_cmp(STR_LIT("\xff"), STR_LIT("a")) > 0);
	assert_int_equal(str_cmp(none, STR_LIT("")), 0);
	assert_true(str_eq_nocase(STR_LIT("X-Amz-Date"), STR_LIT("x-amz-dATE")));
	assert_false(str_eq_nocase(STR_LIT("["), STR_LIT("{")));
	assert_true(str_starts(STR_LIT("abc"), STR_LIT("ab")));
	assert_true(str_starts(STR_LIT("abc"), none));
	assert_false(str_starts(STR_LIT("a"), STR_LIT("ab")));
	assert_true(str_ends(STR_LIT("abc"), STR_LIT("bc")));
	assert_true(str_ends(none, none));
	assert_false(str_ends(STR_LIT("c"), STR_LIT("bc")));
	assert_true(str_eqc(str_trim(STR_LIT(" \t a b\r\n ")), "a b"));
	assert_true(str_eqc(str_trim(STR_LIT("  ")), ""));
}

static void find_and_split(void **state)
{
	struct str rest = STR_LIT("a,,b,"), piece, none = {NULL, 0};
	static const char *const want[] = {"a", "", "b", ""};

	assert_int_equal(str_find(STR_LIT("a,b,"), ',', 2), 3);
	assert_int_equal(str_find(STR_LIT("a,b"), ',', 2), -1);
	assert_int_equal(str_find(STR_LIT("a"), 'a', 5), -1);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_true(str_split(&rest, ',', &piece));
		assert_true(str_eqc(piece, want[i]));
	}
	assert_false(str_split(&rest, ',', &piece));
	assert_false(str_split(&none, ',', &piece));
	rest = STR_LIT("");
	assert_true(str_split(&rest, ',', &piece));
	assert_false(str_split(&rest, ',', &piece));
}

struct number {
	const char *text;
	int rc;
	uint64_t want;
};

static void check_numbers(int (*fn)(struct str, uint64_t *), const struct number *n, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t v = 4711;

		assert_int_equal(fn(str_of(n[i].text), &v), n[i].rc);
		assert_int_equal(v, n[i].rc ? 4711 : n[i].want);
	}
}

static void numbers(void **state)
{
	static const struct number u64[] = {
		{"0", 0, 0}, {"007", 0, 7}, {"18446744073709551615", 0, UINT64_MAX}, {"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0}, {"99999999999999999999999x", -EINVAL, 0}, {"", -EINVAL, 0},
		{"-1", -EINVAL, 0}, {"+1", -EINVAL, 0}, {" 1", -EINVAL, 0}, {"1 ", -EINVAL, 0}, {"0x1", -EINVAL, 0},
	};
	static const struct number sizes[] = {
		{"4096", 0, 4096}, {"64MiB", 0, 64 << 20}, {"1G", 0, 1 << 30}, {"3k", 0, 3072}, {"15E", 0, 15ULL << 60},
		{"16E", -ERANGE, 0}, {"1MB", -EINVAL, 0}, {"1Mi", -EINVAL, 0}, {"M", -EINVAL, 0}, {"1 M", -EINVAL, 0},
		{"1X", -EINVAL, 0}, {"1iB", -EINVAL, 0},
	};
	static const struct number durations[] = {
		{"30", 0, 30000000000}, {"5s", 0, 5000000000}, {"100ms", 0, 100000000}, {"2m", 0, 120000000000},
		{"1h", 0, 3600000000000}, {"1d", 0, 86400000000000}, {"0", 0, 0}, {"ms", -EINVAL, 0}, {"1y", -EINVAL, 0},
		{"1.5s", -EINVAL, 0}, {"99999999999h", -ERANGE, 0},
	};

	check_numbers(str_to_u64, u64, ARRAY_SIZE(u64));
	check_numbers(str_to_size, sizes, ARRAY_SIZE(sizes));
	check_numbers(str_to_duration, durations, ARRAY_SIZE(durations));
}

static void utf8(void **state)
{
	static const char *const good[] = {
		"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "a\xe2\x82\xac-",
	};
	static const char *const bad[] = {
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x90\x80", "\xc3(", "\xe2\x82(", "a\xe2(\xac",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(str_is_utf8(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(str_is_utf8(str_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparison),
		cmocka_unit_test(find_and_split),
		cmocka_unit_test(numbers),
		cmocka_unit_test(utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
