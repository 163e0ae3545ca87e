/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of open segments. Reserving moves the allocation pointer, nothing else. When the open segment of a class has no
 * room, or lacks a slot that is a writer now (but for one that had no room for it and is still full), one thread makes the
 * next one while the others still find room in the old or wait; then the old one is sealed at its pointer.
 */
#include "base/err.h"
#include "erasure/erasure_internal.h"

static bool run_fits(const struct erasure_set *s, const struct segment *seg, uint32_t len_4k)
{
	if (!seg)
		return false;
	uint32_t lacks = s->writers & ~s->suspect & ~seg->slots & ~(seg->left_out & s->full);
	return (uint64_t)seg->next_4k + len_4k <= seg->info.size_4k && !lacks;
}

static void run_take(struct segment *seg, uint32_t len_4k, struct segment_run *ret)
{
	ret->seg = seg;
	ret->pos_4k = seg->next_4k;
	ret->end_4k = seg->next_4k + len_4k;
	seg->next_4k = ret->end_4k;
	seg->pins++;
	list_add_tail(&seg->runs, &ret->node);
}

void segment_tell_sealed(struct erasure_set *s, const struct segment_info *info)
{
	mutex_lock(&s->lock);
	void (*fn)(void *, const struct segment_info *) = s->sealed;
	void *arg = s->sealed_arg;
	mutex_unlock(&s->lock);
	if (fn)
		fn(arg, info);
}

/* Makes the next segment of the class. Lock held, given up meanwhile. */
static int roll(struct erasure_set *s, enum segment_class cls, uint32_t len_4k)
{
	struct segment *seg = NULL, *old;
	unsigned reign = s->reign, rotation = s->rotation;
	struct segment_info sealed = {0};

	s->making[cls] = true;
	s->rotation = (rotation + 1) % s->n;
	mutex_unlock(&s->lock);
	int rc = segment_make(s, cls, len_4k, rotation, &seg);
	mutex_lock(&s->lock);
	s->making[cls] = false;
	s->making_id[cls] = 0;
	cond_broadcast(&s->made);
	if (rc < 0)
		return rc;
	if (reign != s->reign) {
		/* It may bear the epoch before. */
		mutex_unlock(&s->lock);
		segment_unmake(s, seg);
		mutex_lock(&s->lock);
		return 0;
	}
	old = s->open[cls];
	if (old) {
		segment_seal_locked(s, old);
		sealed = old->info;
	}
	segment_insert_locked(s, seg);
	s->open[cls] = seg;
	if (old) {
		mutex_unlock(&s->lock);
		segment_tell_sealed(s, &sealed);
		mutex_lock(&s->lock);
	}
	return 0;
}

int run_reserve(struct erasure_set *s, enum segment_class cls, uint32_t len_4k, struct segment_run *ret)
{
	int rc = 0;

	list_init(&ret->node);
	mutex_lock(&s->lock);
	while (rc >= 0 && !run_fits(s, s->open[cls], len_4k)) {
		if (s->making[cls])
			cond_wait(&s->made, &s->lock);
		else
			rc = roll(s, cls, len_4k);
	}
	if (rc >= 0)
		run_take(s->open[cls], len_4k, ret);
	mutex_unlock(&s->lock);
	return rc;
}

void run_release(struct erasure_set *s, struct segment_run *run, bool give_back)
{
	struct segment *seg = run->seg;

	mutex_lock(&s->lock);
	if (give_back && seg->info.state == SEGMENT_OPEN && seg->next_4k == run->end_4k)
		seg->next_4k = run->pos_4k;
	list_del(&run->node);
	segment_unpin_locked(seg);
	mutex_unlock(&s->lock);
}
