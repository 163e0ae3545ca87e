/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads and work queues.
 */
#include "unit/base/unit.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/thread.h"

#define ITEMS 1000

static char name_seen[16];
static bool usr1_blocked, segv_blocked;

static void *look_around(void *arg)
{
	sigset_t set;

	pthread_getname_np(pthread_self(), name_seen, sizeof name_seen);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	usr1_blocked = sigismember(&set, SIGUSR1);
	segv_blocked = sigismember(&set, SIGSEGV);
	return NULL;
}

static void threads_have_a_name_and_signals_of_faults_alone(void **state)
{
	sigset_t set;
	pthread_t t;

	assert_int_equal(thread_start(&t, "qn-a-name-too-long", look_around, NULL), 0);
	thread_join(t);
	assert_string_equal(name_seen, "qn-a-name-too-l");
	assert_true(usr1_blocked);
	assert_false(segv_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	assert_false(sigismember(&set, SIGUSR1));
}

#define HEARD 42

static void hear_of_fault(int sig)
{
	_exit(HEARD);
}

static volatile unsigned deep;

static __attribute__((noinline)) unsigned use_up_the_stack(unsigned n)
{
	volatile char frame[4096];

	frame[0] = (char)n;
	deep = n;
	return n == UINT_MAX ? 0 : use_up_the_stack(n + 1) + (unsigned)frame[0];
}

static void *overflow(void *arg)
{
	*(unsigned *)arg = use_up_the_stack(0);
	return NULL;
}

static void a_thread_without_stack_is_heard_of(void **state)
{
	struct sigaction sa = {.sa_handler = hear_of_fault, .sa_flags = SA_ONSTACK};
	unsigned out;
	pthread_t t;
	int status;

	pid_t child = fork();
	if (child == 0) {
		if (sigaction(SIGSEGV, &sa, NULL) == 0 && thread_start(&t, "qn-deep", overflow, &out) == 0)
			thread_join(t);
		_exit(1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), HEARD);
}

static void *end_late(void *arg)
{
	*(bool *)arg = true;
	return NULL;
}

/* The kernel ends a thread only when its I/O has returned: here, when a destructor of it has. */
static atomic_bool may_end, ended;

static void wait_to_end(void *arg)
{
	while (!atomic_load(&may_end))
		usleep(1000);
	atomic_store(&ended, true);
}

static void *set_late(void *arg)
{
	static pthread_key_t key;

	assert_int_equal(pthread_key_create(&key, wait_to_end), 0);
	assert_int_equal(pthread_setspecific(key, arg), 0);
	return end_late(arg);
}

static void a_thread_that_the_kernel_does_not_end_is_joined(void **state)
{
	bool returned = false;
	pthread_t t;

	assert_int_equal(thread_start(&t, "qn-late", set_late, &returned), 0);
	thread_join(t);
	assert_true(returned);
	assert_false(atomic_load(&ended));
	atomic_store(&may_end, true);
	while (!atomic_load(&ended))
		usleep(1000);
}

static void *end_at_once(void *arg)
{
	return NULL;
}

static void a_detached_thread_may_end_before_and_after(void **state)
{
	for (unsigned i = 0; i < 100; i++) {
		pthread_t t;

		assert_int_equal(thread_start(&t, "qn-detached", end_at_once, NULL), 0);
		if (i % 2)
			usleep(200);
		thread_detach(t);
	}
}

struct job {
	struct work work;
	struct workq *q;
	unsigned number;
	struct job *then;
};

static atomic_uint done;
static unsigned last;
static bool in_order;

static void run_job(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	in_order = in_order && j->number == last;
	last = j->number + 1;
	atomic_fetch_add(&done, 1);
}

static void run_counted(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	if (j->then)
		workq_push(j->q, &j->then->work);
	atomic_fetch_add(&done, 1);
}

static void one_worker_keeps_the_order(void **state)
{
	static struct job jobs[ITEMS];
	struct workq *q = workq_new("qn-test", 1);

	assert_non_null(q);
	done = last = 0;
	in_order = true;
	for (unsigned i = 0; i < ITEMS; i++) {
		jobs[i] = (struct job){.work.run = run_job, .number = i};
		workq_push(q, &jobs[i].work);
	}
	assert_null(workq_free(q));
	assert_int_equal(done, ITEMS);
	assert_true(in_order);
}

/* What is queued runs before workq_free returns, also when work items queue others meanwhile. */
static void free_runs_what_is_queued(void **state)
{
	static struct job jobs[2 * ITEMS];
	struct workq *q = workq_new("qn-test", 4);

	assert_non_null(q);
	done = 0;
	for (unsigned i = 0; i < ITEMS; i++) {
		jobs[ITEMS + i] = (struct job){.work.run = run_counted, .q = q};
		jobs[i] = (struct job){.work.run = run_counted, .q = q, .then = &jobs[ITEMS + i]};
		workq_push(q, &jobs[i].work);
	}
	workq_free(q);
	assert_int_equal(done, 2 * ITEMS);
	assert_null(workq_free(NULL));
}

static void *write_some(void *arg)
{
	static const char bytes[5000];
	uint64_t before = thread_written();

	assert_int_equal(fwrite(bytes, 1, sizeof bytes, arg), sizeof bytes);
	assert_int_equal(fflush(arg), 0);
	assert_int_equal(thread_written() - before, sizeof bytes);
	return NULL;
}

/* Those of other threads are not in it. */
static void thread_knows_what_it_wrote(void **state)
{
	FILE *f = tmpfile();
	pthread_t t;

	assert_non_null(f);
	if (access("/proc/thread-self/io", R_OK) < 0)
		skip();
	uint64_t before = thread_written();
	assert_int_equal(thread_start(&t, "qn-test", write_some, f), 0);
	thread_join(t);
	assert_int_equal(thread_written(), before);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_have_a_name_and_signals_of_faults_alone),
		cmocka_unit_test(a_thread_without_stack_is_heard_of),
		cmocka_unit_test(a_thread_that_the_kernel_does_not_end_is_joined),
		cmocka_unit_test(a_detached_thread_may_end_before_and_after),
		cmocka_unit_test(one_worker_keeps_the_order),
		cmocka_unit_test(free_runs_what_is_queued),
		cmocka_unit_test(thread_knows_what_it_wrote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
