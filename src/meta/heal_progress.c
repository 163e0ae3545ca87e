/* SPDX-License-Identifier: Apache-2.0
 *
 * How far the healing of each drive is. What counts outlives a restart: it is a row (TABLE_DOC, META_DOC_HEAL of bucket 0)
 * that goes with the batch which drops a range, so the two never differ. Little-endian: format u16 1, slots u16, then per
 * slot its drive's id 16 and 13 u64: active, started, updated, ended (wall), spent (ns of healing), bytes total, done and
 * failed, stripes done and failed, segments total, done and failed.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"

#define ROW_FORMAT 1u
#define ROW_FIELDS 13
#define ROW_SLOT_BYTES (16 + 8 * ROW_FIELDS)

static void drives_of(struct meta_set *s, uint8_t (*ret)[16])
{
	mutex_lock(&s->writer);
	for (unsigned i = 0; i < s->n; i++)
		memcpy(ret[i], s->isr.slot[i].drive, 16);
	writer_unlock(s);
}

/* ---- Counting ----------------------------------------------------------------------------------------------------- */
void meta_heal_progress(struct meta_set *s, struct meta_heal_slot ret[SUPER_MAX_SLOTS])
{
	MUTEX_GUARD(&s->heal_lock);

	memcpy(ret, s->heal, sizeof s->heal);
}

void heal_progress_begin(struct meta_set *s, const struct vec *ranges)
{
	uint8_t drive[SUPER_MAX_SLOTS][16];
	uint64_t now = clock_wall_ns();

	drives_of(s, drive);
	MUTEX_GUARD(&s->heal_lock);
	for (unsigned i = 0; i < ranges->n; i++) {
		const struct heal_range *r = VEC_AT(ranges, struct heal_range, i);
		struct meta_heal_slot *p = &s->heal[r->slot];
		if (!p->active || memcmp(p->drive, drive[r->slot], 16) != 0) {
			*p = (struct meta_heal_slot){.active = true, .started_ns = now};
			memcpy(p->drive, drive[r->slot], 16);
		}
		if (!p->resumed_ns)
			p->resumed_ns = now; /* what an earlier process began */
		if (p->updated_ns != now) { /* the first of the slot in this run: what is left, beside what was done */
			p->updated_ns = now;
			p->bytes_total = p->bytes_done;
			p->segments_total = p->segments_done;
			p->bytes_failed = p->stripes_failed = p->segments_failed = 0;
		}
		p->bytes_total += r->bytes;
		p->segments_total++;
	}
}

void heal_progress_segment(struct meta_set *s, const struct heal_range *r, unsigned n)
{
	MUTEX_GUARD(&s->heal_lock);
	for (unsigned i = 0; i < n; i++)
		s->heal[r[i].slot].segment = r[i].segment;
}

static void add_range(struct meta_heal_slot *p, const struct erasure_healed_slot *done, bool whole)
{
	p->updated_ns = clock_wall_ns();
	p->bytes_done += done->healed_bytes;
	p->stripes_done += done->healed;
	p->bytes_failed += done->failed_bytes;
	p->stripes_failed += done->failed;
	p->segments_done += whole;
	p->segments_failed += !whole;
}

void heal_progress_range(struct meta_set *s, const struct heal_range *r, const struct erasure_healed_slot *done, bool whole)
{
	MUTEX_GUARD(&s->heal_lock);

	add_range(&s->heal[r->slot], done, whole);
	s->heal[r->slot].segment = 0;
}

/* ---- The row ------------------------------------------------------------------------------------------------------ */
static uint64_t spent_ns(const struct meta_heal_slot *p)
{
	uint64_t until = p->active ? p->updated_ns : p->ended_ns;

	return p->spent_ns + (p->resumed_ns && until > p->resumed_ns ? until - p->resumed_ns : 0);
}

void heal_row_encode(const struct meta_heal_slot slot[], unsigned n, struct buf *ret)
{
	buf_put_le32(ret, ROW_FORMAT | n << 16);
	for (unsigned i = 0; i < n; i++) {
		const struct meta_heal_slot *p = &slot[i];
		const uint64_t fields[ROW_FIELDS] = {
			p->active,       p->started_ns,   p->updated_ns,   p->ended_ns,       spent_ns(p),      p->bytes_total,
			p->bytes_done,   p->bytes_failed, p->stripes_done, p->stripes_failed, p->segments_total, p->segments_done,
			p->segments_failed,
		};
		buf_add(ret, p->drive, 16);
		for (unsigned j = 0; j < ROW_FIELDS; j++)
			buf_put_le64(ret, fields[j]);
	}
}

int heal_row_decode(struct str body, unsigned n, struct meta_heal_slot ret[])
{
	const uint8_t *at = (const uint8_t *)body.p + 4;

	if (body.len != 4 + n * ROW_SLOT_BYTES || le32_get(body.p) != (ROW_FORMAT | n << 16))
		return -QE_CORRUPT;
	for (unsigned i = 0; i < n; i++, at += ROW_SLOT_BYTES) {
		struct meta_heal_slot *p = &ret[i];
		uint64_t *const fields[ROW_FIELDS - 1] = {
			&p->started_ns,   &p->updated_ns,   &p->ended_ns,       &p->spent_ns,       &p->bytes_total,   &p->bytes_done,
			&p->bytes_failed, &p->stripes_done, &p->stripes_failed, &p->segments_total, &p->segments_done, &p->segments_failed,
		};
		memset(p, 0, sizeof *p);
		memcpy(p->drive, at, 16);
		p->active = le64_get(at + 16);
		for (unsigned j = 0; j < ROW_FIELDS - 1; j++)
			*fields[j] = le64_get(at + 24 + 8 * j);
	}
	return 0;
}

static void row_key(struct meta_key *k)
{
	key_u64(k, 0);
	k->b[k->len++] = META_DOC_HEAL;
}

static void put_row(struct meta_set *s, struct meta_batch *b, const struct meta_heal_slot slot[])
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	heal_row_encode(slot, s->n, &body);
	row_key(&k);
	if (!buf_err(&body)) /* else the next one tells it */
		meta_batch_put(b, TABLE_DOC, &k, buf_str(&body), 0);
}

void heal_progress_put(struct meta_set *s, struct meta_batch *b, const struct heal_range *r,
		       const struct erasure_healed_slot *done)
{
	struct meta_heal_slot slot[SUPER_MAX_SLOTS];

	meta_heal_progress(s, slot);
	add_range(&slot[r->slot], done, true);
	put_row(s, b, slot);
}

static void save_end(struct meta_set *s)
{
	struct meta_heal_slot slot[SUPER_MAX_SLOTS];
	struct meta_batch *b = meta_batch_new(s, META_ORDERED, OP_HEAL);

	if (!b)
		return;
	meta_heal_progress(s, slot);
	put_row(s, b, slot);
	if (meta_commit(b) < 0)
		log_debug("heal", "the end was not noted");
	meta_batch_free(b);
}

/* What was of another drive counts for nothing, and what nothing is missing of has come to its end. */
void heal_progress_load(struct meta_set *s)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_heal_slot slot[SUPER_MAX_SLOTS];
	uint8_t drive[SUPER_MAX_SLOTS][16];
	struct meta_row row;
	struct meta_key k;

	row_key(&k);
	if (meta_view_open(s, &v) < 0 || meta_get_k(v, TABLE_DOC, &k, &row) <= 0)
		return;
	if (heal_row_decode(row.body, s->n, slot) < 0) {
		log_warn("heal", "how far it was is not understood, it is counted anew");
		return;
	}
	drives_of(s, drive);
	for (unsigned i = 0; i < s->n; i++) {
		if (memcmp(slot[i].drive, drive[i], 16) != 0)
			slot[i] = (struct meta_heal_slot){.active = false};
		if (!slot[i].active || erasure_missing_count(s->erasure, i))
			continue;
		slot[i].active = false;
		slot[i].ended_ns = slot[i].updated_ns;
	}
	MUTEX_GUARD(&s->heal_lock);
	memcpy(s->heal, slot, s->n * sizeof slot[0]);
}

/* ---- The end ------------------------------------------------------------------------------------------------------ */
/* One line for each drive that is done, from what was read back of it. */
void heal_progress_end(struct meta_set *s)
{
	struct meta_heal_slot done[SUPER_MAX_SLOTS];
	uint32_t ended = 0;

	mutex_lock(&s->heal_lock);
	for (unsigned i = 0; i < s->n; i++)
		if (s->heal[i].active) {
			s->heal[i].active = false;
			s->heal[i].ended_ns = clock_wall_ns();
			s->heal[i].bytes_total = s->heal[i].bytes_done + s->heal[i].bytes_failed;
			ended |= 1u << i;
		}
	memcpy(done, s->heal, sizeof done);
	mutex_unlock(&s->heal_lock);
	save_end(s);
	for (unsigned i = 0; i < s->n; i++) {
		const struct meta_heal_slot *p = &done[i];
		if ((ended & 1u << i) && p->segments_done)
			log_info("heal", "drive healed slot=%u segments=%" PRIu64 " stripes=%" PRIu64 " bytes=%" PRIu64
				 " failed_segments=%" PRIu64 " failed_stripes=%" PRIu64 " failed_bytes=%" PRIu64 " seconds=%.1f",
				 i, p->segments_done, p->stripes_done, p->bytes_done, p->segments_failed, p->stripes_failed,
				 p->bytes_failed, (double)(p->ended_ns - p->started_ns) / 1e9);
	}
}
