/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bounded.h"
#include "base/clock.h"

/* A call that takes until it is let go. */
struct held {
	struct bounded b;
	bool *go;        /* atomic */
	unsigned *ended; /* atomic */
	pid_t thread;    /* atomic; that makes it */
	bool wanted;
};

static struct held *held_of(struct bounded *b)
{
	return CONTAINER_OF(b, struct held, b);
}

static int held_run(struct bounded *b)
{
	struct held *h = held_of(b);

	__atomic_store_n(&h->thread, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(h->go, __ATOMIC_ACQUIRE))
		clock_sleep_ns(NS_PER_MS);
	return 7;
}

static void held_end(struct bounded *b)
{
	unsigned *ended = held_of(b)->ended;

	free(held_of(b));
	__atomic_fetch_add(ended, 1, __ATOMIC_RELEASE);
}

static bool held_wanted(struct bounded *b)
{
	return held_of(b)->wanted;
}

static struct held *held_new(bool *go, unsigned *ended, bool wanted)
{
	struct held *h = calloc(1, sizeof *h);

	assert_non_null(h);
	*h = (struct held){
		.b = {.run = held_run, .end = held_end, .wanted = held_wanted}, .go = go, .ended = ended, .wanted = wanted};
	return h;
}

/* The thread that made it. */
static pid_t one_call(void)
{
	bool go = true;
	unsigned ended = 0;
	struct held *h = held_new(&go, &ended, true);

	assert_true(bounded_run(&h->b));
	pid_t thread = h->thread;
	assert_int_equal(h->b.rc, 7);
	assert_int_equal(ended, 0);
	bounded_end(&h->b);
	assert_int_equal(ended, 1);
	return thread;
}

static void a_call_that_returns_is_the_callers(void **state)
{
	assert_int_not_equal(one_call(), gettid());
}

static void calls_one_behind_the_other_share_threads(void **state)
{
	pid_t thread[100];
	unsigned n = 0;

	/* One that was used may not wait yet when the next call comes. */
	for (unsigned i = 0; i < 100; i++) {
		unsigned known = 0;
		pid_t t = one_call();
		while (known < n && thread[known] != t)
			known++;
		if (known == n)
			thread[n++] = t;
		clock_sleep_ns(NS_PER_MS);
	}
	assert_true(n < 50);
}

static void a_call_that_is_given_up_ends_by_itself(void **state)
{
	bool go = false;
	unsigned ended = 0;
	struct held *h = held_new(&go, &ended, false);

	assert_false(bounded_run(&h->b));
	pid_t thread; /* it may be given up before it has begun */
	while (!(thread = __atomic_load_n(&h->thread, __ATOMIC_ACQUIRE)))
		clock_sleep_ns(NS_PER_MS);
	assert_int_equal(__atomic_load_n(&ended, __ATOMIC_ACQUIRE), 0);
	/* Its thread is busy: others make other calls meanwhile. */
	for (unsigned i = 0; i < 10; i++)
		assert_int_not_equal(one_call(), thread);
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE))
		clock_sleep_ns(NS_PER_MS);
}

static void more_calls_at_a_time_than_wait(void **state)
{
	bool go = false;
	unsigned ended = 0;

	for (unsigned i = 0; i < 40; i++) {
		struct held *h = held_new(&go, &ended, false);
		assert_false(bounded_run(&h->b));
	}
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < 40)
		clock_sleep_ns(NS_PER_MS);
	for (unsigned i = 0; i < 40; i++)
		one_call();
}

static void a_child_has_threads_of_its_own(void **state)
{
	int status;

#ifdef UNDER_TSAN
	skip(); /* it lets no child of a process with threads start any */
#endif
	one_call(); /* one waits now, or soon */
	clock_sleep_ns(10 * NS_PER_MS);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		_exit(one_call() == getpid());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_returns_is_the_callers),
		cmocka_unit_test(calls_one_behind_the_other_share_threads),
		cmocka_unit_test(a_call_that_is_given_up_ends_by_itself),
		cmocka_unit_test(a_child_has_threads_of_its_own),
		cmocka_unit_test(more_calls_at_a_time_than_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
