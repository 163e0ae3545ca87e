/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing and scrub: what they do, and telling them to begin. Each answer has a member `progress` in one form, which a
 * client follows to the end: {finished, done, total, unit, per_second, eta_seconds, failed, text, waits}. What began by
 * a POST has finished when progress of the GET with the members of its answer as parameters says so; `failed` is not 0
 * when it has, and not all is whole.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin/json_internal.h"
#include "admin/routes_internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "drive/drive.h"

#define HEAL_RUNS 2 /* the one under way when it was asked, and one from its beginning */

static bool service_info_of(const struct admin_params *a, const char *name, struct service_info *ret)
{
	struct service_info info[SERVICES_MAX];
	unsigned n = services_list(a->services, info, ARRAY_SIZE(info));

	for (unsigned i = 0; i < n; i++)
		if (strcmp(info[i].name, name) == 0) {
			*ret = info[i];
			return true;
		}
	return false;
}

static uint64_t number(const struct admin_request *r, const char *name)
{
	uint64_t v;

	return str_to_u64(admin_param(r, name), &v) == 0 ? v : 0;
}

struct progress {
	bool finished;
	uint64_t done, total, per_second, eta_ns;
	uint64_t failed; /* what could not be healed or is not there: it has come to an end that is no success */
	const char *unit, *waits; /* waits: why it does not move, NULL: it does */
	char text[400];
};

static void PRINTF_LIKE(2, 3) say(struct progress *p, const char *fmt, ...)
{
	size_t at = strlen(p->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->text + at, sizeof p->text - at, fmt, ap);
	va_end(ap);
}

/* What keeps it from moving, for who waits. */
static void note_wait(struct progress *p, const struct meta_stats *st, const struct service_info *run)
{
	if (p->finished)
		return;
	if (!st->writable)
		p->waits = "the set is read-only, fewer drives are in sync than it needs to write";
	else if (run->state == SERVICE_PAUSED)
		p->waits = "the service is paused; service resume lets it run";
}

static int check_writable(const struct admin_params *a, struct op_ctx *ctx)
{
	struct meta_stats st;

	meta_stats(object_store_set(a->store), &st);
	if (st.writable)
		return 0;
	return op_fail(ctx, -QE_QUORUM_WRITE, "nothing can be repaired while the set is read-only: fewer drives are in sync than "
		       "the %u it needs; drive list tells what is wrong with them", st.w);
}

static void add_progress(json_t *o, const struct progress *p)
{
	json_t *j = json_object();

	json_object_set_new(j, "finished", json_boolean(p->finished));
	admin_set_u64(j, "done", p->done);
	admin_set_u64(j, "total", p->total);
	json_object_set_new(j, "unit", json_string(p->unit));
	admin_set_u64(j, "per_second", p->per_second);
	admin_set_seconds(j, "eta_seconds", p->eta_ns);
	admin_set_u64(j, "failed", p->failed);
	json_object_set_new(j, "text", json_string(p->text));
	json_object_set_new(j, "waits", p->waits ? json_string(p->waits) : json_null());
	json_object_set_new(o, "progress", j);
}

/* ---- Heal --------------------------------------------------------------------------------------------------------- */
json_t *admin_heal_info_json(const struct heal_drive *h, unsigned slot, const char *path)
{
	const struct meta_heal_slot *s = &h->s;
	json_t *o = json_object();

	admin_set_u64(o, "pool_index", 0);
	admin_set_u64(o, "set_index", 0);
	admin_set_u64(o, "disk_index", slot);
	json_object_set_new(o, "path", path ? json_string(path) : json_null());
	admin_set_time(o, "started", s->started_ns);
	admin_set_time(o, "last_update", s->updated_ns);
	json_object_set_new(o, "finished", json_boolean(!s->active));
	admin_set_u64(o, "items_healed", s->stripes_done);
	admin_set_u64(o, "items_failed", s->stripes_failed);
	admin_set_u64(o, "bytes_total", s->bytes_total);
	admin_set_u64(o, "bytes_done", s->bytes_done);
	admin_set_u64(o, "bytes_failed", s->bytes_failed);
	admin_set_u64(o, "bytes_queued", h->bytes_queued);
	admin_set_u64(o, "bytes_per_second", h->bytes_per_s);
	admin_set_seconds(o, "eta_seconds", h->eta_ns);
	admin_set_u64(o, "healed_segments", s->segments_done);
	admin_set_u64(o, "failed_segments", s->segments_failed);
	admin_set_u64(o, "queued_segments", s->segments_total - MIN(s->segments_total, s->segments_done + s->segments_failed));
	admin_set_u64(o, "current_segment", s->segment);
	return o;
}

static json_t *damage_json(const struct meta_damage_stats *d)
{
	json_t *o = json_object();

	admin_set_u64(o, "waiting", d->waiting);
	admin_set_u64(o, "noted", d->noted);
	admin_set_u64(o, "dropped", d->dropped);
	admin_set_u64(o, "repaired", d->repaired);
	admin_set_u64(o, "failed", d->failed);
	return o;
}

/* Ranges of drives that are in: those of others wait until these come back. */
static unsigned ranges_in(const struct meta_stats *st)
{
	unsigned n = 0;

	for (unsigned i = 0; i < st->n; i++)
		n += st->state[i] == ISR_IN ? st->missing_of[i] : 0;
	return n;
}

/* Slots of drives that are not in, as "1, 3"; how many. */
static unsigned slots_out(const struct meta_stats *st, char *ret, size_t cap)
{
	unsigned n = 0;

	*ret = '\0';
	for (unsigned i = 0; i < st->n; i++)
		if (st->state[i] != ISR_IN)
			snprintf(ret + strlen(ret), cap - strlen(ret), "%s%u", n++ ? ", " : "", i);
	return n;
}

struct asked { /* what was told to who began it */
	uint64_t cycle, since_ns, repaired, failed;
};

static struct asked asked_of(const struct admin_request *r)
{
	return (struct asked){number(r, "after"), number(r, "since"), number(r, "repaired"), number(r, "failed")};
}

/* How it ended: what was done, and what is not whole. */
static void heal_summary(const struct heal_status *h, const struct meta_stats *st, const struct asked *asked, unsigned healed,
			 struct progress *ret)
{
	uint64_t repaired = h->damage.repaired - MIN(h->damage.repaired, asked->repaired);
	unsigned ranges = ranges_in(st);
	char slots[64];

	ret->failed += h->damage.failed - MIN(h->damage.failed, asked->failed);
	say(ret, "%u drives healed, %llu damaged pieces repaired, %llu failed", healed, (unsigned long long)repaired,
	    (unsigned long long)ret->failed);
	if (ranges)
		say(ret, "; %u ranges stay missing on drives in the set, the log tells why", ranges);
	unsigned out = slots_out(st, slots, sizeof slots);
	if (out)
		say(ret, "; not in the set, so not healed: slots %s", slots);
	ret->failed += ranges + out;
}

static void heal_progress(const struct heal_status *h, const struct meta_stats *st, const struct service_info *run,
			  const struct asked *asked, struct progress *ret)
{
	uint64_t since = asked->since_ns ? asked->since_ns : run->started_ns;
	unsigned active = 0, n = 0;

	*ret = (struct progress){.unit = "bytes"};
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		const struct heal_drive *d = &h->drive[i];

		if (!d->s.active && (!d->s.started_ns || MAX(d->s.updated_ns, d->s.ended_ns) < since))
			continue;
		n++;
		active += d->s.active;
		ret->failed += d->s.stripes_failed;
		ret->done += d->s.bytes_done;
		ret->total += d->s.bytes_total;
		ret->per_second += d->bytes_per_s;
		ret->eta_ns = MAX(ret->eta_ns, d->eta_ns);
	}
	ret->finished = st->writable && !active && !h->damage.waiting && run->cycle >= asked->cycle + HEAL_RUNS;
	if (ret->finished) {
		heal_summary(h, st, asked, n, ret);
		return;
	}
	say(ret, "%u drives under way, %u ranges missing, %u damaged stripes wait, %llu failed", active, ranges_in(st),
	    h->damage.waiting, (unsigned long long)ret->failed);
	note_wait(ret, st, run);
}

static const char *request_state(enum heal_state s)
{
	static const char *const names[] = {"none", "waiting", "running", "done", "failed"};

	return s < ARRAY_SIZE(names) ? names[s] : "unknown";
}

static void add_lost(void *arg, const struct meta_lost_blob *b)
{
	json_t *o = json_object(), *objects = json_array();
	struct str rest = str_of(b->names), line;

	while (rest.len) {
		const char *end = memchr(rest.p, '\n', rest.len);
		line = str_sub(rest, 0, end ? (size_t)(end - rest.p) : rest.len);
		json_array_append_new(objects, json_stringn(line.p, line.len));
		rest = str_sub(rest, MIN(line.len + 1, rest.len), rest.len - MIN(line.len + 1, rest.len));
	}
	json_object_set_new(o, "objects", objects);
	admin_set_u64(o, "segment", b->segment);
	admin_set_u64(o, "offset", b->offset);
	admin_set_u64(o, "bytes", b->bytes);
	json_array_append_new(arg, o);
}

/* What somebody asked to be looked at. */
static json_t *request_json(struct heal *h, const struct heal_request *q)
{
	json_t *o = json_object(), *lost = json_array();

	json_object_set_new(o, "state", json_string(request_state(q->state)));
	admin_set_str(o, "bucket", str_of(q->bucket));
	admin_set_str(o, "prefix", str_of(q->prefix));
	json_object_set_new(o, "deep", json_boolean(q->deep));
	admin_set_time(o, "started", q->started_ns);
	admin_set_time(o, "ended", q->ended_ns);
	admin_set_u64(o, "objects", q->objects);
	admin_set_u64(o, "bad", q->bad);
	admin_set_u64(o, "repaired", q->repaired);
	admin_set_u64(o, "failed", q->failed);
	admin_set_u64(o, "lost_files", q->lost);
	admin_set_u64(o, "unreadable_more", heal_lost(h, add_lost, lost));
	json_object_set_new(o, "unreadable", lost);
	json_object_set_new(o, "error", q->state == HEAL_FAILED ? json_string(err_text(q->rc)) : json_null());
	return o;
}

int admin_heal_status(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct meta_set *set = object_store_set(a->store);
	json_t *o = json_object(), *drives = json_array();
	struct service_info run = {0};
	struct heal_status h;
	struct meta_stats st;
	struct progress p;

	heal_status(a->heal, &h);
	meta_stats(set, &st);
	(void)service_info_of(a, "heal", &run);
	struct asked asked = asked_of(r);
	heal_progress(&h, &st, &run, &asked, &p);
	json_object_set_new(o, "state", json_string(run.state == SERVICE_PAUSED ? "paused" : p.total > p.done ? "healing" : "idle"));
	admin_set_u64(o, "missing_ranges", h.missing_ranges);
	json_object_set_new(o, "damage", damage_json(&h.damage));
	if (h.request.state != HEAL_NONE)
		json_object_set_new(o, "request", request_json(a->heal, &h.request));
	for (unsigned i = 0; i < st.n; i++) {
		CLEANUP_DRIVE struct drive *d = meta_drive_of(set, i);

		if (h.drive[i].s.started_ns)
			json_array_append_new(drives, admin_heal_info_json(&h.drive[i], i, d ? d->path : NULL));
	}
	json_object_set_new(o, "drives", drives);
	add_progress(o, &p);
	return admin_dump(o, ret);
}

static void request_progress(const struct heal_request *q, struct progress *ret)
{
	*ret = (struct progress){
		.unit = "objects",
		.finished = q->state != HEAL_WAITS && q->state != HEAL_RUNS,
		.done = q->objects,
		.total = q->objects,
		.failed = q->failed + (q->state == HEAL_FAILED) + q->unfilled,
	};
	say(ret, "%llu bad pieces, %llu repaired, %llu failed", (unsigned long long)q->bad, (unsigned long long)q->repaired,
	    (unsigned long long)q->failed);
	if (q->lost)
		say(ret, ", %llu files lost and %s", (unsigned long long)q->lost,
		    q->unfilled   ? "not all made anew: heal status tells what is missing" :
		    ret->finished ? "made anew" : "to be made anew");
	if (q->unreadable)
		say(ret, "; %llu pieces cannot be read: heal status and the log name their objects", (unsigned long long)q->unreadable);
	if (q->state == HEAL_FAILED)
		say(ret, "; %s", err_text(q->rc));
	if (q->state == HEAL_DONE && !q->objects) {
		say(ret, *q->prefix ? "; no object lies below this prefix" : "; the bucket has no objects");
		ret->failed += *q->prefix != '\0';
	}
}

int admin_heal_request(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct service_info run = {0};
	struct heal_status h;
	struct meta_stats st;
	struct progress p;

	heal_status(a->heal, &h);
	meta_stats(object_store_set(a->store), &st);
	(void)service_info_of(a, "heal", &run);
	request_progress(&h.request, &p);
	note_wait(&p, &st, &run);
	json_t *o = request_json(a->heal, &h.request);
	add_progress(o, &p);
	return admin_dump(o, ret);
}

/* What to follow, and from where: parameters of the GET that tells how far it is. */
static int begun(const char *follow, const struct asked *asked, struct buf *ret)
{
	json_t *o = json_object();

	json_object_set_new(o, "follow", json_string(follow));
	admin_set_u64(o, "after", asked->cycle);
	admin_set_u64(o, "since", asked->since_ns);
	admin_set_u64(o, "repaired", asked->repaired);
	admin_set_u64(o, "failed", asked->failed);
	return admin_dump(o, ret);
}

int admin_heal_start(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct str bucket = admin_param(r, "bucket"), prefix = admin_param(r, "prefix");
	bool deep = str_eqc(admin_param(r, "deep"), "true");
	struct service_info run = {0};
	struct meta_damage_stats damage;

	if (prefix.len && !bucket.len)
		return op_fail(ctx, -QE_INVALID_REQUEST, "there is a prefix and no bucket");
	if (deep && !bucket.len)
		return admin_scrub_start(a, ctx, r, ret);
	int rc = check_writable(a, ctx);
	if (rc == 0 && bucket.len)
		rc = heal_request(a->heal, bucket, prefix, deep);
	if (rc == -QE_BUSY)
		return op_fail(ctx, rc, "another part is being healed; heal status tells how far it is");
	if (rc < 0)
		return rc;
	(void)service_info_of(a, "heal", &run);
	meta_damage_stats(object_store_set(a->store), &damage);
	struct asked asked = {run.cycle, clock_wall_ns(), damage.repaired, damage.failed};
	rc = services_poke(a->services, "heal");
	return rc < 0 ? rc : begun(bucket.len ? "heal/request" : "heal", &asked, ret);
}

/* ---- Scrub -------------------------------------------------------------------------------------------------------- */
static void scrub_progress(const struct scrub_report *s, const struct meta_stats *st, uint64_t segments, uint64_t asked,
			   struct progress *ret)
{
	uint64_t bad = 0, now = clock_wall_ns();
	char slots[64];

	*ret = (struct progress){.unit = "segments", .done = s->segments, .total = MAX(segments, s->segments)};
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		bad += s->slot[i].bad;
		ret->failed += s->slot[i].failed;
	}
	ret->finished = s->cycle > asked && s->ended_ns;
	if (ret->finished)
		ret->total = ret->done;
	else if (s->segments && now > s->started_ns)
		ret->eta_ns = (uint64_t)((double)(now - s->started_ns) / (double)s->segments * (double)(ret->total - ret->done));
	say(ret, "%llu bad pieces, %llu of them could not be repaired, %u bad index copies", (unsigned long long)bad,
	    (unsigned long long)ret->failed, s->index_bad);
	unsigned out = ret->finished ? slots_out(st, slots, sizeof slots) : 0;
	if (out)
		say(ret, "; not in the set, so not verified: slots %s", slots);
	ret->failed += out;
}

static bool any_healed(const struct admin_params *a)
{
	struct heal_status h;
	bool any = false;

	heal_status(a->heal, &h);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		any |= h.drive[i].s.active;
	return any;
}

static uint64_t segments_known(const struct admin_params *a)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(object_store_set(a->store));
	struct erasure_stats st;

	erasure_set_stats(e, &st);
	return st.segments;
}

static json_t *scrub_slot_json(const struct admin_params *a, const struct scrub_report *s, unsigned slot)
{
	CLEANUP_DRIVE struct drive *d = meta_drive_of(object_store_set(a->store), slot);
	json_t *o = json_object();

	admin_set_u64(o, "slot", slot);
	json_object_set_new(o, "path", d ? json_string(d->path) : json_null());
	admin_set_u64(o, "bad", s->slot[slot].bad);
	admin_set_u64(o, "repaired", s->slot[slot].repaired);
	admin_set_u64(o, "failed", s->slot[slot].failed);
	return o;
}

int admin_scrub_report(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	json_t *o = json_object(), *drives = json_array(), *lost = json_array();
	struct service_info run = {0};
	struct scrub_report s;
	struct meta_stats st;
	struct progress p;

	scrub_report(a->scrub, &s);
	meta_stats(object_store_set(a->store), &st);
	(void)service_info_of(a, "scrub", &run);
	scrub_progress(&s, &st, segments_known(a), number(r, "after"), &p);
	note_wait(&p, &st, &run);
	if (!p.finished && !p.waits && any_healed(a))
		p.waits = "drives are being healed first";
	json_object_set_new(o, "state", json_string(run.state == SERVICE_PAUSED ? "paused" : !s.cycle ? "not begun yet" :
						    s.ended_ns ? "ended" : "running"));
	admin_set_u64(o, "cycle", s.cycle);
	admin_set_time(o, "started", s.started_ns);
	admin_set_time(o, "ended", s.ended_ns);
	admin_set_u64(o, "segments", s.segments);
	admin_set_u64(o, "stripes", s.stripes);
	admin_set_u64(o, "read_bytes", s.bytes);
	admin_set_u64(o, "index_copies", s.index_copies);
	admin_set_u64(o, "index_copies_bad", s.index_bad);
	for (unsigned i = 0; i < st.n; i++)
		json_array_append_new(drives, scrub_slot_json(a, &s, i));
	json_object_set_new(o, "drives", drives);
	admin_set_u64(o, "unreadable_stripes", scrub_unreadable(&s));
	admin_set_u64(o, "unreadable_more", scrub_lost(a->scrub, add_lost, lost));
	json_object_set_new(o, "unreadable", lost);
	add_progress(o, &p);
	return admin_dump(o, ret);
}

int admin_scrub_start(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct scrub_report s;
	int rc = check_writable(a, ctx);

	if (rc < 0)
		return rc;
	scrub_report(a->scrub, &s);
	scrub_request(a->scrub);
	rc = services_poke(a->services, "scrub");
	return rc < 0 ? rc : begun("scrub", &(struct asked){.cycle = s.cycle}, ret);
}
