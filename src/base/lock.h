/* SPDX-License-Identifier: Apache-2.0
 *
 * Mutexes, rwlocks and conditions that abort on misuse and, with --enable-debug, check the rank of lock_classes.h
 * with a per-thread record of what is held.
 */
#ifndef QUOIN_BASE_LOCK_H
#define QUOIN_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock_classes.h"
#include "base/macros.h"

enum lock_class {
#define X(name) name,
	QUOIN_LOCK_CLASSES(X)
#undef X
	LOCK_CLASSES
};

struct mutex {
	pthread_mutex_t m;
	enum lock_class cls;
	pthread_t owner; /* valid while held; debug builds only look at it */
	bool held;
};

void mutex_init(struct mutex *m, enum lock_class cls);
void mutex_destroy(struct mutex *m);
void mutex_lock(struct mutex *m);
bool mutex_trylock(struct mutex *m) WARN_UNUSED;
void mutex_unlock(struct mutex *m);
void mutex_assert_held(struct mutex *m);

static inline void mutex_unlockp(struct mutex **m)
{
	if (*m)
		mutex_unlock(*m);
}
static inline struct mutex *mutex_guard(struct mutex *m)
{
	mutex_lock(m);
	return m;
}
/* Holds m to the end of the scope. */
#define MUTEX_GUARD(m)                                                                                                 \
	CLEANUP(mutex_unlockp) struct mutex *PASTE(guard_, __LINE__) __attribute__((unused)) = mutex_guard(m)

struct rwlock {
	pthread_rwlock_t l;
	enum lock_class cls;
};

void rwlock_init(struct rwlock *l, enum lock_class cls);
void rwlock_destroy(struct rwlock *l);
void rwlock_rdlock(struct rwlock *l);
void rwlock_wrlock(struct rwlock *l);
void rwlock_unlock(struct rwlock *l);

/* Conditions use CLOCK_MONOTONIC. */
struct cond {
	pthread_cond_t c;
};

void cond_init(struct cond *c);
void cond_destroy(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
/* deadline_ns: mono_ns() scale. False when it passed. */
bool cond_wait_until(struct cond *c, struct mutex *m, uint64_t deadline_ns);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
