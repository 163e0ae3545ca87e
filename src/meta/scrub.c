/* SPDX-License-Identifier: Apache-2.0
 *
 * The scrub: every cell of every segment is read from the drives and verified. See heal.h.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "meta/heal_internal.h"

/* The first segment >= *id with live bytes. 1, 0 there is none, < 0. */
static int next_segment(struct meta_healer *h, uint64_t from, struct segment_info *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key k;
	int rc = meta_view_open(h->s, &v);

	if (rc == 0)
		rc = meta_iter_open(v, TABLE_SEGMENT, &it);
	if (rc < 0)
		return rc;
	key_u64(&k, from);
	for (rc = meta_iter_seek(it, k.b, k.len, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		if (row_segment_decode(row.body, ret) < 0)
			rc = -QE_CORRUPT;
		if (rc < 0 || (ret->state != SEGMENT_DEAD && ret->live_bytes))
			break;
	}
	meta_iter_close(it);
	return rc;
}

static int verify_stripe(void *arg, const struct erasure_stripe *st)
{
	struct meta_healer *h = arg;
	int rc = erasure_healer_add(h->eh, st, 0);

	/* A stripe that cannot be in its segment is damage of the rows, which others find. */
	if (rc < 0 && rc != -QE_CORRUPT)
		return rc;
	return heal_goes_on(h) ? 0 : -QE_BUSY;
}

static int scrub_segment(struct meta_healer *h, const struct segment_info *info, struct erasure_healed *ret)
{
	int rc = erasure_healer_begin(h->eh, info->id, 0, heal_whole_slots(h, info->id));

	if (rc < 0)
		return rc == -QE_CORRUPT ? 0 : rc; /* it died meanwhile */
	rc = live_stripes(h, info, verify_stripe, h);
	if (rc < 0)
		erasure_healer_drop(h->eh);
	else
		erasure_healer_end(h->eh, ret);
	return rc;
}

static bool any_segment(void *arg, uint64_t segment)
{
	return true;
}

int meta_scrub(struct meta_healer *h, uint64_t from,
	       void (*done)(void *arg, uint64_t segment, const struct erasure_healed *r), void *arg)
{
	struct segment_info info;
	bool have = false;
	int rc = heal_begin(h);

	if (rc < 0)
		return rc;
	while ((rc = next_segment(h, from, &info)) > 0) {
		struct erasure_healed r = {0};
		if (info.cls == SEGMENT_LARGE && (!have || info.id > h->blob_upto)) {
			rc = live_collect(h, info.id, LIVE_LARGE, any_segment, NULL);
			have = true;
		}
		if (rc >= 0)
			rc = scrub_segment(h, &info, &r);
		if (rc < 0)
			break;
		done(arg, info.id, &r);
		from = info.id + 1;
	}
	heal_end(h);
	return rc == -QE_BUSY ? 0 : rc == 0 ? 1 : rc;
}
