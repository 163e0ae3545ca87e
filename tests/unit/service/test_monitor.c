/* SPDX-License-Identifier: Apache-2.0
 *
 * What the monitor tells of a drive: each change once, errors seldom, slow only beside faster ones.
 */
#include "service/monitor_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"

#define N 4

struct world {
	struct monitor_memory m[N];
	struct monitor_sample now[N];
	uint64_t time;
};

static void start(struct world *w)
{
	*w = (struct world){.time = 1000 * NS_PER_S};
	for (unsigned i = 0; i < N; i++)
		w->now[i] = (struct monitor_sample){.present = true, .state = ISR_IN};
}

/* A second with ten writes and flushes of the given cost on each drive; the events of the first. */
static unsigned second(struct world *w, uint64_t first_ms, uint64_t others_ms)
{
	unsigned events = 0;

	w->time += NS_PER_S;
	for (unsigned i = 0; i < N; i++) {
		struct drive_stats *st = &w->now[i].st;
		uint64_t ms = i ? others_ms : first_ms;

		st->writes += ms ? 10 : 0;
		st->syncs += ms ? 10 : 0;
		st->write_ns += 5 * ms * NS_PER_MS;
		st->sync_ns += 5 * ms * NS_PER_MS;
		unsigned e = monitor_judge(&w->m[i], &w->now[i], monitor_peers(w->m, N, i), w->time, w->time);
		events = i ? events : e;
	}
	return events;
}

static void a_change_of_state_is_told_once(void **state)
{
	struct world w;

	start(&w);
	assert_int_equal(second(&w, 1, 1), MONITOR_STATE);
	assert_int_equal(second(&w, 1, 1), 0);
	w.now[0].state = ISR_OUT;
	assert_int_equal(second(&w, 0, 1), MONITOR_STATE);
	assert_int_equal(w.m[0].told.since_ns, w.time);
	assert_int_equal(second(&w, 0, 1), 0);
	w.now[0].present = false; /* the keeper has closed it */
	assert_int_equal(second(&w, 0, 1), 0);
	w.now[0].state = ISR_IN;
	assert_int_equal(second(&w, 0, 1), MONITOR_STATE);
	w.now[0].present = true;
	assert_int_equal(second(&w, 1, 1), MONITOR_STATE);
	assert_int_equal(second(&w, 1, 1), 0);
}

static void errors_are_told_at_once_and_then_seldom(void **state)
{
	struct world w;

	start(&w);
	second(&w, 1, 1);
	w.now[0].st.errors = 1;
	assert_int_equal(second(&w, 1, 1), MONITOR_ERRORS);
	for (unsigned i = 0; i < 500; i++) {
		w.now[0].st.errors++;
		assert_int_equal(second(&w, 1, 1), 0);
	}
	for (unsigned i = 0; i < 98; i++)
		assert_int_equal(second(&w, 1, 1), 0);
	w.time += 10 * NS_PER_S;
	assert_int_equal(second(&w, 1, 1), MONITOR_ERRORS);
	assert_int_equal(second(&w, 1, 1), 0);
}

static void another_drive_in_the_slot_starts_anew(void **state)
{
	struct world w;

	start(&w);
	w.now[0].st.errors = 5;
	assert_int_equal(second(&w, 1, 1), MONITOR_STATE | MONITOR_ERRORS);
	w.now[0].st = (struct drive_stats){.errors = 1};
	assert_int_equal(second(&w, 1, 1), MONITOR_ERRORS);
}

static void a_drive_far_slower_than_the_others_is_slow(void **state)
{
	struct world w;
	unsigned n;

	start(&w);
	second(&w, 2, 2);
	for (n = 0; n < 100 && second(&w, 200, 2) != MONITOR_SLOW; n++)
		;
	assert_in_range(n, 4, 30);
	assert_true(w.m[0].told.slow);
	assert_false(w.m[1].told.slow);
	for (n = 0; n < 20; n++)
		assert_int_equal(second(&w, 200, 2), 0);
	for (n = 0; n < 100 && second(&w, 2, 2) != MONITOR_FAST; n++)
		;
	assert_true(n < 100);
	assert_false(w.m[0].told.slow);
}

static void drives_that_are_all_slow_are_not_told(void **state)
{
	struct world w;

	start(&w);
	second(&w, 300, 300);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(second(&w, 400, 300), 0);
}

static void a_fast_drive_is_not_slow_beside_faster_ones(void **state)
{
	struct world w;

	start(&w);
	second(&w, 40, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(second(&w, 40, 1), 0);
}

static void latency_is_smoothed_and_kept_while_idle(void **state)
{
	struct world w;

	start(&w);
	second(&w, 10, 1); /* the first look is where counting begins */
	for (unsigned i = 0; i < 50; i++)
		second(&w, 10, 1);
	assert_in_range(w.m[0].told.write_ns, 4900000, 5000000);
	second(&w, 0, 1);
	assert_in_range(w.m[0].told.write_ns, 4900000, 5000000);
	assert_int_equal(w.m[0].told.read_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_of_state_is_told_once),
		cmocka_unit_test(errors_are_told_at_once_and_then_seldom),
		cmocka_unit_test(another_drive_in_the_slot_starts_anew),
		cmocka_unit_test(a_drive_far_slower_than_the_others_is_slow),
		cmocka_unit_test(drives_that_are_all_slow_are_not_told),
		cmocka_unit_test(a_fast_drive_is_not_slow_beside_faster_ones),
		cmocka_unit_test(latency_is_smoothed_and_kept_while_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
