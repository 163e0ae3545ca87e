/* SPDX-License-Identifier: Apache-2.0
 *
 * Damage that reads met: a bounded queue of stripes, each once, and the repair of what waits in it, or is asked for. See
 * heal.h.
 */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"

static struct damage_item *item_at(struct damage *d, unsigned i)
{
	return &d->item[(d->first + i) % META_DAMAGE_MAX];
}

/* The same stripe, or the same blob, whose ranges become one. */
static bool merge(struct damage *d, const struct damage_item *new)
{
	for (unsigned i = 0; i < d->n; i++) {
		struct damage_item *it = item_at(d, i);
		if (it->segment != new->segment || it->blob != new->blob || (!new->blob && it->from_4k != new->from_4k))
			continue;
		it->from_4k = MIN(it->from_4k, new->from_4k);
		it->to_4k = MAX(it->to_4k, new->to_4k);
		return true;
	}
	return false;
}

void damage_note(struct meta_set *s, uint64_t segment, uint64_t blob, uint32_t from_4k, uint32_t to_4k)
{
	const struct damage_item new = {segment, blob, from_4k, to_4k};
	struct damage *d = &s->damage;

	MUTEX_GUARD(&s->heal_lock);
	if (merge(d, &new))
		return;
	if (d->n == META_DAMAGE_MAX) {
		d->st.dropped++;
		return;
	}
	*item_at(d, d->n++) = new;
	d->st.noted++;
}

void meta_damage_stats(struct meta_set *s, struct meta_damage_stats *ret)
{
	MUTEX_GUARD(&s->heal_lock);

	*ret = s->damage.st;
	ret->waiting = s->damage.n;
}

static bool take(struct meta_set *s, struct damage_item *ret)
{
	MUTEX_GUARD(&s->heal_lock);
	struct damage *d = &s->damage;

	if (d->n == 0)
		return false;
	*ret = *item_at(d, 0);
	d->first = (d->first + 1) % META_DAMAGE_MAX;
	d->n--;
	return true;
}

static int add_stripe(void *arg, const struct erasure_stripe *st)
{
	struct meta_healer *h = arg;
	int rc = erasure_healer_add(h->eh, st, 0);

	return rc < 0 ? rc : heal_goes_on(h) ? 0 : -QE_BUSY;
}

static void count(struct meta_set *s, const struct damage_item *it, const struct erasure_healed *done)
{
	uint64_t healed = 0, failed = 0;

	for (unsigned i = 0; i < s->n; i++) {
		const struct erasure_healed_slot *slot = &done->slot[i];
		healed += slot->healed;
		failed += slot->failed;
		if (!slot->bad)
			continue;
		CLEANUP_DRIVE struct drive *d = meta_drive_of(s, i);
		log_warn("heal", "bad cells path=%s slot=%u segment=%016llx offset=%llu cells=%llu repaired=%llu", drive_path(d), i,
			 (unsigned long long)it->segment, (unsigned long long)it->from_4k * DRIVE_BLOCK,
			 (unsigned long long)slot->bad, (unsigned long long)slot->healed);
	}
	MUTEX_GUARD(&s->heal_lock);
	s->damage.st.repaired += healed;
	s->damage.st.failed += failed;
}

/* Of a file that is gone more is lost than what somebody asked for: all of it is named, and filled like what was never
 * there. That of an open segment is left to its cells. *slots: without those. */
static int name_lost(struct meta_healer *h, uint64_t segment, uint32_t *slots, struct erasure_healed *ret)
{
	struct segment_info info;

	if (!erasure_segment_get(h->erasure, segment, &info) || info.state != SEGMENT_SEALED)
		return 0;
	uint32_t lost = erasure_segment_absent(h->erasure, segment, *slots);
	if (!lost)
		return 0;
	struct meta_batch *b = meta_batch_new(h->s, META_DURABLE, OP_HEAL);
	if (!b)
		return -ENOMEM;
	b->internal = true;
	for (uint32_t m = lost; m; m &= m - 1) {
		unsigned slot = (unsigned)__builtin_ctz(m);
		CLEANUP_DRIVE struct drive *d = meta_drive_of(h->s, slot);
		log_warn("heal", "a segment file is lost path=%s slot=%u segment=%016llx", drive_path(d), slot,
			 (unsigned long long)segment);
		batch_missing(b, slot, segment, 0, MISSING_LOST);
		ret->slot[slot].bad++;
		ret->slot[slot].lost++;
	}
	int rc = meta_commit(b);
	meta_batch_free(b);
	*slots &= ~lost;
	return rc;
}

/* Verifies the cells of these slots and repairs them. */
static int repair(struct meta_healer *h, const struct damage_item *it, uint32_t slots, struct erasure_healed *ret)
{
	int rc = name_lost(h, it->segment, &slots, ret);

	if (rc < 0 || !slots)
		return rc;
	rc = erasure_healer_begin(h->eh, it->segment, 0, slots);
	if (rc < 0)
		return rc == -QE_CORRUPT ? 0 : rc; /* it died meanwhile */
	if (it->blob)
		rc = live_blob_stripes(h, it->blob, it->segment, it->from_4k, it->to_4k, add_stripe, h);
	else
		rc = live_packed_stripes(h, it->segment, it->from_4k, it->to_4k, add_stripe, h);
	if (rc < 0) {
		erasure_healer_drop(h->eh);
		return rc;
	}
	struct erasure_healed done = {0};
	erasure_healer_end(h->eh, &done);
	count(h->s, it, &done);
	erasure_healed_add(ret, &done);
	return 0;
}

static bool waits(struct meta_set *s)
{
	MUTEX_GUARD(&s->heal_lock);

	return s->damage.n > 0;
}

int meta_heal_damage(struct meta_healer *h)
{
	struct damage_item it;
	int rc = waits(h->s) ? heal_begin(h) : 1;

	if (rc)
		return MIN(rc, 0);
	while (rc == 0 && heal_goes_on(h) && take(h->s, &it)) {
		struct erasure_healed done = {0};
		rc = repair(h, &it, heal_whole_slots(h, it.segment), &done);
		if (rc < 0)
			damage_note(h->s, it.segment, it.blob, it.from_4k, it.to_4k);
	}
	heal_end(h);
	return rc == -QE_BUSY ? 0 : rc;
}

/* ---- Asked for --------------------------------------------------------------------------------------------------- */
/* 1: where it lies. 0: in the journal, or nowhere any more. */
static int find_blob(struct meta_healer *h, uint64_t blob, struct damage_item *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_blob r;
	int rc = meta_view_open(h->s, &v);

	if (rc == 0)
		rc = blob_row_get(v, blob, &r);
	if (rc <= 0)
		return rc;
	if (r.place == BLOB_LARGE)
		*ret = (struct damage_item){r.segment, blob, 0, UINT32_MAX};
	else
		*ret = (struct damage_item){r.segment, 0, r.offset_4k, r.offset_4k + 1};
	return r.place != BLOB_JOURNAL;
}

static int heal_blob(struct meta_healer *h, uint64_t blob, bool deep, struct erasure_healed *ret)
{
	struct damage_item it;
	int rc = find_blob(h, blob, &it);

	if (rc <= 0)
		return rc;
	uint32_t slots = heal_whole_slots(h, it.segment);
	if (!deep)
		slots = erasure_segment_absent(h->erasure, it.segment, slots);
	return slots ? repair(h, &it, slots, ret) : 0;
}

int meta_heal_blobs(struct meta_healer *h, const uint64_t *blobs, unsigned n, bool deep, struct erasure_healed *ret)
{
	int rc = heal_begin(h);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = heal_goes_on(h) ? heal_blob(h, blobs[i], deep, ret) : -QE_BUSY;
	heal_end(h);
	return rc == -QE_BUSY ? 0 : rc < 0 ? rc : 1;
}
