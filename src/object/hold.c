/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds of files and drops in flight (store_internal.h).
 */
#include <stdlib.h>

#include "object/store_internal.h"

struct store_held {
	struct hash_node node;
	uint64_t file;
	unsigned holds;
	unsigned drops;   /* batches in flight that drop its content */
	bool orphan;      /* a batch made it one, or tried to */
	unsigned readers; /* holds that read one state of the content, whatever a mount writes meanwhile */
	struct store_ids kept;   /* orphans with states that readers of this file may still read */
};

void store_holds_init(struct object_store *s)
{
	mutex_init(&s->hold_lock, LOCK_NOTIFY);
	cond_init(&s->hold_cond);
	hash_init(&s->holds);
}

void store_holds_done(struct object_store *s)
{
	ASSERT(s->holds.count == 0);
	hash_done(&s->holds);
	cond_destroy(&s->hold_cond);
	mutex_destroy(&s->hold_lock);
}

static struct store_held *find(struct object_store *s, uint64_t file)
{
	for (struct hash_node *n = hash_first(&s->holds, hash_u64(file)); n; n = hash_next(n)) {
		struct store_held *h = CONTAINER_OF(n, struct store_held, node);

		if (h->file == file)
			return h;
	}
	return NULL;
}

static struct store_held *find_or_new(struct object_store *s, uint64_t file)
{
	struct store_held *h = find(s, file);

	if (h)
		return h;
	h = calloc(1, sizeof *h);
	ASSERT(h != NULL);
	h->file = file;
	hash_insert(&s->holds, hash_u64(file), &h->node);
	return h;
}

static void drop_if_unused(struct object_store *s, struct store_held *h)
{
	if (h->holds > 0 || h->drops > 0)
		return;
	ASSERT(h->kept.n == 0);
	hash_remove(&s->holds, &h->node);
	free(h->kept.id);
	free(h);
}

void store_hold(struct object_store *s, uint64_t file)
{
	struct store_held *h;
	MUTEX_GUARD(&s->hold_lock);

	/* The entry may be freed while this sleeps. */
	while ((h = find(s, file)) && h->drops > 0)
		cond_wait(&s->hold_cond, &s->hold_lock);
	if (!h)
		h = find_or_new(s, file);
	h->holds++;
}

bool store_hold_try(struct object_store *s, uint64_t file)
{
	struct store_held *h;
	MUTEX_GUARD(&s->hold_lock);

	h = find_or_new(s, file);
	if (h->drops > 0)
		return false;
	h->holds++;
	h->readers++;
	return true;
}

static void reap_all(struct object_store *s, struct store_ids *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		store_orphan_reap(s, kept->id[i]);
	free(kept->id);
}

void store_unhold_reader(struct object_store *s, uint64_t file)
{
	struct store_held *h;
	struct store_ids kept = {NULL, 0, 0};

	mutex_lock(&s->hold_lock);
	h = find(s, file);
	ASSERT(h && h->readers > 0);
	if (--h->readers == 0) {
		kept = h->kept;
		h->kept = (struct store_ids){NULL, 0, 0};
	}
	mutex_unlock(&s->hold_lock);
	reap_all(s, &kept);
	store_unhold(s, file);
}

void store_unhold(struct object_store *s, uint64_t file)
{
	struct store_held *h;
	bool reap;

	mutex_lock(&s->hold_lock);
	h = find(s, file);
	ASSERT(h && h->holds > 0);
	h->holds--;
	reap = h->holds == 0 && h->orphan;
	drop_if_unused(s, h);
	mutex_unlock(&s->hold_lock);
	if (reap)
		store_orphan_reap(s, file);
}

bool store_file_held(struct object_store *s, uint64_t file)
{
	struct store_held *h;
	MUTEX_GUARD(&s->hold_lock);

	h = find(s, file);
	return h && h->holds > 0;
}

int store_ids_add(struct store_ids *l, uint64_t id)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 4;
		uint64_t *more = realloc(l->id, cap * sizeof *more);

		if (!more)
			return -ENOMEM;
		l->id = more;
		l->cap = cap;
	}
	l->id[l->n++] = id;
	return 0;
}

void store_ids_must_add(struct store_ids *l, uint64_t id)
{
	int rc = store_ids_add(l, id);

	ASSERT(rc == 0);
}

bool store_drop_begin(struct object_commit *c, uint64_t file)
{
	struct object_store *s = c->store;
	struct store_held *h;
	MUTEX_GUARD(&s->hold_lock);

	h = find_or_new(s, file);
	if (h->holds > 0) {
		h->orphan = true;
		h->holds++;
		store_ids_must_add(&c->holds, file);
		return true;
	}
	h->drops++;
	store_ids_must_add(&c->drops, file);
	return false;
}

void store_drops_end(struct object_commit *c)
{
	struct object_store *s = c->store;

	if (c->drops.n > 0) {
		mutex_lock(&s->hold_lock);
		while (c->drops.n > 0) {
			struct store_held *h = find(s, c->drops.id[--c->drops.n]);

			ASSERT(h && h->drops > 0);
			h->drops--;
			drop_if_unused(s, h);
		}
		cond_broadcast(&s->hold_cond);
		mutex_unlock(&s->hold_lock);
	}
	while (c->holds.n > 0)
		store_unhold(s, c->holds.id[--c->holds.n]);
}

void store_orphan_begin(struct object_commit *c, uint64_t file)
{
	struct object_store *s = c->store;
	struct store_held *h;
	MUTEX_GUARD(&s->hold_lock);

	h = find_or_new(s, file);
	h->orphan = true;
	h->holds++;
	store_ids_must_add(&c->holds, file);
}

bool store_edit_begin(struct object_commit *c, uint64_t file)
{
	struct object_store *s = c->store;
	struct store_held *h;
	MUTEX_GUARD(&s->hold_lock);

	h = find_or_new(s, file);
	if (h->readers > 0)
		return true;
	h->drops++;
	store_ids_must_add(&c->drops, file);
	return false;
}

void store_edit_kept(struct object_store *s, uint64_t file, uint64_t orphan)
{
	struct store_held *h;
	bool read;

	mutex_lock(&s->hold_lock);
	h = find(s, file);
	read = h && h->readers > 0;
	if (read)
		store_ids_must_add(&h->kept, orphan);
	mutex_unlock(&s->hold_lock);
	if (!read)
		store_orphan_reap(s, orphan);
}
