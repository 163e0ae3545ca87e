/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a slot is written and not flushed. Per segment and slot the lowest offset is kept of what has returned, of
 * what the syncs under way cover, and of what failed; what is in flight is seen in the list of jobs. A sync covers the
 * writes that had returned when it was begun, nothing else, so a write that returns meanwhile waits for the next one.
 */
#include <stdlib.h>

#include "base/err.h"
#include "erasure/erasure_internal.h"

void flush_init(struct segment *seg)
{
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		seg->slot[i] = (struct segment_slot){.returned = OFFSET_NONE, .syncing = OFFSET_NONE, .failed = OFFSET_NONE};
}

bool flush_pending(const struct segment *seg)
{
	for (unsigned i = 0; i < seg->info.n; i++)
		if (seg->slot[i].returned != OFFSET_NONE || seg->slot[i].syncs)
			return true;
	return false;
}

void flush_returned_locked(struct erasure_set *s, struct segment *seg, unsigned slot, uint32_t offset_4k)
{
	mutex_assert_held(&s->lock);
	flush_note(&seg->slot[slot].returned, offset_4k);
	if (list_empty(&seg->dirty))
		list_add_tail(&s->dirty, &seg->dirty);
}

unsigned erasure_flush_begin(struct erasure_set *s, unsigned slot, struct erasure_flush *ret, unsigned max)
{
	unsigned n = 0;

	mutex_lock(&s->lock);
	LIST_FOREACH (it, &s->dirty) {
		struct segment *seg = LIST_ENTRY(it, struct segment, dirty);
		struct segment_slot *ss = &seg->slot[slot];
		if (n == max)
			break;
		if (!seg->file[slot] || (ss->returned == OFFSET_NONE && ss->syncs == 0))
			continue;
		flush_note(&ss->syncing, ss->returned);
		ss->returned = OFFSET_NONE;
		ss->syncs++;
		seg->pins++;
		ret[n++] = (struct erasure_flush){
			.file = drive_file_ref(seg->file[slot]),
			.segment = seg->info.id,
			.token = ss->syncing,
			.slot = slot,
		};
	}
	mutex_unlock(&s->lock);
	return n;
}

void erasure_flush_done(struct erasure_set *s, struct erasure_flush *f, bool ok)
{
	bool report = false;

	mutex_lock(&s->lock);
	struct segment *seg = segment_find_locked(s, f->segment);
	ASSERT(seg && seg->slot[f->slot].syncs > 0); /* it was pinned */
	struct segment_slot *ss = &seg->slot[f->slot];
	if (!ok) {
		flush_note(&ss->failed, ss->syncing);
		report = slot_suspect_locked(s, f->slot);
	}
	/* With several under way none of them tells which part it covers: all must have ended. */
	if (--ss->syncs == 0)
		ss->syncing = OFFSET_NONE;
	if (!flush_pending(seg))
		list_del(&seg->dirty);
	segment_unpin_locked(seg);
	mutex_unlock(&s->lock);
	drive_file_unref(f->file);
	f->file = NULL;
	if (report)
		slot_report(s, f->slot, -EIO);
}

void flush_settled(struct erasure_set *s, unsigned slot)
{
	mutex_lock(&s->lock);
	LIST_FOREACH_SAFE (it, &s->dirty) {
		struct segment *seg = LIST_ENTRY(it, struct segment, dirty);
		if (seg->pins)
			continue;
		seg->slot[slot].returned = OFFSET_NONE;
		if (!flush_pending(seg))
			list_del(&seg->dirty);
	}
	mutex_unlock(&s->lock);
}

static uint32_t lowest_in_flight(const struct erasure_set *s, const struct segment *seg, unsigned slot)
{
	uint32_t low = OFFSET_NONE;

	LIST_FOREACH (it, &s->jobs) {
		const struct stripe_job *job = LIST_ENTRY(it, struct stripe_job, node);
		if (job->seg == seg && (job->pending & 1u << slot))
			flush_note(&low, job->offset_4k);
	}
	return low;
}

static uint32_t lowest_unflushed(const struct erasure_set *s, const struct segment *seg, unsigned slot)
{
	const struct segment_slot *ss = &seg->slot[slot];

	return MIN(MIN(ss->returned, ss->syncing), MIN(ss->failed, lowest_in_flight(s, seg, slot)));
}

bool erasure_stripe_unflushed(struct erasure_set *s, const struct erasure_stripe *st)
{
	bool unflushed = false;

	mutex_lock(&s->lock);
	const struct segment *seg = segment_find_locked(s, st->segment);
	for (unsigned i = 0; seg && i < seg->info.n; i++)
		if ((st->slot_mask & 1u << i) && lowest_unflushed(s, seg, i) <= st->offset_4k)
			unflushed = true;
	mutex_unlock(&s->lock);
	return unflushed;
}

struct unflushed {
	uint64_t segment;
	uint32_t from_4k;
};

/* Where the slot's cells of the segment end to be complete; OFFSET_NONE: they are. */
static uint32_t complete_until(const struct erasure_set *s, const struct segment *seg, unsigned slot)
{
	uint32_t from = lowest_unflushed(s, seg, slot);

	if (!seg->owned)
		return from;
	if (seg->info.state == SEGMENT_OPEN)
		flush_note(&from, seg->next_4k);
	LIST_FOREACH (it, &seg->runs)
		flush_note(&from, LIST_ENTRY(it, struct segment_run, node)->pos_4k);
	if (from != OFFSET_NONE && !((seg->slots | seg->lost) & 1u << slot))
		from = 0;
	return from;
}

void erasure_unflushed_ranges(struct erasure_set *s, unsigned slot,
                              void (*fn)(void *arg, uint64_t segment, uint32_t from_4k), void *arg)
{
	mutex_lock(&s->lock);
	struct unflushed *found = calloc(s->segments.count + 1, sizeof *found);
	size_t n = 0;
	ASSERT(found); /* a range that is not told would count as whole */
	LIST_FOREACH (it, &s->lru) {
		const struct segment *seg = LIST_ENTRY(it, struct segment, lru);
		if (seg->info.state == SEGMENT_DEAD)
			continue;
		uint32_t from = complete_until(s, seg, slot);
		if (from != OFFSET_NONE)
			found[n++] = (struct unflushed){seg->info.id, from};
	}
	mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		fn(arg, found[i].segment, found[i].from_4k);
	free(found);
}
