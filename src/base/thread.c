/* SPDX-License-Identifier: Apache-2.0
 *
 * Named threads and the work queue.
 *
 * A thread is joined when its function has returned, not when the kernel has ended it: one that has ever submitted to an
 * io_uring is not ended before that I/O is, which on a disk that hangs is never. So threads are noted while somebody may
 * join them.
 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "base/str.h"

#define NAME_LEN 15 /* the kernel's limit */
#define CRASH_STACK_BYTES (64u << 10) /* what the vector registers take of it grows with processors */

#define END_NS (200 * NS_PER_MS) /* so long the kernel may take for a thread that has returned; it is left to itself then */

struct thread {
	struct list node;    /* of started */
	pthread_t id;
	void *(*fn)(void *);
	void *arg;
	char name[NAME_LEN + 1];
	bool returned;
	bool detached;       /* it frees this */
};

/* Of the process: there is no end at which they could be destroyed, and the ranks of base/lock.h do not reach here. */
static pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER; /* started, and what is in there; innermost */
static pthread_cond_t thread_returned = PTHREAD_COND_INITIALIZER;
static struct list started = LIST_INIT(started);

uint64_t thread_written(void)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct str rest, line;
	uint64_t n = 0;

	if (fd_read_file("/proc/thread-self/io", 4096, &text) < 0)
		return 0;
	for (rest = buf_str(&text); str_split(&rest, '\n', &line);)
		if (str_starts(line, STR_LIT("wchar: ")) && str_to_u64(str_sub(line, 7, line.len - 7), &n) < 0)
			return 0;
	return n;
}

static void threads_enter(void)
{
	int eno = pthread_mutex_lock(&threads_lock);

	ASSERT(eno == 0);
}

static void threads_leave(void)
{
	int eno = pthread_mutex_unlock(&threads_lock);

	ASSERT(eno == 0);
}

static void forget_locked(struct thread *t)
{
	list_del(&t->node);
	free(t);
}

/* For the handler of a fault in a thread that has used up its own stack. NULL: none to be had, or there is one already, of a
 * sanitizer. */
static void *crash_stack_new(void)
{
	stack_t now, want = {.ss_size = CRASH_STACK_BYTES};

	if (sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
		return NULL;
	want.ss_sp = mmap(NULL, want.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (want.ss_sp == MAP_FAILED)
		return NULL;
	if (sigaltstack(&want, NULL) == 0)
		return want.ss_sp;
	munmap(want.ss_sp, want.ss_size);
	return NULL;
}

static void crash_stack_free(void *stack)
{
	stack_t none = {.ss_flags = SS_DISABLE};

	if (stack && sigaltstack(&none, NULL) == 0)
		munmap(stack, CRASH_STACK_BYTES);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	void *stack = crash_stack_new();
	void *ret = t->fn(t->arg);
	crash_stack_free(stack);
	threads_enter();
	t->returned = true;
	if (t->detached)
		forget_locked(t);
	pthread_cond_broadcast(&thread_returned);
	threads_leave();
	return ret;
}

/* Signals of faults: while one is blocked, its fault ends the process and no handler hears of it. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

/* A thread inherits the mask: blocked here, no signal can reach it before it could block them itself. */
static int create(struct thread *t)
{
	sigset_t blocked, old;

	sigfillset(&blocked);
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&blocked, faults[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	threads_enter();
	int eno = pthread_create(&t->id, NULL, thread_main, t);
	if (eno == 0)
		list_add_head(&started, &t->node);
	threads_leave();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -eno;
}

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
	struct thread *t = calloc(1, sizeof *t);

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	memcpy(t->name, name, strnlen(name, NAME_LEN));
	int rc = create(t);
	if (rc < 0)
		free(t);
	else
		*ret = t->id;
	return rc;
}

static struct thread *find_locked(pthread_t id)
{
	LIST_FOREACH(it, &started) {
		struct thread *t = LIST_ENTRY(it, struct thread, node);
		if (!t->detached && pthread_equal(t->id, id))
			return t;
	}
	ASSERT(!"a thread that nobody started, or that was joined");
	return NULL;
}

void thread_join(pthread_t id)
{
	struct timespec until;

	threads_enter();
	struct thread *t = find_locked(id);
	while (!t->returned)
		pthread_cond_wait(&thread_returned, &threads_lock);
	forget_locked(t);
	threads_leave();
	clock_gettime(CLOCK_REALTIME, &until);
	uint64_t ns = (uint64_t)until.tv_nsec + END_NS;
	until.tv_sec += (time_t)(ns / NS_PER_S);
	until.tv_nsec = (long)(ns % NS_PER_S);
	int eno = pthread_timedjoin_np(id, NULL, &until);
	if (eno == ETIMEDOUT)
		eno = pthread_detach(id);
	ASSERT(eno == 0);
}

void thread_detach(pthread_t id)
{
	int eno = pthread_detach(id);

	ASSERT(eno == 0);
	threads_enter();
	struct thread *t = find_locked(id);
	t->detached = true;
	if (t->returned)
		forget_locked(t);
	threads_leave();
}

struct workq {
	struct mutex lock;
	struct cond more;    /* something was queued, or stop was set */
	struct list items;   /* of struct work; under lock */
	bool stop;           /* under lock */
	unsigned count;
	pthread_t threads[];
};

static void *workq_main(void *arg)
{
	struct workq *q = arg;
	struct list *n;

	mutex_lock(&q->lock);
	for (;;) {
		n = list_pop(&q->items);
		if (n) {
			struct work *w = LIST_ENTRY(n, struct work, node);

			mutex_unlock(&q->lock);
			w->run(w); /* w may be gone afterwards */
			mutex_lock(&q->lock);
		} else if (q->stop) {
			break;
		} else {
			cond_wait(&q->more, &q->lock);
		}
	}
	mutex_unlock(&q->lock);
	return NULL;
}

struct workq *workq_new(const char *name, unsigned threads)
{
	struct workq *q;
	char thread_name[NAME_LEN + 1];

	ASSERT(threads > 0);
	q = calloc(1, sizeof *q + threads * sizeof q->threads[0]);
	if (!q)
		return NULL;
	mutex_init(&q->lock, LOCK_QUEUE);
	cond_init(&q->more);
	list_init(&q->items);
	for (unsigned i = 0; i < threads; i++) {
		snprintf(thread_name, sizeof thread_name, "%.11s-%u", name, i % 1000);
		if (thread_start(&q->threads[i], thread_name, workq_main, q) < 0)
			return workq_free(q);
		q->count++;
	}
	return q;
}

void workq_push(struct workq *q, struct work *w)
{
	MUTEX_GUARD(&q->lock);
	list_add_tail(&q->items, &w->node);
	cond_signal(&q->more);
}

struct workq *workq_free(struct workq *q)
{
	if (!q)
		return NULL;
	mutex_lock(&q->lock);
	q->stop = true;
	cond_broadcast(&q->more);
	mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->count; i++)
		thread_join(q->threads[i]);
	cond_destroy(&q->more);
	mutex_destroy(&q->lock);
	free(q);
	return NULL;
}
