/* SPDX-License-Identifier: Apache-2.0 */
#include "service/scrub.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "service/lost.h"

#define REPORT_FORMAT 2
#define REPORT_FIXED 68
#define SLOT_BYTES 24
#define LOST_FIXED 16
#define LOST_BYTES 18
#define SAVE_NS (30 * NS_PER_S) /* between two writes of how far it is */

struct scrub {
	struct meta_set *set;
	uint64_t period_ns;
	struct mutex lock; /* LOCK_QUEUE: what follows */
	struct scrub_report report;
	struct meta_lost_blobs lost; /* whose report.lost is, once it has ended */
	bool requested;
	/* The run's. */
	struct service_run *run;
	struct meta_healer *healer;
	struct meta_lost_list met; /* the segment that is worked on included */
	bool loaded, named;
	uint64_t saved_ns; /* mono */
};

/* ---- The row ----------------------------------------------------------------------------------------------------- */
void scrub_report_encode(const struct scrub_report *r, unsigned slots, struct buf *ret)
{
	const uint64_t fields[] = {r->cycle,    r->started_ns, r->ended_ns, r->position,
				   r->segments, r->stripes,    r->bytes};

	buf_put_le32(ret, REPORT_FORMAT | slots << 16);
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		buf_put_le64(ret, fields[i]);
	buf_put_le32(ret, r->index_copies);
	buf_put_le32(ret, r->index_bad);
	for (unsigned i = 0; i < slots; i++) {
		buf_put_le64(ret, r->slot[i].bad);
		buf_put_le64(ret, r->slot[i].repaired);
		buf_put_le64(ret, r->slot[i].failed);
	}
	buf_put_le64(ret, r->lost_before);
	buf_put_le64(ret, r->lost.stripes);
	for (unsigned i = 0; i < r->lost.n; i++) {
		buf_put_le64(ret, r->lost.at[i].segment);
		buf_put_le32(ret, r->lost.at[i].from_4k);
		buf_put_le32(ret, r->lost.at[i].to_4k);
		buf_put_le16(ret, r->lost.at[i].cells);
	}
}

static int lost_decode(const uint8_t *p, size_t len, struct scrub_report *r)
{
	if (len < LOST_FIXED || (len - LOST_FIXED) % LOST_BYTES || (len - LOST_FIXED) / LOST_BYTES > META_LOST_MAX)
		return -QE_CORRUPT;
	r->lost_before = le64_get(p);
	r->lost.stripes = le64_get(p + 8);
	r->lost.n = (unsigned)((len - LOST_FIXED) / LOST_BYTES);
	p += LOST_FIXED;
	for (unsigned i = 0; i < r->lost.n; i++, p += LOST_BYTES)
		r->lost.at[i] = (struct meta_lost){le64_get(p), le32_get(p + 8), le32_get(p + 12), le16_get(p + 16)};
	return 0;
}

int scrub_report_decode(struct str body, struct scrub_report *ret)
{
	const uint8_t *p = (const uint8_t *)body.p;
	struct scrub_report r = {0};
	uint64_t *fields[] = {&r.cycle, &r.started_ns, &r.ended_ns, &r.position, &r.segments, &r.stripes, &r.bytes};

	if (body.len < REPORT_FIXED)
		return -QE_CORRUPT;
	unsigned slots = le16_get(p + 2);
	if (le16_get(p) != REPORT_FORMAT || slots > SUPER_MAX_SLOTS || body.len < REPORT_FIXED + slots * SLOT_BYTES)
		return -QE_CORRUPT;
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		*fields[i] = le64_get(p + 4 + 8 * i);
	r.index_copies = le32_get(p + 60);
	r.index_bad = le32_get(p + 64);
	for (unsigned i = 0; i < slots; i++) {
		const uint8_t *at = p + REPORT_FIXED + SLOT_BYTES * i;
		r.slot[i] = (struct scrub_slot){le64_get(at), le64_get(at + 8), le64_get(at + 16)};
	}
	size_t at = REPORT_FIXED + slots * SLOT_BYTES;
	int rc = lost_decode(p + at, body.len - at, &r);
	if (rc == 0)
		*ret = r;
	return rc;
}

static void row_key(struct meta_key *k)
{
	key_u64(k, 0);
	k->b[k->len++] = META_DOC_SCRUB;
}

static int load(struct scrub *s)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct scrub_report r = {0};
	struct meta_row row;
	struct meta_key k;
	int rc = meta_view_open(s->set, &v);

	if (rc < 0)
		return rc;
	row_key(&k);
	rc = meta_get_k(v, TABLE_DOC, &k, &row);
	if (rc < 0)
		return rc;
	if (rc > 0 && scrub_report_decode(row.body, &r) < 0)
		log_warn("scrub", "its row is not understood, it begins anew");
	MUTEX_GUARD(&s->lock);
	s->report = r;
	s->loaded = true;
	return 0;
}

static int save(struct scrub *s, enum meta_promise promise)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct scrub_report r;
	struct meta_stats st;
	struct meta_key k;
	struct meta_batch *b = meta_batch_new(s->set, promise, OP_HEAL);

	if (!b)
		return -ENOMEM;
	scrub_report(s, &r);
	meta_stats(s->set, &st);
	scrub_report_encode(&r, st.n, &body);
	row_key(&k);
	meta_batch_put(b, TABLE_DOC, &k, buf_str(&body), 0);
	int rc = meta_commit(b);
	meta_batch_free(b);
	s->saved_ns = clock_mono_ns();
	return rc;
}

/* ---- A run ------------------------------------------------------------------------------------------------------- */
static bool healing(struct scrub *s)
{
	struct meta_heal_slot slot[SUPER_MAX_SLOTS];
	bool any = false;

	meta_heal_progress(s->set, slot);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		any |= slot[i].active;
	return any;
}

static bool asked_anew(struct scrub *s)
{
	MUTEX_GUARD(&s->lock);

	return s->requested;
}

static bool go_on(void *arg, uint64_t bytes)
{
	struct scrub *s = arg;

	return service_run_spend(s->run, bytes) && !(bytes && (healing(s) || asked_anew(s)));
}

static void tell_bad(struct scrub *s, unsigned slot, uint64_t segment, const struct erasure_healed_slot *h)
{
	CLEANUP_DRIVE struct drive *d = meta_drive_of(s->set, slot);

	log_warn("scrub", "bad cells path=%s slot=%u segment=%016llx cells=%llu repaired=%llu failed=%llu", drive_path(d), slot,
		 (unsigned long long)segment, (unsigned long long)h->bad, (unsigned long long)h->healed,
		 (unsigned long long)h->failed);
}

static void segment_done(void *arg, uint64_t segment, const struct erasure_healed *h)
{
	struct scrub *s = arg;

	mutex_lock(&s->lock);
	struct scrub_report *r = &s->report;
	r->position = segment + 1;
	r->segments++;
	r->stripes += h->stripes;
	r->bytes += h->bytes;
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		r->slot[i].bad += h->slot[i].bad;
		r->slot[i].repaired += h->slot[i].healed;
		r->slot[i].failed += h->slot[i].failed;
	}
	r->lost = s->met;
	uint64_t segments = r->segments;
	mutex_unlock(&s->lock);
	service_run_progress(s->run, segments, 0);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		if (h->slot[i].bad)
			tell_bad(s, i, segment, &h->slot[i]);
	if (clock_mono_ns() - s->saved_ns > SAVE_NS && save(s, META_ORDERED) < 0)
		log_debug("scrub", "how far it is was not written");
}

/* A scrub is under way, or one begins now. */
static bool due(struct scrub *s)
{
	uint64_t now = clock_wall_ns();

	MUTEX_GUARD(&s->lock);
	struct scrub_report *r = &s->report;
	if (!s->requested && r->cycle && (r->ended_ns ? now - r->started_ns < s->period_ns : false))
		return false;
	if (s->requested || !r->cycle || r->ended_ns)
		*r = (struct scrub_report){.cycle = r->cycle + 1, .started_ns = now, .lost_before = scrub_unreadable(r)};
	s->requested = false;
	return true;
}

static int finish(struct scrub *s)
{
	uint64_t bad = 0, repaired = 0, failed = 0;
	struct scrub_report r;

	mutex_lock(&s->lock);
	s->report.ended_ns = clock_wall_ns();
	r = s->report;
	mutex_unlock(&s->lock);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		bad += r.slot[i].bad;
		repaired += r.slot[i].repaired;
		failed += r.slot[i].failed;
	}
	log_info("scrub", "done segments=%llu stripes=%llu bytes=%llu bad=%llu repaired=%llu failed=%llu index_copies=%u "
		 "index_bad=%u seconds=%.1f", (unsigned long long)r.segments, (unsigned long long)r.stripes,
		 (unsigned long long)r.bytes, (unsigned long long)bad, (unsigned long long)repaired, (unsigned long long)failed,
		 r.index_copies, r.index_bad, (double)(r.ended_ns - r.started_ns) / 1e9);
	return save(s, META_DURABLE);
}

/* Whose the payload is that cannot be read: one walk over the rows that name blobs. */
static int name_lost(struct scrub *s, bool tell)
{
	struct meta_lost_blobs lost;
	struct scrub_report r;

	scrub_report(s, &r);
	int rc = meta_lost_find(s->set, &r.lost, go_on, s, &lost);
	if (rc < 0)
		return rc;
	if (tell)
		lost_tell(s->set, "scrub", &r.lost, &lost);
	mutex_lock(&s->lock);
	struct meta_lost_blobs old = s->lost;
	s->lost = lost;
	s->named = true;
	mutex_unlock(&s->lock);
	meta_lost_blobs_free(&old);
	return 0;
}

static int walk(struct scrub *s)
{
	struct scrub_report r;

	if (!s->healer)
		s->healer = meta_healer_new(s->set, go_on, s);
	if (!s->healer)
		return -ENOMEM;
	s->saved_ns = clock_mono_ns();
	scrub_report(s, &r);
	s->met = r.lost;
	meta_healer_note_lost(s->healer, &s->met);
	int rc = meta_scrub(s->healer, r.position, segment_done, s);
	if (rc <= 0)
		return rc < 0 ? rc : save(s, META_ORDERED);
	struct meta_index_check check;
	rc = meta_index_check(s->set, &check);
	if (rc < 0)
		return rc;
	mutex_lock(&s->lock);
	s->report.index_copies = check.copies;
	s->report.index_bad = check.bad;
	mutex_unlock(&s->lock);
	rc = name_lost(s, true);
	return rc < 0 ? rc : finish(s);
}

int scrub_run(void *arg, struct service_run *r)
{
	struct scrub *s = arg;

	if (!meta_writable(s->set) || healing(s))
		return 0;
	s->run = r;
	int rc = s->loaded ? 0 : load(s);
	bool now = rc == 0 && due(s);
	if (now)
		rc = walk(s);
	else if (rc == 0 && !s->named)
		rc = name_lost(s, false); /* of before the start */
	/* A full set takes no report: a restart begins where the last one that it took was. */
	return rc == -QE_QUORUM_WRITE || rc == -QE_UNKNOWN_OUTCOME || rc == -QE_BUSY || rc == -QE_FULL ? 0 : rc;
}

/* ---- The object -------------------------------------------------------------------------------------------------- */
struct scrub *scrub_new(struct meta_set *set, uint64_t period_ns)
{
	struct scrub *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->set = set;
	s->period_ns = period_ns;
	mutex_init(&s->lock, LOCK_QUEUE);
	return s;
}

struct scrub *scrub_free(struct scrub *s)
{
	if (!s)
		return NULL;
	meta_healer_free(s->healer);
	meta_lost_blobs_free(&s->lost);
	mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

void scrub_request(struct scrub *s)
{
	MUTEX_GUARD(&s->lock);

	s->requested = true;
}

uint64_t scrub_lost(struct scrub *s, void (*fn)(void *arg, const struct meta_lost_blob *b), void *arg)
{
	MUTEX_GUARD(&s->lock);

	for (unsigned i = 0; i < s->lost.n; i++)
		fn(arg, &s->lost.at[i]);
	return s->lost.more;
}

void scrub_report(struct scrub *s, struct scrub_report *ret)
{
	MUTEX_GUARD(&s->lock);

	*ret = s->report;
}
