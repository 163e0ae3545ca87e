/* SPDX-License-Identifier: Apache-2.0
 *
 * Room that is kept free on every drive, so that a full set still deletes, and gets space back by it. What a delete needs:
 * records in the journal, pages in the index copies, and, since a checkpoint moves all payload out of the journal before it
 * gives room back, packed segments for what lies there. So kept are
 *
 *   journal   the files that are not made yet
 *   index     1/32 of the smallest drive, at least 16 MiB, at most what two checkpoints write
 *   packed    as much as all journal files hold, in whole segments
 *
 * A large segment is made only where all of it stays free behind it (erasure_params.reserve). When packed segments have
 * taken their part, or the index half of its own, nothing is taken in but what frees space (space_low): -QE_FULL.
 */
#include "base/clock.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define INDEX_LEAST (16ull << 20)
#define INDEX_SHARE 32
#define LOOK_NS NS_PER_S

static uint64_t index_part(const struct meta_set *s, uint64_t total)
{
	return MAX(MIN(total / INDEX_SHARE, 2 * s->p.memtable_bytes), INDEX_LEAST);
}

static uint64_t packed_part(const struct meta_set *s)
{
	return s->journal.file_size * s->journal.max_files;
}

uint64_t space_reserve(void *arg)
{
	const struct meta_set *s = arg;
	uint64_t total = __atomic_load_n(&s->space_total, __ATOMIC_RELAXED);

	return journal_unmade((struct journal *)&s->journal) + index_part(s, total) + packed_part(s);
}

/* Of the drives in sync: the smallest, and the least free. */
static void smallest(struct meta_set *s, uint64_t *ret_total, uint64_t *ret_free)
{
	struct drive_space space;

	*ret_total = *ret_free = UINT64_MAX;
	mutex_lock(&s->writer);
	uint32_t in = s->in_mask;
	writer_unlock(s);
	for (unsigned i = 0; i < s->n; i++) {
		CLEANUP_DRIVE struct drive *d = in & 1u << i ? meta_drive_of(s, i) : NULL;
		if (!d || drive_space(d, &space) < 0)
			continue;
		*ret_total = MIN(*ret_total, space.total_bytes);
		*ret_free = MIN(*ret_free, space.free_bytes);
	}
}

bool space_is_short(const struct meta_set *s)
{
	uint64_t total = __atomic_load_n(&s->space_total, __ATOMIC_RELAXED), left = __atomic_load_n(&s->space_free, __ATOMIC_RELAXED);

	return space_low(s) || left < total / 8;
}

unsigned space_compact_percent(struct meta_set *s)
{
	return space_low(s) ? 90 : space_is_short(s) ? 75 : 50;
}

void space_look(struct meta_set *s)
{
	uint64_t total, left, now = clock_mono_ns();

	if (now < s->space_look_ns)
		return;
	s->space_look_ns = now + LOOK_NS;
	smallest(s, &total, &left);
	if (total == UINT64_MAX)
		return;
	__atomic_store_n(&s->space_free, left, __ATOMIC_RELAXED);
	__atomic_store_n(&s->space_total, total, __ATOMIC_RELAXED);
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(s);
	uint64_t least = space_reserve(s) - index_part(s, total) / 2 + erasure_segment_size(e);
	bool was = space_low(s), low = left < least + (was ? least / 8 : 0);
	if (low == was)
		return;
	__atomic_store_n(&s->space_low, low, __ATOMIC_RELAXED);
	if (low)
		log_warn("meta", "the drives are full: only deletes are taken in free_bytes=%llu kept_bytes=%llu; delete something, "
			 "or make room on the drives", (unsigned long long)left, (unsigned long long)least);
	else
		log_info("meta", "there is room again free_bytes=%llu", (unsigned long long)left);
}
