/* SPDX-License-Identifier: Apache-2.0
 *
 * Space inside of segment files that stay: what lies behind the end of a sealed segment, and what died in a large one.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "erasure/erasure_internal.h"

/* An absent file holds nothing, and of a file system without holes nothing is to be had. */
static bool is_done(int rc)
{
	return rc == 0 || rc == -ENOENT || rc == -EOPNOTSUPP;
}

static int punch_file(struct erasure_set *s, struct segment *seg, unsigned slot, uint32_t from_4k, uint32_t to_4k)
{
	struct drive_file *f;
	int rc = segment_file_own(s, seg, slot, false, &f);

	if (rc < 0)
		return rc;
	uint64_t from = BYTES_4K(from_4k), to = MIN(BYTES_4K(to_4k), f->size);
	if (from < to)
		rc = drive_punch(f, from, to - from);
	drive_file_unref(f);
	return rc;
}

static uint32_t punch_pinned(struct erasure_set *s, struct segment *seg, uint32_t from_4k, uint32_t to_4k, uint32_t slots)
{
	uint32_t done = 0;

	for (uint32_t m = slots; m; m &= m - 1)
		if (is_done(punch_file(s, seg, (unsigned)__builtin_ctz(m), from_4k, to_4k)))
			done |= m & -m;
	return done;
}

uint32_t erasure_segment_punch(struct erasure_set *s, uint64_t segment, uint32_t from_4k, uint32_t to_4k, uint32_t slots)
{
	struct segment *seg = segment_pin(s, segment);

	if (!seg)
		return 0;
	ASSERT(seg->info.cls == SEGMENT_LARGE && from_4k > 0);
	uint32_t done = punch_pinned(s, seg, from_4k, to_4k, slots);
	mutex_lock(&s->lock);
	seg->info.punched_4k += to_4k - from_4k;
	segment_unpin_locked(seg);
	mutex_unlock(&s->lock);
	return done;
}

/* Is there something behind the end of a sealed segment on one of the slots? Pins it then. */
static struct segment *pin_tailed(struct erasure_set *s, uint64_t segment, uint32_t *slots, uint32_t *ret_end_4k,
                                  uint32_t *ret_departures)
{
	MUTEX_GUARD(&s->lock);
	struct segment *seg = segment_find_locked(s, segment);

	if (!seg || seg->info.state != SEGMENT_SEALED || seg->info.sealed_4k >= seg->info.size_4k)
		return NULL;
	*slots &= ~seg->trimmed;
	*ret_end_4k = seg->info.sealed_4k;
	*ret_departures = s->departures;
	return *slots ? segment_pin_locked(s, segment) : NULL;
}

void erasure_segment_trim(struct erasure_set *s, uint64_t segment, uint32_t slots)
{
	uint32_t end_4k, departures;
	struct segment *seg = pin_tailed(s, segment, &slots, &end_4k, &departures);

	if (!seg)
		return;
	uint32_t done = punch_pinned(s, seg, end_4k, UINT32_MAX, slots);
	mutex_lock(&s->lock);
	/* A drive that was taken away meanwhile comes back with other files. */
	if (departures == s->departures)
		seg->trimmed |= done;
	segment_unpin_locked(seg);
	mutex_unlock(&s->lock);
}
