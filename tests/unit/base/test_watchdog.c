/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/watchdog.h"

static const char *overdue_step; /* atomic */
static unsigned calls;           /* atomic */

static void overdue(void *arg, const char *step)
{
	assert_ptr_equal(arg, &calls);
	__atomic_store_n(&overdue_step, step, __ATOMIC_RELAXED);
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELEASE);
}

static unsigned called(void)
{
	return __atomic_load_n(&calls, __ATOMIC_ACQUIRE);
}

static void steps_that_end_in_time_are_left_alone(void **state)
{
	struct watchdog *w = watchdog_new(overdue, &calls);

	assert_non_null(w);
	for (unsigned i = 0; i < 5; i++) {
		watchdog_step(w, "a step", 60 * NS_PER_S);
		clock_sleep_ns(2 * NS_PER_MS);
	}
	watchdog_free(w);
	watchdog_free(watchdog_new(overdue, &calls)); /* without a step */
	assert_int_equal(called(), 0);
}

static void a_step_that_does_not_end_is_told_once(void **state)
{
	struct watchdog *w = watchdog_new(overdue, &calls);

	assert_non_null(w);
	watchdog_step(w, "the first", 60 * NS_PER_S);
	watchdog_step(w, "the second", 5 * NS_PER_MS);
	while (!called())
		clock_sleep_ns(NS_PER_MS);
	assert_string_equal(overdue_step, "the second");
	watchdog_step(w, "the third", 0);
	clock_sleep_ns(5 * NS_PER_MS);
	watchdog_free(w);
	assert_int_equal(called(), 1);
}

static void nobody_may_watch(void **state)
{
	watchdog_step(NULL, "a step", 0);
	assert_null(watchdog_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_that_end_in_time_are_left_alone),
		cmocka_unit_test(a_step_that_does_not_end_is_told_once),
		cmocka_unit_test(nobody_may_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
