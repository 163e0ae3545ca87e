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
 *
 * That is so when drives fill up together. One that is full while as many as a write needs have plenty (a smaller one, or
 * one that holds other things too) is left out by new segments, and the others go on (erasure_set_full).
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
	return journal_most((struct journal *)&s->journal);
}

uint64_t space_reserve(void *arg, enum segment_class cls)
{
	const struct meta_set *s = arg;
	uint64_t total = __atomic_load_n(&s->space_total, __ATOMIC_RELAXED);
	uint64_t others = journal_unmade((struct journal *)&s->journal);

	return others + (cls == SEGMENT_PACKED ? index_part(s, total) / 2 : index_part(s, total) + packed_part(s));
}

/* What the drives in sync have. */
struct spaces {
	uint32_t known; /* slots */
	uint64_t total; /* of the smallest */
	uint64_t left[SUPER_MAX_SLOTS];
};

static void spaces_look(struct meta_set *s, struct spaces *ret)
{
	struct drive_space space;

	*ret = (struct spaces){.total = UINT64_MAX};
	mutex_lock(&s->writer);
	uint32_t in = s->in_mask;
	writer_unlock(s);
	for (unsigned i = 0; i < s->n; i++) {
		CLEANUP_DRIVE struct drive *d = in & 1u << i ? meta_drive_of(s, i) : NULL;
		if (!d || drive_space(d, &space) < 0)
			continue;
		ret->known |= 1u << i;
		ret->total = MIN(ret->total, space.total_bytes);
		ret->left[i] = space.free_bytes;
	}
}

/* As much as a write quorum of drives has. */
static uint64_t quorum_left(const struct meta_set *s, const struct spaces *sp)
{
	unsigned w = __atomic_load_n(&s->w, __ATOMIC_RELAXED);
	uint64_t ret = 0;

	for (uint32_t m = sp->known; m; m &= m - 1) {
		uint64_t left = sp->left[__builtin_ctz(m)];
		unsigned with = 0;
		for (uint32_t o = sp->known; o; o &= o - 1)
			with += sp->left[__builtin_ctz(o)] >= left;
		if (with >= w)
			ret = MAX(ret, left);
	}
	return ret;
}

/* Drives that have less than is kept, while as many as a write needs have plenty. */
static uint32_t full_alone(const struct meta_set *s, struct erasure_set *e, const struct spaces *sp, uint64_t least)
{
	uint64_t plenty = least + 2 * erasure_segment_size(e);
	uint32_t was = erasure_full_slots(e), ret = 0;

	if (quorum_left(s, sp) < plenty)
		return 0;
	for (uint32_t m = sp->known; m; m &= m - 1) {
		unsigned i = (unsigned)__builtin_ctz(m);
		if (sp->left[i] < least + (was & 1u << i ? least / 8 : 0))
			ret |= 1u << i;
	}
	return ret;
}

static uint64_t least_left(const struct spaces *sp, uint32_t full)
{
	uint64_t ret = UINT64_MAX;

	for (uint32_t m = sp->known & ~full; m; m &= m - 1)
		ret = MIN(ret, sp->left[__builtin_ctz(m)]);
	return ret;
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
	uint64_t now = clock_mono_ns();
	struct spaces sp;

	if (now < s->space_look_ns)
		return;
	s->space_look_ns = now + LOOK_NS;
	spaces_look(s, &sp);
	if (!sp.known)
		return;
	__atomic_store_n(&s->space_total, sp.total, __ATOMIC_RELAXED);
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(s);
	uint64_t least = space_reserve(s, SEGMENT_LARGE) - index_part(s, sp.total) / 2 + erasure_segment_size(e);
	uint32_t full = full_alone(s, e, &sp, least);
	erasure_set_full(e, full);
	uint64_t left = least_left(&sp, full);
	__atomic_store_n(&s->space_free, left, __ATOMIC_RELAXED);
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
