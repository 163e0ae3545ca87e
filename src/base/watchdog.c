/* SPDX-License-Identifier: Apache-2.0 */
#include "base/watchdog.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"

struct watchdog {
	struct mutex lock;      /* LOCK_CONF, held while overdue runs: what it looks at does not go away under it */
	struct cond changed;
	pthread_t thread;
	void (*overdue)(void *arg, const char *step);
	void *arg;
	const char *step;       /* NULL: none yet */
	uint64_t deadline_ns;   /* mono */
	bool stop;
};

static void *watch(void *arg)
{
	struct watchdog *w = arg;
	MUTEX_GUARD(&w->lock);

	while (!w->stop) {
		if (!w->step)
			cond_wait(&w->changed, &w->lock);
		else
			(void)cond_wait_until(&w->changed, &w->lock, w->deadline_ns);
		if (w->stop || !w->step || clock_mono_ns() < w->deadline_ns)
			continue;
		w->overdue(w->arg, w->step);
		break;
	}
	return NULL;
}

struct watchdog *watchdog_new(void (*overdue)(void *arg, const char *step), void *arg)
{
	struct watchdog *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->overdue = overdue;
	w->arg = arg;
	mutex_init(&w->lock, LOCK_CONF);
	cond_init(&w->changed);
	if (thread_start(&w->thread, "qn-watchdog", watch, w) == 0)
		return w;
	cond_destroy(&w->changed);
	mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

void watchdog_step(struct watchdog *w, const char *step, uint64_t within_ns)
{
	if (!w)
		return;
	MUTEX_GUARD(&w->lock);
	w->step = step;
	w->deadline_ns = clock_mono_ns() + within_ns;
	cond_signal(&w->changed);
}

struct watchdog *watchdog_free(struct watchdog *w)
{
	if (!w)
		return NULL;
	mutex_lock(&w->lock);
	w->stop = true;
	cond_signal(&w->changed);
	mutex_unlock(&w->lock);
	thread_join(w->thread);
	cond_destroy(&w->changed);
	mutex_destroy(&w->lock);
	free(w);
	return NULL;
}
