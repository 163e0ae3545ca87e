/* SPDX-License-Identifier: Apache-2.0
 *
 * Name locks.
 */
#include "object/nslock.h"

#include <stdlib.h>

struct nslock_name {
	struct hash_node node;
	uint64_t key;
	struct list waiters; /* of struct nslock_req, in order of arrival */
	unsigned shared;     /* holders */
	bool exclusive;      /* one holder */
};

void nslock_init(struct nslock *t)
{
	mutex_init(&t->lock, LOCK_NOTIFY);
	hash_init(&t->names);
}

void nslock_done(struct nslock *t)
{
	ASSERT(t->names.count == 0);
	hash_done(&t->names);
	mutex_destroy(&t->lock);
}

static struct nslock_name *name_find(struct nslock *t, uint64_t key)
{
	for (struct hash_node *n = hash_first(&t->names, hash_u64(key)); n; n = hash_next(n)) {
		struct nslock_name *name = CONTAINER_OF(n, struct nslock_name, node);

		if (name->key == key)
			return name;
	}
	return NULL;
}

static struct nslock_name *name_new(struct nslock *t, uint64_t key)
{
	struct nslock_name *name = calloc(1, sizeof *name);

	ASSERT(name != NULL);
	name->key = key;
	list_init(&name->waiters);
	hash_insert(&t->names, hash_u64(key), &name->node);
	return name;
}

static bool name_free_for(const struct nslock_name *name, bool exclusive)
{
	return !name->exclusive && (!exclusive || name->shared == 0);
}

static void name_take(struct nslock_name *name, bool exclusive)
{
	if (exclusive)
		name->exclusive = true;
	else
		name->shared++;
}

bool nslock_acquire(struct nslock *t, struct nslock_req *r)
{
	struct nslock_name *name;
	MUTEX_GUARD(&t->lock);

	ASSERT(!r->name);
	list_init(&r->node);
	name = name_find(t, r->key);
	if (!name)
		name = name_new(t, r->key);
	r->name = name;
	/* Nobody overtakes: a reader behind a waiting writer waits as well. */
	if (list_empty(&name->waiters) && name_free_for(name, r->exclusive)) {
		name_take(name, r->exclusive);
		return true;
	}
	list_add_tail(&name->waiters, &r->node);
	return false;
}

void nslock_release(struct nslock *t, struct nslock_req *r)
{
	struct nslock_name *name = r->name;
	struct list granted = LIST_INIT(granted), *n;

	if (!name)
		return;
	mutex_lock(&t->lock);
	r->name = NULL;
	if (name->exclusive)
		name->exclusive = false;
	else
		name->shared--;
	while (!list_empty(&name->waiters)) {
		struct nslock_req *next = LIST_ENTRY(name->waiters.next, struct nslock_req, node);

		if (!name_free_for(name, next->exclusive))
			break;
		name_take(name, next->exclusive);
		list_del(&next->node);
		list_add_tail(&granted, &next->node);
	}
	if (name->shared == 0 && !name->exclusive) {
		hash_remove(&t->names, &name->node);
		free(name);
	}
	mutex_unlock(&t->lock);
	while ((n = list_pop(&granted))) {
		struct nslock_req *next = LIST_ENTRY(n, struct nslock_req, node);

		next->granted(next);
	}
}
