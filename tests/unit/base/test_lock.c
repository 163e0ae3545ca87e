/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks: exclusion, conditions, and the rank check of debug builds.
 */
#include "unit/base/unit.h"

#include <errno.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"

#define ROUNDS 20000

static struct mutex outer, inner, ns[3];
static struct rwlock rw;
static struct cond cond;
static unsigned counter;

static int setup(void **state)
{
	mutex_init(&outer, LOCK_CONF);
	mutex_init(&inner, LOCK_QUEUE);
	for (int i = 0; i < 3; i++)
		mutex_init(&ns[i], LOCK_NS);
	rwlock_init(&rw, LOCK_PUBLISH);
	cond_init(&cond);
	return 0;
}

static int teardown(void **state)
{
	mutex_destroy(&outer);
	mutex_destroy(&inner);
	for (int i = 0; i < 3; i++)
		mutex_destroy(&ns[i]);
	rwlock_destroy(&rw);
	cond_destroy(&cond);
	return 0;
}

static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		MUTEX_GUARD(&outer);
		MUTEX_GUARD(&inner);
		mutex_assert_held(&inner);
		counter++;
	}
	return NULL;
}

static void guards_exclude(void **state)
{
	pthread_t t[4];

	counter = 0;
	for (int i = 0; i < 4; i++)
		assert_int_equal(thread_start(&t[i], "qn-test", count, NULL), 0);
	for (int i = 0; i < 4; i++)
		thread_join(t[i]);
	assert_int_equal(counter, 4 * ROUNDS);
}

static void *signal_soon(void *arg)
{
	MUTEX_GUARD(&inner);
	counter = 1;
	cond_broadcast(&cond);
	return NULL;
}

static void conditions_wake_and_time_out(void **state)
{
	uint64_t start = clock_mono_ns();
	pthread_t t;

	counter = 0;
	mutex_lock(&inner);
	while (cond_wait_until(&cond, &inner, start + 20 * NS_PER_MS))
		;
	assert_true(clock_mono_ns() >= start + 20 * NS_PER_MS);
	assert_int_equal(thread_start(&t, "qn-test", signal_soon, NULL), 0);
	while (!counter)
		cond_wait(&cond, &inner);
	mutex_unlock(&inner);
	thread_join(t);
}

static void *try_inner(void *arg)
{
	bool got = mutex_trylock(&inner);

	if (got)
		mutex_unlock(&inner);
	return (void *)(uintptr_t)got;
}

static void trylock_fails_while_held(void **state)
{
	void *got;
	pthread_t t;

	mutex_lock(&inner);
	assert_int_equal(thread_start(&t, "qn-test", try_inner, NULL), 0);
	assert_int_equal(pthread_join(t, &got), 0);
	assert_null(got);
	mutex_unlock(&inner);
	assert_int_equal(thread_start(&t, "qn-test", try_inner, NULL), 0);
	assert_int_equal(pthread_join(t, &got), 0);
	assert_non_null(got);
}

/* A lower rank by trylock is legal, and so are two of the classes that say so. */
static void legal_orders_pass(void **state)
{
	mutex_lock(&inner);
	assert_true(mutex_trylock(&outer));
	mutex_unlock(&outer);
	mutex_unlock(&inner);
	mutex_lock(&ns[0]);
	mutex_lock(&ns[1]);
	rwlock_rdlock(&rw);
	mutex_lock(&inner);
	mutex_unlock(&ns[0]);
	mutex_unlock(&ns[1]);
	rwlock_unlock(&rw);
	mutex_unlock(&inner);
	rwlock_wrlock(&rw);
	rwlock_unlock(&rw);
}

static void lock_twice(void)
{
	mutex_lock(&inner);
	mutex_lock(&inner);
}

static void unlock_free(void)
{
	mutex_unlock(&inner);
}

static void misuse_aborts(void **state)
{
	char out[500];

	assert_true(aborts(lock_twice, out, sizeof out));
	assert_true(aborts(unlock_free, out, sizeof out));
}

#ifdef QUOIN_DEBUG
static void invert(void)
{
	mutex_lock(&inner);
	mutex_lock(&outer);
}

static void invert_rwlock(void)
{
	mutex_lock(&inner);
	rwlock_rdlock(&rw);
}

static void read_twice(void)
{
	rwlock_rdlock(&rw);
	rwlock_rdlock(&rw);
}

static void three_ns(void)
{
	for (int i = 0; i < 3; i++)
		mutex_lock(&ns[i]);
}

static void wait_inverted(void)
{
	mutex_lock(&outer);
	mutex_lock(&inner);
	cond_wait(&cond, &outer);
}

static void assert_not_held(void)
{
	mutex_assert_held(&inner);
}

static void inversions_abort_and_name_both(void **state)
{
	char out[500];

	assert_true(aborts(invert, out, sizeof out));
	assert_non_null(strstr(out, "LOCK_CONF"));
	assert_non_null(strstr(out, "LOCK_QUEUE"));
	assert_true(aborts(invert_rwlock, out, sizeof out));
	assert_non_null(strstr(out, "LOCK_PUBLISH"));
	assert_true(aborts(read_twice, out, sizeof out));
	assert_true(aborts(three_ns, out, sizeof out));
	assert_true(aborts(wait_inverted, out, sizeof out));
	assert_true(aborts(assert_not_held, out, sizeof out));
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guards_exclude),
		cmocka_unit_test(conditions_wake_and_time_out),
		cmocka_unit_test(trylock_fails_while_held),
		cmocka_unit_test(legal_orders_pass),
		cmocka_unit_test(misuse_aborts),
#ifdef QUOIN_DEBUG
		cmocka_unit_test(inversions_abort_and_name_both),
#endif
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
