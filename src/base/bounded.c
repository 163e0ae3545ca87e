/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bounded.h"

#include "base/clock.h"
#include "base/thread.h"

#define LOOK_NS (20 * NS_PER_MS) /* between two looks whether it is still wanted */

static void *bounded_main(void *arg)
{
	struct bounded *b = arg;
	int rc = b->run(b);

	mutex_lock(&b->lock);
	b->rc = rc;
	b->returned = true;
	bool given_up = b->given_up;
	cond_signal(&b->cond);
	mutex_unlock(&b->lock);
	if (given_up)
		bounded_end(b);
	return NULL;
}

bool bounded_run(struct bounded *b)
{
	pthread_t t;

	mutex_init(&b->lock, LOCK_POOL);
	cond_init(&b->cond);
	if (thread_start(&t, "qn-bounded", bounded_main, b) < 0) {
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
	if (given_up)
		thread_detach(t);
	else
		thread_join(t);
	return !given_up;
}

void bounded_end(struct bounded *b)
{
	cond_destroy(&b->cond);
	mutex_destroy(&b->lock);
	b->end(b);
}
