/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void good_addresses(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} cases[] = {
		{":9000", "", 9000},
		{"127.0.0.1:1", "127.0.0.1", 1},
		{"[::1]:65535", "::1", 65535},
		{"s3.example-1.org:80", "s3.example-1.org", 80},
		{"localhost:0", "localhost", 0},
	};
	struct conf_address a;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(conf_address_parse(str_of(cases[i].text), &a), 0);
		assert_string_equal(a.host, cases[i].host);
		assert_int_equal(a.port, cases[i].port);
	}
}

static void bad_addresses(void **state)
{
	static const char *const bad[] = {"",        "9000",       "host",     ":",       "host:",      "host:65536",
	                                  "host:-1", "h:1x",       "::1:9000", "[]:9000", "[::1]9000",  "a b:1",
	                                  "a/b:1",   "http://a:1", "[z]:1",    "a:9000 ", "user@h:9000"};
	struct conf_address a;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(conf_address_parse(str_of(bad[i]), &a), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses),
		cmocka_unit_test(bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
