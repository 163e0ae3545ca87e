/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread that has made its call waits a while for the next one: to start one for each costs several times what most
 * calls do.
 */
#include "base/bounded.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/thread.h"

#define LOOK_NS (20 * NS_PER_MS)  /* between two looks whether it is still wanted */
#define PARKED_MAX 16             /* threads that wait for a call */
#define PARKED_NS (10 * NS_PER_S) /* for so long */

struct caller {
	struct list node; /* of parked */
	struct cond wake;
	struct bounded *b; /* to be called; NULL: parked */
};

static struct {
	struct mutex lock; /* LOCK_POOL: all of this, and what is in a caller */
	struct list list;  /* struct caller, the last that came first */
	unsigned n;
} parked;

static void none_parked(void)
{
	mutex_init(&parked.lock, LOCK_POOL);
	list_init(&parked.list);
	parked.n = 0;
}

/* Of a process that forks, the child has none of these threads. */
static void parked_init(void)
{
	none_parked();
	ASSERT(pthread_atfork(NULL, NULL, none_parked) == 0);
}

static void parked_lock(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, parked_init);
	mutex_lock(&parked.lock);
}

static void call(struct bounded *b)
{
	int rc = b->run(b);

	mutex_lock(&b->lock);
	b->rc = rc;
	b->returned = true;
	bool given_up = b->given_up;
	cond_signal(&b->cond);
	mutex_unlock(&b->lock); /* it is not ours any more */
	if (given_up)
		bounded_end(b);
}

/* False: nobody had a call for it. */
static bool park(struct caller *c)
{
	uint64_t until = clock_mono_ns() + PARKED_NS;

	parked_lock();
	c->b = NULL;
	if (parked.n < PARKED_MAX) {
		list_add_head(&parked.list, &c->node);
		parked.n++;
		while (!c->b && cond_wait_until(&c->wake, &parked.lock, until))
			;
		if (!c->b) {
			list_del(&c->node);
			parked.n--;
		}
	}
	mutex_unlock(&parked.lock);
	return c->b;
}

static void *caller_main(void *arg)
{
	struct caller *c = arg;

	do
		call(c->b);
	while (park(c));
	cond_destroy(&c->wake);
	free(c);
	return NULL;
}

static bool wake_one(struct bounded *b)
{
	parked_lock();
	struct list *l = list_pop(&parked.list);
	if (l) {
		struct caller *c = LIST_ENTRY(l, struct caller, node);
		parked.n--;
		c->b = b;
		cond_signal(&c->wake);
	}
	mutex_unlock(&parked.lock);
	return l;
}

static bool start_one(struct bounded *b)
{
	struct caller *c = calloc(1, sizeof *c);
	pthread_t t;

	if (!c)
		return false;
	c->b = b;
	cond_init(&c->wake);
	if (thread_start(&t, "qn-bounded", caller_main, c) < 0) {
		cond_destroy(&c->wake);
		free(c);
		return false;
	}
	thread_detach(t);
	return true;
}

bool bounded_run(struct bounded *b)
{
	mutex_init(&b->lock, LOCK_POOL);
	cond_init(&b->cond);
	if (!wake_one(b) && !start_one(b)) {
		b->rc = b->run(b);
		return true;
	}
	mutex_lock(&b->lock);
	while (!b->returned && !b->given_up) {
		if (cond_wait_until(&b->cond, &b->lock, clock_mono_ns() + LOOK_NS))
			continue;
		mutex_unlock(&b->lock);
		bool wanted = b->wanted(b);
		mutex_lock(&b->lock);
		b->given_up = !wanted && !b->returned;
	}
	bool given_up = b->given_up;
	mutex_unlock(&b->lock);
	return !given_up;
}

void bounded_end(struct bounded *b)
{
	cond_destroy(&b->cond);
	mutex_destroy(&b->lock);
	b->end(b);
}
