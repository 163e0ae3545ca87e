/* SPDX-License-Identifier: Apache-2.0
 *
 * Named threads and the work queue.
 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "base/str.h"

#define NAME_LEN 15 /* the kernel's limit */

struct start {
	void *(*fn)(void *);
	void *arg;
	char name[NAME_LEN + 1];
};

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

static void *thread_main(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), s.name);
	return s.fn(s.arg);
}

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
	struct start *s = calloc(1, sizeof *s);
	sigset_t all, old;
	int eno;

	if (!s)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	memcpy(s->name, name, strnlen(name, NAME_LEN));
	/* A thread inherits the mask: blocked here, no signal can reach it before it could block them itself. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	eno = pthread_create(ret, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (eno)
		free(s);
	return -eno;
}

void thread_join(pthread_t t)
{
	int eno = pthread_join(t, NULL);

	ASSERT(eno == 0);
}

void thread_detach(pthread_t t)
{
	int eno = pthread_detach(t);

	ASSERT(eno == 0);
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
