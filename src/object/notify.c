/* SPDX-License-Identifier: Apache-2.0
 *
 * The notifier: a list of mounts, each with a queue and a thread of its own.
 *
 * A queue is in sequence order, so its first item is the oldest outstanding one; what is older than the first of all of
 * them has been delivered. An item leaves its queue only after deliver() has returned.
 *
 * What a mount changed itself is noted by directory, with the oldest of its changes there. Nobody may ever ask; the first
 * who does moves the note to the queue, as NOTIFY_SETTLE. Whatever was applied before that is delivered is settled by it.
 */
#include "object/notify.h"

#include <stdio.h>
#include <stdlib.h>

#include "object/store_internal.h"

#define UNSETTLED_MAX 16 /* directories of a mount that are noted; with more the oldest is settled unasked */

struct notify_item {
	struct list node;
	uint64_t seq;
	struct notify_change *change;
};

struct notifier {
	struct object_store *store;
	struct mutex mounts_lock; /* LOCK_MOUNTS: the list of mounts */
	struct mutex lock;        /* LOCK_NOTIFY: queues and waiters */
	struct list mounts;       /* of struct notify_mount */
	struct list waiters;      /* of struct object_waiter.notify */
};

struct notify_mount {
	struct list node;
	struct notifier *notifier;
	const struct notify_ops *ops;
	void *mount;
	struct list queue;     /* of struct notify_item, oldest first; this and the next under notifier->lock */
	struct list unsettled; /* the same, NOTIFY_SETTLE, one of a directory */
	unsigned nunsettled;
	struct cond more;
	bool stop; /* under notifier->lock */
	pthread_t thread;
};

struct notifier *notifier_new(struct object_store *s)
{
	struct notifier *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->store = s;
	mutex_init(&n->mounts_lock, LOCK_MOUNTS);
	mutex_init(&n->lock, LOCK_NOTIFY);
	list_init(&n->mounts);
	list_init(&n->waiters);
	return n;
}

struct notifier *notifier_free(struct notifier *n)
{
	if (!n)
		return NULL;
	ASSERT(list_empty(&n->mounts) && list_empty(&n->waiters));
	mutex_destroy(&n->lock);
	mutex_destroy(&n->mounts_lock);
	free(n);
	return NULL;
}

void notifier_changes_free(struct list *changes)
{
	struct list *l;

	while ((l = list_pop(changes)))
		free(LIST_ENTRY(l, struct notify_change, node));
}

/* With a copy: one change may go to several mounts. */
static struct notify_item *item_new(uint64_t seq, const struct notify_change *c)
{
	struct notify_item *it = calloc(1, sizeof *it);
	struct notify_change *copy = malloc(sizeof *c + c->name_len + 1);

	ASSERT(it != NULL && copy != NULL);
	memcpy(copy, c, sizeof *c);
	memcpy(copy->name, c->name, c->name_len);
	copy->name[c->name_len] = '\0';
	list_init(&copy->node);
	it->seq = seq;
	it->change = copy;
	return it;
}

/* Nearly always the newest of all. */
static void enqueue_locked(struct notify_mount *m, struct notify_item *it)
{
	struct list *after = m->queue.prev;

	while (after != &m->queue && LIST_ENTRY(after, struct notify_item, node)->seq > it->seq)
		after = after->prev;
	list_add_head(after, &it->node);
	cond_signal(&m->more);
}

static struct notify_item *first_unsettled(struct notify_mount *m)
{
	return list_empty(&m->unsettled) ? NULL : LIST_ENTRY(m->unsettled.next, struct notify_item, node);
}

static void settle_first_locked(struct notify_mount *m)
{
	struct notify_item *it = first_unsettled(m);

	list_del(&it->node);
	m->nunsettled--;
	enqueue_locked(m, it);
}

/* The mount changed names of the directory itself. */
static void note_unsettled_locked(struct notify_mount *m, uint64_t seq, uint64_t dir)
{
	struct notify_change c = {.kind = NOTIFY_SETTLE, .parent = dir};

	for (struct list *l = m->unsettled.prev; l != &m->unsettled; l = l->prev)
		if (LIST_ENTRY(l, struct notify_item, node)->change->parent == dir)
			return;
	list_add_tail(&m->unsettled, &item_new(seq, &c)->node);
	if (++m->nunsettled > UNSETTLED_MAX)
		settle_first_locked(m);
}

static void settle_locked(struct notifier *n, uint64_t seq)
{
	LIST_FOREACH (ml, &n->mounts) {
		struct notify_mount *m = LIST_ENTRY(ml, struct notify_mount, node);

		for (struct notify_item *it; (it = first_unsettled(m)) && it->seq <= seq;)
			settle_first_locked(m);
	}
}

void notifier_apply(struct notifier *n, uint64_t seq, struct list *changes)
{
	MUTEX_GUARD(&n->mounts_lock);
	LIST_FOREACH (ml, &n->mounts) {
		struct notify_mount *m = LIST_ENTRY(ml, struct notify_mount, node);

		LIST_FOREACH (cl, changes) {
			const struct notify_change *c = LIST_ENTRY(cl, struct notify_change, node);

			bool own = c->mount && c->mount == m->mount;

			if (own ? c->kind != NOTIFY_ENTRY : !m->ops->held(m->mount, c))
				continue;
			mutex_lock(&n->lock);
			if (own)
				note_unsettled_locked(m, seq, c->parent);
			else
				enqueue_locked(m, item_new(seq, c));
			mutex_unlock(&n->lock);
		}
	}
}

void notifier_content_lost(struct notifier *n, uint64_t ino)
{
	struct list changes = LIST_INIT(changes);
	struct notify_change c = {.kind = NOTIFY_DATA, .ino = ino};

	list_init(&c.node);
	list_add_tail(&changes, &c.node);
	/* No sequence is its own. The oldest there is: whoever waits for notifications waits for it. */
	notifier_apply(n, 1, &changes);
}

static uint64_t oldest_locked(struct notifier *n)
{
	uint64_t oldest = UINT64_MAX;

	mutex_assert_held(&n->lock);
	LIST_FOREACH (ml, &n->mounts) {
		struct notify_mount *m = LIST_ENTRY(ml, struct notify_mount, node);

		if (!list_empty(&m->queue))
			oldest = MIN(oldest, LIST_ENTRY(m->queue.next, struct notify_item, node)->seq);
	}
	return oldest;
}

static void wake_waiters(struct notifier *n)
{
	struct list ready = LIST_INIT(ready), *l;
	uint64_t oldest;

	mutex_lock(&n->lock);
	oldest = oldest_locked(n);
	LIST_FOREACH_SAFE (wl, &n->waiters) {
		if (LIST_ENTRY(wl, struct object_waiter, notify)->seq < oldest) {
			list_del(wl);
			list_add_tail(&ready, wl);
		}
	}
	mutex_unlock(&n->lock);
	while ((l = list_pop(&ready))) {
		struct object_waiter *w = LIST_ENTRY(l, struct object_waiter, notify);

		w->done(w, 0);
	}
}

static void item_free(struct notify_item *it)
{
	free(it->change);
	free(it);
}

static void *mount_main(void *arg)
{
	struct notify_mount *m = arg;
	struct notifier *n = m->notifier;

	mutex_lock(&n->lock);
	while (!m->stop) {
		struct notify_item *it;

		if (list_empty(&m->queue)) {
			cond_wait(&m->more, &n->lock);
			continue;
		}
		it = LIST_ENTRY(m->queue.next, struct notify_item, node);
		mutex_unlock(&n->lock);
		m->ops->deliver(m->mount, it->change);
		mutex_lock(&n->lock);
		list_del(&it->node);
		mutex_unlock(&n->lock);
		item_free(it);
		wake_waiters(n);
		mutex_lock(&n->lock);
	}
	mutex_unlock(&n->lock);
	return NULL;
}

struct notify_mount *notify_mount_add(struct object_store *s, const struct notify_ops *ops, void *mount)
{
	struct notifier *n = s->notifier;
	struct notify_mount *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->notifier = n;
	m->ops = ops;
	m->mount = mount;
	list_init(&m->queue);
	list_init(&m->unsettled);
	cond_init(&m->more);
	if (thread_start(&m->thread, "qn-notify", mount_main, m) < 0) {
		cond_destroy(&m->more);
		free(m);
		return NULL;
	}
	mutex_lock(&n->mounts_lock);
	mutex_lock(&n->lock);
	list_add_tail(&n->mounts, &m->node);
	mutex_unlock(&n->lock);
	mutex_unlock(&n->mounts_lock);
	return m;
}

struct notify_mount *notify_mount_remove(struct notify_mount *m)
{
	struct notifier *n;
	struct list *l;

	if (!m)
		return NULL;
	n = m->notifier;
	mutex_lock(&n->mounts_lock);
	mutex_lock(&n->lock);
	m->stop = true;
	cond_signal(&m->more);
	mutex_unlock(&n->lock);
	mutex_unlock(&n->mounts_lock);
	thread_join(m->thread);
	mutex_lock(&n->mounts_lock);
	mutex_lock(&n->lock);
	list_del(&m->node);
	mutex_unlock(&n->lock);
	mutex_unlock(&n->mounts_lock);
	while ((l = list_pop(&m->queue)) || (l = list_pop(&m->unsettled)))
		item_free(LIST_ENTRY(l, struct notify_item, node));
	wake_waiters(n);
	cond_destroy(&m->more);
	free(m);
	return NULL;
}

uint64_t notify_done_seq(struct object_store *s)
{
	uint64_t oldest;
	MUTEX_GUARD(&s->notifier->lock);

	oldest = oldest_locked(s->notifier);
	LIST_FOREACH (ml, &s->notifier->mounts) {
		const struct notify_item *it = first_unsettled(LIST_ENTRY(ml, struct notify_mount, node));

		if (it)
			oldest = MIN(oldest, it->seq);
	}
	return oldest == UINT64_MAX ? oldest : oldest - 1;
}

bool notifier_wait(struct notifier *n, struct object_waiter *w)
{
	MUTEX_GUARD(&n->lock);

	list_init(&w->notify);
	if (!w->own)
		settle_locked(n, w->seq);
	if (w->seq < oldest_locked(n))
		return true;
	list_add_tail(&n->waiters, &w->notify);
	return false;
}

/* ---- object_wait ------------------------------------------------------------------------------------------------------ */
static void durable_done(struct meta_waiter *mw, int rc)
{
	struct object_waiter *w = CONTAINER_OF(mw, struct object_waiter, durable);

	if (rc < 0 || notifier_wait(w->store->notifier, w))
		w->done(w, rc);
}

bool object_wait(struct object_store *s, uint64_t seq, struct object_waiter *w)
{
	if (seq == 0)
		return true;
	w->seq = seq;
	w->store = s;
	list_init(&w->notify);
	list_init(&w->durable.node);
	w->durable.seq = seq;
	w->durable.done = durable_done;
	return meta_wait(s->set, seq, &w->durable) && notifier_wait(s->notifier, w);
}

struct wait_blocking {
	struct object_waiter w;
	struct mutex lock;
	struct cond cond;
	bool done;
};

static void blocking_done(struct object_waiter *w, int rc)
{
	struct wait_blocking *wb = CONTAINER_OF(w, struct wait_blocking, w);
	MUTEX_GUARD(&wb->lock);

	wb->done = true;
	cond_signal(&wb->cond);
}

int object_wait_blocking(struct object_store *s, uint64_t seq, bool own)
{
	struct wait_blocking wb = {.w.done = blocking_done, .w.seq = seq, .w.own = own};
	int rc = seq ? meta_wait_blocking(s->set, seq) : 0;

	if (rc < 0 || seq == 0)
		return rc;
	mutex_init(&wb.lock, LOCK_QUEUE);
	cond_init(&wb.cond);
	wb.w.store = s;
	if (!notifier_wait(s->notifier, &wb.w)) {
		mutex_lock(&wb.lock);
		while (!wb.done)
			cond_wait(&wb.cond, &wb.lock);
		mutex_unlock(&wb.lock);
	}
	cond_destroy(&wb.cond);
	mutex_destroy(&wb.lock);
	return 0;
}

void notifier_reset(struct notifier *n)
{
	MUTEX_GUARD(&n->mounts_lock);
	LIST_FOREACH (ml, &n->mounts) {
		struct notify_mount *m = LIST_ENTRY(ml, struct notify_mount, node);

		if (m->ops->reset)
			m->ops->reset(m->mount);
	}
}
