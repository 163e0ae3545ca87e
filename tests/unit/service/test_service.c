/* SPDX-License-Identifier: Apache-2.0
 *
 * The scheduler: when runs begin and end, what a row may spend, what is told of it.
 */
#include "service/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"

struct job {
	atomic_uint runs, running, most, ended, spent, threads_seen;
	atomic_bool hold; /* a run stays until this is false or it is told to end */
	atomic_int rc;
	unsigned spend_times;
	uint64_t spend;
};

static int job_run(void *arg, struct service_run *r)
{
	struct job *j = arg;
	unsigned now = atomic_fetch_add(&j->running, 1) + 1;

	if (now > atomic_load(&j->most))
		atomic_store(&j->most, now);
	atomic_fetch_or(&j->threads_seen, 1u << service_run_thread(r));
	atomic_fetch_add(&j->runs, 1);
	while (atomic_load(&j->hold) && !service_run_ends(r))
		clock_sleep_ns(NS_PER_MS);
	for (unsigned i = 0; i < j->spend_times && service_run_spend(r, j->spend); i++)
		atomic_fetch_add(&j->spent, 1);
	service_run_progress(r, 3, 7);
	service_run_note(r, "run %u", atomic_load(&j->runs));
	atomic_fetch_sub(&j->running, 1);
	atomic_fetch_add(&j->ended, 1);
	return atomic_load(&j->rc);
}

static void await_value(atomic_uint *v, unsigned at_least)
{
	for (unsigned i = 0; i < 20000; i++) {
		if (atomic_load(v) >= at_least)
			return;
		clock_sleep_ns(NS_PER_MS);
	}
	fail_msg("never reached %u", at_least);
}

static void await_state(struct services *s, enum service_state want)
{
	struct service_info info;

	for (unsigned i = 0; i < 20000; i++) {
		assert_int_equal(services_list(s, &info, 1), 1);
		if (info.state == want)
			return;
		clock_sleep_ns(NS_PER_MS);
	}
	fail_msg("never in state %d", want);
}

static struct services *start(struct service row)
{
	struct services *s = NULL;

	assert_int_equal(services_start(&row, 1, &s), 0);
	return s;
}

static void a_row_with_a_period_runs_again_and_again(void **state)
{
	struct job j = {0};
	struct services *s = start((struct service){.name = "often", .period_ns = NS_PER_MS, .run = job_run, .arg = &j});
	struct service_info info;

	await_value(&j.runs, 3);
	await_value(&j.ended, 3);
	assert_int_equal(services_list(s, &info, 1), 1);
	assert_string_equal(info.name, "often");
	assert_true(info.cycle >= 3);
	assert_true(info.started_ns > 0);
	assert_true(info.ended_ns > 0);
	services_stop(s);
}

static void the_first_run_waits_for_its_time(void **state)
{
	struct job j = {0};
	struct services *s = start((struct service){
		.name = "later", .first_ns = 3600 * NS_PER_S, .period_ns = NS_PER_S, .run = job_run, .arg = &j});
	struct service_info info;

	services_list(s, &info, 1);
	assert_int_equal(info.cycle, 0);
	assert_int_equal(info.state, SERVICE_WAITING);
	assert_true(info.next_ns > clock_wall_ns() + 3000 * NS_PER_S);
	services_stop(s);
	assert_int_equal(j.runs, 0);
}

static void a_long_run_is_not_started_twice(void **state)
{
	struct job j = {.hold = true};
	struct services *s = start((struct service){.name = "long", .period_ns = NS_PER_MS, .run = job_run, .arg = &j});

	await_value(&j.runs, 1);
	clock_sleep_ns(30 * NS_PER_MS); /* many periods */
	assert_int_equal(j.runs, 1);
	atomic_store(&j.hold, false);
	await_value(&j.ended, 3);
	services_stop(s);
	assert_int_equal(j.most, 1);
}

static void a_row_without_a_period_runs_when_poked(void **state)
{
	struct job j = {0};
	struct services *s = start((struct service){.name = "asked", .run = job_run, .arg = &j});
	struct service_info info;

	services_list(s, &info, 1);
	assert_int_equal(info.next_ns, 0);
	assert_int_equal(services_poke(s, "asked"), 0);
	await_value(&j.ended, 1);
	await_state(s, SERVICE_WAITING);
	services_list(s, &info, 1);
	assert_int_equal(info.cycle, 1);
	assert_int_equal(info.done, 3);
	assert_int_equal(info.total, 7);
	assert_string_equal(info.note, "run 1");
	assert_int_equal(services_poke(s, "nobody"), -ENOENT);
	services_stop(s);
}

static void a_poke_during_a_run_is_not_lost(void **state)
{
	struct job j = {.hold = true};
	struct services *s = start((struct service){.name = "asked", .run = job_run, .arg = &j});

	assert_int_equal(services_poke(s, "asked"), 0);
	await_value(&j.runs, 1);
	assert_int_equal(services_poke(s, "asked"), 0);
	assert_int_equal(services_poke(s, "asked"), 0);
	atomic_store(&j.hold, false);
	await_value(&j.ended, 2);
	await_state(s, SERVICE_WAITING);
	assert_int_equal(j.runs, 2); /* two pokes of the same run: one more */
	services_stop(s);
}

static void the_rest_behind_a_run_is_kept(void **state)
{
	struct job j = {0};
	struct services *s = start((struct service){
		.name = "rests", .period_ns = NS_PER_MS, .pause_ns = 3600 * NS_PER_S, .run = job_run, .arg = &j});

	await_value(&j.ended, 1);
	clock_sleep_ns(20 * NS_PER_MS);
	assert_int_equal(j.runs, 1);
	assert_int_equal(services_poke(s, "rests"), 0); /* who asks need not wait */
	await_value(&j.ended, 2);
	services_stop(s);
}

static void stopping_ends_a_run_at_once(void **state)
{
	struct job j = {.spend_times = UINT32_MAX, .spend = 3600};
	struct services *s = start((struct service){.name = "slow", .budget = 1, .run = job_run, .arg = &j});

	assert_int_equal(services_poke(s, "slow"), 0);
	await_value(&j.spent, 1);
	uint64_t begun = clock_mono_ns();
	services_stop(s);
	assert_true(clock_mono_ns() - begun < 10 * NS_PER_S); /* the budget would make it wait for an hour */
	assert_int_equal(j.ended, 1);
}

static void a_budget_limits_the_rate(void **state)
{
	/* 30 units at 100 a second, the first are free: 0.2 s at least. */
	struct job j = {.spend_times = 30, .spend = 1};
	struct services *s = start((struct service){.name = "paced", .budget = 100, .run = job_run, .arg = &j});
	uint64_t begun = clock_mono_ns();

	assert_int_equal(services_poke(s, "paced"), 0);
	await_value(&j.ended, 1);
	assert_int_equal(j.spent, 30);
	assert_true(clock_mono_ns() - begun >= 190 * NS_PER_MS);
	services_stop(s);
}

static void a_pause_ends_the_run_and_a_resume_begins_it_anew(void **state)
{
	struct job j = {.hold = true};
	struct services *s = start((struct service){.name = "asked", .run = job_run, .arg = &j});

	assert_int_equal(services_poke(s, "asked"), 0);
	await_value(&j.runs, 1);
	assert_int_equal(services_pause(s, "asked", true), 0);
	await_state(s, SERVICE_PAUSED);
	assert_int_equal(services_poke(s, "asked"), 0); /* kept for later */
	clock_sleep_ns(10 * NS_PER_MS);
	assert_int_equal(j.runs, 1);
	assert_int_equal(services_pause(s, "asked", false), 0);
	await_value(&j.runs, 2);
	/* cut off again, without a poke: it begins anew all the same */
	assert_int_equal(services_pause(s, "asked", true), 0);
	await_state(s, SERVICE_PAUSED);
	assert_int_equal(services_pause(s, "asked", false), 0);
	await_value(&j.runs, 3);
	assert_int_equal(services_pause(s, "nobody", true), -ENOENT);
	services_stop(s);
}

static void all_threads_of_a_run_work_together(void **state)
{
	struct job j = {.hold = true};
	struct services *s = start((struct service){.name = "many", .concurrency = 4, .run = job_run, .arg = &j});
	struct service_info info;

	assert_int_equal(services_poke(s, "many"), 0);
	await_value(&j.running, 4);
	assert_int_equal(j.threads_seen, 15);
	services_list(s, &info, 1);
	assert_int_equal(info.cycle, 1);
	atomic_store(&j.hold, false);
	await_value(&j.ended, 4);
	await_state(s, SERVICE_WAITING);
	assert_int_equal(services_poke(s, "many"), 0);
	await_value(&j.ended, 8);
	services_stop(s);
	assert_int_equal(j.runs, 8);
}

static void failures_are_counted_and_the_next_run_comes(void **state)
{
	struct job j = {.rc = -EIO};
	struct services *s = start((struct service){.name = "fails", .run = job_run, .arg = &j});
	struct service_info info;

	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(services_poke(s, "fails"), 0);
		await_value(&j.ended, i);
		await_state(s, SERVICE_WAITING);
	}
	services_list(s, &info, 1);
	assert_int_equal(info.failures, 2);
	services_stop(s);
}

static void watch(void *arg, struct service_info *ret)
{
	ret->cycle = *(uint64_t *)arg;
	ret->state = SERVICE_RUNNING;
}

static void a_watched_row_is_told_by_its_owner(void **state)
{
	uint64_t cycles = 42;
	struct job j = {0};
	struct service rows[] = {
		{.name = "watched", .watch = watch, .arg = &cycles},
		{.name = "own", .run = job_run, .arg = &j},
	};
	struct services *s = NULL;
	struct service_info info[4];

	assert_int_equal(services_start(rows, 2, &s), 0);
	assert_int_equal(services_list(s, info, 4), 2);
	assert_int_equal(info[0].cycle, 42);
	assert_int_equal(info[0].state, SERVICE_RUNNING);
	assert_int_equal(info[1].state, SERVICE_WAITING);
	assert_int_equal(services_poke(s, "watched"), -EOPNOTSUPP); /* nothing here runs it */
	services_stop(s);
}

static void no_table_is_stopped_too(void **state)
{
	assert_null(services_stop(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_with_a_period_runs_again_and_again),
		cmocka_unit_test(the_first_run_waits_for_its_time),
		cmocka_unit_test(a_long_run_is_not_started_twice),
		cmocka_unit_test(a_row_without_a_period_runs_when_poked),
		cmocka_unit_test(a_poke_during_a_run_is_not_lost),
		cmocka_unit_test(the_rest_behind_a_run_is_kept),
		cmocka_unit_test(stopping_ends_a_run_at_once),
		cmocka_unit_test(a_budget_limits_the_rate),
		cmocka_unit_test(a_pause_ends_the_run_and_a_resume_begins_it_anew),
		cmocka_unit_test(all_threads_of_a_run_work_together),
		cmocka_unit_test(failures_are_counted_and_the_next_run_comes),
		cmocka_unit_test(a_watched_row_is_told_by_its_owner),
		cmocka_unit_test(no_table_is_stopped_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
