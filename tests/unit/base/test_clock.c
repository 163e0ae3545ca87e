/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks: the date forms of RFC 7231 and ISO 8601, good and bad.
 */
#include "unit/base/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/macros.h"

#define NOV_1994 (784111777ULL * NS_PER_S) /* the date of RFC 7231 7.1.1.1 */

static void formats(void **state)
{
	char text[64];

	clock_format_http(NOV_1994, text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_int_equal(strlen(text), CLOCK_HTTP_LEN);
	clock_format_iso(NOV_1994 + 5999999, text);
	assert_string_equal(text, "1994-11-06T08:49:37.005Z");
	assert_int_equal(strlen(text), CLOCK_ISO_LEN);
	clock_format_iso(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format_iso(UINT64_MAX, text);
	assert_string_equal(text, "2554-07-21T23:34:33.709Z");
}

static void the_three_http_forms(void **state)
{
	static const char *const forms[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	};
	uint64_t t;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		assert_int_equal(clock_parse_http(str_of(forms[i]), &t), 0);
		assert_int_equal(t, NOV_1994);
	}
}

static void iso_forms(void **state)
{
	uint64_t t;

	assert_int_equal(clock_parse_iso(STR_LIT("19941106T084937Z"), &t), 0);
	assert_int_equal(t, NOV_1994);
	assert_int_equal(clock_parse_iso(STR_LIT("1994-11-06T08:49:37Z"), &t), 0);
	assert_int_equal(t, NOV_1994);
	assert_int_equal(clock_parse_iso(STR_LIT("1994-11-06T08:49:37.5Z"), &t), 0);
	assert_int_equal(t, NOV_1994 + 500 * NS_PER_MS);
	assert_int_equal(clock_parse_iso(STR_LIT("1994-11-06T08:49:37.1234567899Z"), &t), 0);
	assert_int_equal(t, NOV_1994 + 123456789);
	assert_int_equal(clock_parse_iso(STR_LIT("2000-02-29T23:59:60Z"), &t), 0);
	assert_int_equal(t, 951868800ULL * NS_PER_S);
}

static void bad_dates_are_refused(void **state)
{
	static const char *const http[] = {
		"", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sonntag, 06-Nov-94 08:49:37 GMT", "Sun Nov 6 08:49:37 1994", "Sun, 00 Nov 1994 08:49:37 GMT", ",", "784111777",
	};
	static const char *const iso[] = {
		"", "1994-11-06", "19941106T084937", "1994-11-06T08:49:37", "1994-11-06T08:49:37.Z", "1994-13-06T08:49:37Z",
		"1994-11-06T084937Z", "19941106T08:49:37Z", "1994-02-29T08:49:37Z", "9999-11-06T08:49:37Z", "19941106T084937ZZ",
		"+994-11-06T08:49:37Z", "1994-11-06T08:49:61Z", "1994-00-06T08:49:37Z",
	};
	uint64_t t = 1;

	for (size_t i = 0; i < ARRAY_SIZE(http); i++)
		assert_int_equal(clock_parse_http(str_of(http[i]), &t), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(iso); i++)
		assert_int_equal(clock_parse_iso(str_of(iso[i]), &t), -EINVAL);
	assert_int_equal(clock_parse_iso((struct str){"1994\0001106T084937Z", 17}, &t), -EINVAL);
	assert_int_equal(t, 1);
}

static void random_times_come_back(void **state)
{
	char text[64];
	uint64_t t, back;

	for (int i = 0; i < 5000; i++) {
		t = ((uint64_t)rand() << 31 ^ (uint64_t)rand()) % (18000000000ULL * 1000) * NS_PER_MS;
		clock_format_iso(t, text);
		assert_int_equal(clock_parse_iso(str_of(text), &back), 0);
		assert_int_equal(back, t);
		clock_format_http(t, text);
		assert_int_equal(clock_parse_http(str_of(text), &back), 0);
		assert_int_equal(back, t / NS_PER_S * NS_PER_S);
	}
}

static void time_passes(void **state)
{
	uint64_t mono = clock_mono_ns(), wall = clock_wall_ns();

	assert_true(wall > 1700000000ULL * NS_PER_S);
	clock_sleep_ns(2 * NS_PER_MS);
	assert_true(clock_mono_ns() - mono >= 2 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(the_three_http_forms),
		cmocka_unit_test(iso_forms),
		cmocka_unit_test(bad_dates_are_refused),
		cmocka_unit_test(random_times_come_back),
		cmocka_unit_test(time_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
