/* SPDX-License-Identifier: Apache-2.0
 *
 * Making segments, and drives that have no room for them. A segment is made on all slots that are written. Where some have
 * no room even for the smallest that would do, it is made without them as long as the others are enough: what they lack
 * is `missing` and is healed when there is room again, and until then they are full and not asked. When too many are full,
 * the set is.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "erasure/erasure_internal.h"

#define REFUSED_NS (60 * NS_PER_S) /* a drive that took no file is not asked for so long */

/* ---- Full drives -------------------------------------------------------------------------------------------------- */
bool slot_has_room(struct erasure_set *s, unsigned slot, uint64_t bytes)
{
	CLEANUP_DRIVE struct drive *d = slot_drive(s, slot);
	struct drive_space space;

	return !d || drive_space(d, &space) < 0 || space.free_bytes >= bytes;
}

static uint64_t reserve(const struct erasure_set *s, enum segment_class cls)
{
	return s->reserve ? s->reserve(s->arg, cls) : 0;
}

static void tell_full(struct erasure_set *s, uint32_t was, uint32_t is)
{
	for (uint32_t m = was ^ is; m; m &= m - 1) {
		unsigned slot = (unsigned)__builtin_ctz(m);
		CLEANUP_DRIVE struct drive *d = slot_drive(s, slot);
		const char *path = d ? d->path : "";
		if (is & 1u << slot)
			log_warn("erasure", "drive full: new data goes to the others of its set without it; make room on it slot=%u "
				 "path=%s", slot, path);
		else
			log_info("erasure", "drive has room again slot=%u path=%s", slot, path);
	}
}

static void refuse(struct erasure_set *s, uint32_t slots)
{
	mutex_lock(&s->lock);
	uint32_t was = s->full;
	for (uint32_t m = slots; m; m &= m - 1)
		s->refused_until_ns[__builtin_ctz(m)] = clock_mono_ns() + REFUSED_NS;
	s->refused |= slots;
	s->full |= slots;
	uint32_t is = s->full;
	mutex_unlock(&s->lock);
	tell_full(s, was, is);
}

/* Those that took no file some time ago, and have room for one by now. */
static uint32_t take_again(struct erasure_set *s)
{
	uint64_t now = clock_mono_ns(), need = 2 * s->segment_size + reserve(s, SEGMENT_LARGE);
	uint32_t due = 0, ret = 0;

	mutex_lock(&s->lock);
	for (uint32_t m = s->refused; m; m &= m - 1)
		if (now >= s->refused_until_ns[__builtin_ctz(m)])
			due |= m & -m;
	mutex_unlock(&s->lock);
	for (; due; due &= due - 1)
		if (slot_has_room(s, (unsigned)__builtin_ctz(due), need))
			ret |= due & -due;
	return ret;
}

/* What was made without the slots ends, so that it can be healed. */
static unsigned seal_without_locked(struct erasure_set *s, uint32_t slots, struct segment_info *ret)
{
	unsigned n = 0;

	for (unsigned cls = 0; cls < ARRAY_SIZE(s->open); cls++) {
		struct segment *seg = s->open[cls];
		if (!seg || !(seg->left_out & slots))
			continue;
		segment_seal_locked(s, seg);
		ret[n++] = seg->info;
	}
	return n;
}

void erasure_set_full(struct erasure_set *s, uint32_t slots)
{
	struct segment_info sealed[ARRAY_SIZE(s->open)];
	uint32_t again = take_again(s);

	mutex_lock(&s->lock);
	uint32_t was = s->full;
	s->refused &= ~again;
	uint32_t is = s->full = slots | s->refused;
	unsigned n = seal_without_locked(s, was & ~is, sealed);
	mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		segment_tell_sealed(s, &sealed[i]);
	tell_full(s, was, is);
}

uint32_t erasure_full_slots(struct erasure_set *s)
{
	MUTEX_GUARD(&s->lock);

	return s->full;
}

bool slot_takes_file(struct erasure_set *s, unsigned slot, uint64_t bytes)
{
	return !(erasure_full_slots(s) & 1u << slot) && slot_has_room(s, slot, bytes + reserve(s, SEGMENT_PACKED));
}

/* ---- Making ------------------------------------------------------------------------------------------------------- */
struct making {
	struct erasure_set *set;
	struct segment_info info; /* size_4k: of the try */
	uint32_t most_4k, least_4k;
	uint32_t with;            /* slots that get a file */
};

/* Cells, not slots, are what a stripe counts. */
static bool enough(const struct making *m, uint32_t slots)
{
	unsigned n = 0;

	for (unsigned c = 0; c < m->set->ncell; c++)
		n += slots >> (c + m->info.rotation) % m->set->n & 1;
	return n >= set_need(m->set);
}

/* Large segments leave the room alone that deleting needs; packed ones are a part of it. */
static uint32_t lack_room(const struct making *m, uint32_t slots, uint64_t bytes)
{
	struct erasure_set *s = m->set;
	uint64_t need = bytes + s->segment_size + reserve(s, m->info.cls);
	uint32_t ret = 0;

	if (!s->reserve || m->info.cls != SEGMENT_LARGE)
		return 0;
	for (uint32_t b = slots; b; b &= b - 1)
		if (!slot_has_room(s, (unsigned)__builtin_ctz(b), need))
			ret |= b & -b;
	return ret;
}

/* The others are enough, and do not just fill up a moment later: drives that fill up together are full together. */
static bool may_leave_out(const struct making *m, uint32_t slots)
{
	uint32_t others = m->with & ~slots;

	return slots && enough(m, others) && lack_room(m, others, 2 * BYTES_4K(m->most_4k)) == 0;
}

/* A drive that fails is reported, one without room is told to the caller; both are left out. */
static int make_files(const struct making *m, struct segment *seg, uint32_t *ret_refused)
{
	struct erasure_set *s = m->set;

	*ret_refused = 0;
	for (uint32_t b = m->with; b; b &= b - 1) {
		unsigned i = (unsigned)__builtin_ctz(b);
		int rc = segment_file_create(s, seg, i, &seg->file[i]);
		if (rc >= 0)
			seg->slots |= 1u << i;
		else if (is_no_room(rc))
			*ret_refused |= 1u << i;
		else
			slot_failed(s, i, rc);
	}
	if (enough(m, seg->slots))
		return 0;
	return *ret_refused ? -QE_FULL : -QE_QUORUM_WRITE;
}

static int make_of_size(const struct making *m, uint32_t *ret_refused, struct segment **ret)
{
	*ret_refused = lack_room(m, m->with, BYTES_4K(m->info.size_4k));
	if (*ret_refused)
		return -QE_FULL;
	struct segment *seg = segment_alloc(&m->info);
	if (!seg)
		return -ENOMEM;
	seg->owned = true;
	seg->next_4k = 1;
	int rc = make_files(m, seg, ret_refused);
	if (rc < 0) {
		segment_unmake(m->set, seg);
		return rc;
	}
	*ret = seg;
	return 0;
}

/* On drives that are nearly full a smaller one may still fit. */
static int make_on(struct making *m, uint32_t *ret_refused, struct segment **ret)
{
	for (uint32_t size_4k = m->most_4k;; size_4k = MAX(size_4k / 2, m->least_4k)) {
		m->info.size_4k = size_4k;
		int rc = make_of_size(m, ret_refused, ret);
		if (rc != -QE_FULL || size_4k == m->least_4k)
			return rc;
	}
}

int segment_make(struct erasure_set *s, enum segment_class cls, uint32_t need_4k, unsigned rotation,
                 struct segment **ret)
{
	struct making m = {
		.set = s,
		.info =
			{
				.id = s->new_id(s->arg),
				.epoch = s->epoch(s->arg),
				.cls = (uint8_t)cls,
				.block_log2 = cls == SEGMENT_PACKED ? ERASURE_PACKED_BLOCK_LOG2 : ERASURE_LARGE_BLOCK_LOG2,
				.rotation = (uint8_t)rotation,
				.state = SEGMENT_OPEN,
				.n = (uint8_t)s->n,
				.k = (uint8_t)s->k,
				.m = (uint8_t)s->m,
				.cell_4k = s->cell_len[cls] / DRIVE_BLOCK,
			},
		/* A run that is longer than a segment (one drive, small segments) gets one that fits. */
		.most_4k = (uint32_t)MAX(s->segment_size / DRIVE_BLOCK, (uint64_t)need_4k + 1),
		.least_4k = need_4k + 1,
	};
	uint32_t refused = 0;

	mutex_lock(&s->lock);
	s->making_id[cls] = m.info.id;
	uint32_t slots = s->writers & ~s->suspect;
	m.with = enough(&m, slots & ~s->full) ? slots & ~s->full : slots;
	mutex_unlock(&s->lock);
	int rc = make_on(&m, &refused, ret);
	while (rc == -QE_FULL && may_leave_out(&m, refused)) {
		refuse(s, refused);
		m.with &= ~refused;
		rc = make_on(&m, &refused, ret);
	}
	if (rc < 0)
		return rc;
	if (refused)
		refuse(s, refused);
	(*ret)->left_out = slots & ~(*ret)->slots;
	return 0;
}
