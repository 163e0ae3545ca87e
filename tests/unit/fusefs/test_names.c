/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/clock.h"
#include "fusefs/fusefs_internal.h"

static struct str name_of(char buf[32], unsigned i)
{
	snprintf(buf, 32, "name%u", i);
	return str_of(buf);
}

static void what_was_told_is_known(void **state)
{
	struct names *n = names_new(3600 * NS_PER_S);
	unsigned wrong = 0;
	char buf[32];

	for (unsigned i = 0; i < 20000; i++)
		names_add(n, i % 7, name_of(buf, i));
	for (unsigned i = 0; i < 20000; i++) {
		assert_true(names_has(n, i % 7, name_of(buf, i)));
		wrong += names_has(n, i % 7 + 100, name_of(buf, i));
	}
	assert_true(wrong < 200); /* 0.1 % of the bits are set */
	names_free(n);
}

static void what_the_kernel_asks_again_for_is_forgotten(void **state)
{
	struct names *n = names_new(20 * NS_PER_MS);

	names_add(n, 1, STR_LIT("a"));
	clock_sleep_ns(25 * NS_PER_MS);
	names_add(n, 1, STR_LIT("b"));
	assert_true(names_has(n, 1, STR_LIT("a"))); /* one generation old */
	clock_sleep_ns(25 * NS_PER_MS);
	names_add(n, 1, STR_LIT("c"));
	assert_false(names_has(n, 1, STR_LIT("a")));
	assert_true(names_has(n, 1, STR_LIT("b")));
	names_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_told_is_known),
		cmocka_unit_test(what_the_kernel_asks_again_for_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
