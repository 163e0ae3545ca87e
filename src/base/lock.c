/* SPDX-License-Identifier: Apache-2.0
 *
 * Lock wrappers. Debug builds keep, per thread, how many locks of each class are held: a lock may be taken only when
 * no class of a higher rank is held, and none of its own class except where two are allowed.
 */
#include "base/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* A pthread call that fails here is misuse of a lock: going on would corrupt what it guards. */
static void check(int eno, const char *what)
{
	if (__builtin_expect(eno == 0, 1))
		return;
	fprintf(stderr, "quoin: %s: %s\n", what, strerrordesc_np(eno));
	abort();
}

#ifdef QUOIN_DEBUG
static const char *const class_names[] = {
#define X(name) #name,
	QUOIN_LOCK_CLASSES(X)
#undef X
};
static _Thread_local uint8_t held[LOCK_CLASSES];

static unsigned most_of(enum lock_class cls)
{
	return cls == LOCK_NS || cls == LOCK_FILE ? 2 : 1;
}

static void rank_check(enum lock_class cls)
{
	for (unsigned c = cls; c < LOCK_CLASSES; c++) {
		if (held[c] < (c == (unsigned)cls ? most_of(cls) : 1))
			continue;
		fprintf(stderr, "quoin: lock order: taking %s while holding %s\n", class_names[cls], class_names[c]);
		abort();
	}
}

static void rank_add(enum lock_class cls)
{
	held[cls]++;
}

static void rank_drop(enum lock_class cls)
{
	if (held[cls] == 0) {
		fprintf(stderr, "quoin: lock order: releasing %s, which this thread does not hold\n", class_names[cls]);
		abort();
	}
	held[cls]--;
}

static void owner_set(struct mutex *m, bool now_held)
{
	m->owner = pthread_self();
	m->held = now_held;
}
#else
static inline void rank_check(enum lock_class cls)
{
}
static inline void rank_add(enum lock_class cls)
{
}
static inline void rank_drop(enum lock_class cls)
{
}
static inline void owner_set(struct mutex *m, bool now_held)
{
}
#endif

void mutex_init(struct mutex *m, enum lock_class cls)
{
	pthread_mutexattr_t attr;

	ASSERT((unsigned)cls < LOCK_CLASSES);
	memset(m, 0, sizeof *m);
	m->cls = cls;
	check(pthread_mutexattr_init(&attr), "pthread_mutexattr_init");
	/* Finds a second lock or a foreign unlock by the same thread, in release builds too. */
	check(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK), "pthread_mutexattr_settype");
	check(pthread_mutex_init(&m->m, &attr), "pthread_mutex_init");
	pthread_mutexattr_destroy(&attr);
}

void mutex_destroy(struct mutex *m)
{
	check(pthread_mutex_destroy(&m->m), "pthread_mutex_destroy");
}

void mutex_lock(struct mutex *m)
{
	rank_check(m->cls);
	check(pthread_mutex_lock(&m->m), "pthread_mutex_lock");
	rank_add(m->cls);
	owner_set(m, true);
}

/* Cannot wait, so it cannot deadlock: the rank is recorded, not checked. */
bool mutex_trylock(struct mutex *m)
{
	int eno = pthread_mutex_trylock(&m->m);

	if (eno == EBUSY)
		return false;
	check(eno, "pthread_mutex_trylock");
	rank_add(m->cls);
	owner_set(m, true);
	return true;
}

void mutex_unlock(struct mutex *m)
{
	rank_drop(m->cls);
	owner_set(m, false);
	check(pthread_mutex_unlock(&m->m), "pthread_mutex_unlock");
}

void mutex_assert_held(struct mutex *m)
{
#ifdef QUOIN_DEBUG
	ASSERT(m->held && pthread_equal(m->owner, pthread_self()));
#endif
}

void rwlock_init(struct rwlock *l, enum lock_class cls)
{
	pthread_rwlockattr_t attr;

	ASSERT((unsigned)cls < LOCK_CLASSES);
	memset(l, 0, sizeof *l);
	l->cls = cls;
	check(pthread_rwlockattr_init(&attr), "pthread_rwlockattr_init");
	/* The default lets a stream of readers keep a writer out for ever. */
	check(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
	      "pthread_rwlockattr_setkind_np");
	check(pthread_rwlock_init(&l->l, &attr), "pthread_rwlock_init");
	pthread_rwlockattr_destroy(&attr);
}

void rwlock_destroy(struct rwlock *l)
{
	check(pthread_rwlock_destroy(&l->l), "pthread_rwlock_destroy");
}

void rwlock_rdlock(struct rwlock *l)
{
	rank_check(l->cls);
	check(pthread_rwlock_rdlock(&l->l), "pthread_rwlock_rdlock");
	rank_add(l->cls);
}

void rwlock_wrlock(struct rwlock *l)
{
	rank_check(l->cls);
	check(pthread_rwlock_wrlock(&l->l), "pthread_rwlock_wrlock");
	rank_add(l->cls);
}

void rwlock_unlock(struct rwlock *l)
{
	rank_drop(l->cls);
	check(pthread_rwlock_unlock(&l->l), "pthread_rwlock_unlock");
}

void cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	check(pthread_condattr_init(&attr), "pthread_condattr_init");
	check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "pthread_condattr_setclock");
	check(pthread_cond_init(&c->c, &attr), "pthread_cond_init");
	pthread_condattr_destroy(&attr);
}

void cond_destroy(struct cond *c)
{
	check(pthread_cond_destroy(&c->c), "pthread_cond_destroy");
}

/* A wait gives the mutex up and takes it again, which is subject to its rank like any other lock. */
static void wait_begin(struct mutex *m)
{
	mutex_assert_held(m);
	owner_set(m, false);
	rank_drop(m->cls);
	rank_check(m->cls);
}

static void wait_end(struct mutex *m)
{
	rank_add(m->cls);
	owner_set(m, true);
}

void cond_wait(struct cond *c, struct mutex *m)
{
	wait_begin(m);
	check(pthread_cond_wait(&c->c, &m->m), "pthread_cond_wait");
	wait_end(m);
}

bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
	int eno;

	wait_begin(m);
	eno = pthread_cond_timedwait(&c->c, &m->m, &ts);
	wait_end(m);
	if (eno == ETIMEDOUT)
		return false;
	check(eno, "pthread_cond_timedwait");
	return true;
}

void cond_signal(struct cond *c)
{
	check(pthread_cond_signal(&c->c), "pthread_cond_signal");
}

void cond_broadcast(struct cond *c)
{
	check(pthread_cond_broadcast(&c->c), "pthread_cond_broadcast");
}
