/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of cells that a slot does not hold (STORAGE.md section 5, Degraded write). They come from `missing` rows, often
 * before the segment they name is known, so they have a table of their own, by segment. There are few: rows are merged,
 * one per slot and segment in general.
 */
#include <stdlib.h>

#include "erasure/erasure_internal.h"

static struct missing_segment *missing_find(struct erasure_set *s, uint64_t segment)
{
	for (struct hash_node *n = hash_first(&s->missing, hash_u64(segment)); n; n = hash_next(n)) {
		struct missing_segment *ms = CONTAINER_OF(n, struct missing_segment, node);
		if (ms->segment == segment)
			return ms;
	}
	return NULL;
}

static struct missing_segment *missing_make(struct erasure_set *s, uint64_t segment)
{
	struct missing_segment *ms = missing_find(s, segment);

	if (ms)
		return ms;
	ms = calloc(1, sizeof *ms);
	ASSERT(ms); /* forgetting a hole would have the cell read, and its loss not counted */
	ms->segment = segment;
	hash_insert(&s->missing, hash_u64(segment), &ms->node);
	return ms;
}

void erasure_missing_add(struct erasure_set *s, unsigned slot, uint64_t segment, uint32_t from_4k, uint32_t to_4k)
{
	mutex_lock(&s->lock);
	struct missing_segment *ms = missing_make(s, segment);
	struct missing_range *r = NULL;

	for (unsigned i = 0; i < ms->n && !r; i++)
		if (ms->range[i].slot == slot && ms->range[i].from_4k == from_4k)
			r = &ms->range[i];
	if (!r) {
		if (ms->n == ms->cap) {
			ms->cap = ms->cap ? 2 * ms->cap : 4;
			ms->range = realloc(ms->range, ms->cap * sizeof *ms->range);
			ASSERT(ms->range);
		}
		r = &ms->range[ms->n++];
		__atomic_fetch_add(&s->missing_n, 1, __ATOMIC_RELEASE);
	}
	*r = (struct missing_range){.from_4k = from_4k, .to_4k = to_4k, .slot = (uint8_t)slot};
	mutex_unlock(&s->lock);
}

static void missing_segment_free(struct erasure_set *s, struct missing_segment *ms)
{
	hash_remove(&s->missing, &ms->node);
	free(ms->range);
	free(ms);
}

void erasure_missing_del(struct erasure_set *s, unsigned slot, uint64_t segment, uint32_t from_4k)
{
	mutex_lock(&s->lock);
	struct missing_segment *ms = missing_find(s, segment);
	bool left = false;

	for (unsigned i = 0; ms && i < ms->n;) {
		if (ms->range[i].slot == slot && ms->range[i].from_4k == from_4k) {
			ms->range[i] = ms->range[--ms->n];
			__atomic_fetch_sub(&s->missing_n, 1, __ATOMIC_RELEASE);
			continue;
		}
		left |= ms->range[i++].slot == slot;
	}
	/* Nothing of the slot is missing any more: what failed there once has been written anew. */
	struct segment *seg = segment_find_locked(s, segment);
	if (seg && !left)
		seg->slot[slot].failed = OFFSET_NONE;
	if (ms && ms->n == 0)
		missing_segment_free(s, ms);
	mutex_unlock(&s->lock);
}

uint32_t erasure_missing_mask(struct erasure_set *s, uint64_t segment, uint32_t from_4k, uint32_t to_4k)
{
	uint32_t mask = 0;

	if (__atomic_load_n(&s->missing_n, __ATOMIC_ACQUIRE) == 0)
		return 0;
	mutex_lock(&s->lock);
	struct missing_segment *ms = missing_find(s, segment);
	for (unsigned i = 0; ms && i < ms->n; i++)
		if (ms->range[i].from_4k < to_4k && from_4k < ms->range[i].to_4k)
			mask |= 1u << ms->range[i].slot;
	mutex_unlock(&s->lock);
	return mask;
}

bool erasure_missing_covers(struct erasure_set *s, unsigned slot, uint64_t segment, uint32_t from_4k)
{
	MUTEX_GUARD(&s->lock);
	const struct missing_segment *ms = missing_find(s, segment);
	bool covers = false;

	for (unsigned i = 0; ms && i < ms->n; i++)
		covers |= ms->range[i].slot == slot && ms->range[i].from_4k <= from_4k && ms->range[i].to_4k == UINT32_MAX;
	return covers;
}

struct missing_count {
	unsigned slot, n;
};

static bool count_one(struct hash_node *n, void *arg)
{
	const struct missing_segment *ms = CONTAINER_OF(n, struct missing_segment, node);
	struct missing_count *c = arg;

	for (unsigned i = 0; i < ms->n; i++)
		c->n += ms->range[i].slot == c->slot;
	return false;
}

unsigned erasure_missing_count(struct erasure_set *s, unsigned slot)
{
	struct missing_count c = {.slot = slot};

	mutex_lock(&s->lock);
	hash_each(&s->missing, count_one, &c);
	mutex_unlock(&s->lock);
	return c.n;
}

void missing_drop_locked(struct erasure_set *s, uint64_t segment)
{
	struct missing_segment *ms = missing_find(s, segment);

	if (!ms)
		return;
	__atomic_fetch_sub(&s->missing_n, ms->n, __ATOMIC_RELEASE);
	missing_segment_free(s, ms);
}

static bool free_one(struct hash_node *n, void *arg)
{
	missing_segment_free(arg, CONTAINER_OF(n, struct missing_segment, node));
	return false;
}

void missing_free(struct erasure_set *s)
{
	hash_each(&s->missing, free_one, s);
	hash_done(&s->missing);
}
