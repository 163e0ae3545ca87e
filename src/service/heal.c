/* SPDX-License-Identifier: Apache-2.0 */
#include "service/heal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "object/object.h"
#include "service/lost.h"

#define LOOK_BYTES (8u << 20)        /* moved between two looks at what others do */
#define REST_NS (250 * NS_PER_MS)    /* at most, at a time */
#define REST_STEP_NS (20 * NS_PER_MS)
#define RETRY_NS (60 * NS_PER_S)     /* after an error */

struct heal {
	struct object_store *store;
	struct meta_set *set;
	struct mutex lock; /* LOCK_QUEUE: what follows, to the run's */
	struct heal_request request;
	struct buf bucket, prefix; /* of it, whole */
	struct buf key;            /* how far it is */
	struct meta_lost_blobs lost; /* what it found that cannot be read, once it has ended */
	/* The run's. */
	struct service_run *run;
	struct meta_healer *healer;
	struct meta_lost_list met; /* by the request */
	uint64_t moved, look_ns, others; /* since and at the last look */
	uint64_t retry_ns;               /* mono; not before */
};

struct heal *heal_new(struct object_store *store)
{
	struct heal *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->store = store;
	h->set = object_store_set(store);
	mutex_init(&h->lock, LOCK_QUEUE);
	return h;
}

struct heal *heal_free(struct heal *h)
{
	if (!h)
		return NULL;
	meta_healer_free(h->healer);
	meta_lost_blobs_free(&h->lost);
	buf_free(&h->bucket);
	buf_free(&h->prefix);
	buf_free(&h->key);
	mutex_destroy(&h->lock);
	free(h);
	return NULL;
}

/* A number that grows with all that is read and written, but for what heals. */
static uint64_t work_of_others(struct heal *h)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(h->set);
	struct erasure_stats st;

	erasure_set_stats(e, &st);
	return st.bytes_read + st.bytes_written + meta_applied_seq(h->set);
}

static bool rest(struct heal *h, uint64_t ns)
{
	uint64_t until = clock_mono_ns() + MIN(ns, REST_NS);

	while (clock_mono_ns() < until) {
		if (service_run_ends(h->run))
			return false;
		clock_sleep_ns(REST_STEP_NS);
	}
	return true;
}

static bool go_on(void *arg, uint64_t bytes)
{
	struct heal *h = arg;

	if (!service_run_spend(h->run, bytes))
		return false;
	h->moved += bytes;
	if (h->moved < LOOK_BYTES)
		return true;
	uint64_t others = work_of_others(h), took = clock_mono_ns() - h->look_ns;
	/* Its own batches are a few a segment. */
	bool busy = others > h->others + 8;
	bool on = !busy || rest(h, took);
	h->moved = 0;
	h->others = work_of_others(h);
	h->look_ns = clock_mono_ns();
	return on;
}

/* ---- What somebody asked for ------------------------------------------------------------------------------------- */
static void copy_text(char *to, size_t cap, struct str from)
{
	size_t n = MIN(from.len, cap - 1);

	memcpy(to, from.p, n);
	to[n] = '\0';
}

static int bucket_there(struct heal *h, struct str bucket)
{
	struct op_ctx ctx;
	struct object_bucket_info info;
	uint64_t seq;

	op_ctx_init(&ctx, OP_ADMIN);
	int rc = object_bucket_head(h->store, &ctx, bucket, &info, &seq);
	op_ctx_done(&ctx);
	return rc;
}

int heal_request(struct heal *h, struct str bucket, struct str prefix, bool deep)
{
	int rc = bucket_there(h, bucket);

	if (rc < 0)
		return rc;
	MUTEX_GUARD(&h->lock);
	struct heal_request *r = &h->request;
	if (r->state == HEAL_WAITS || r->state == HEAL_RUNS)
		return -QE_BUSY;
	*r = (struct heal_request){.state = HEAL_WAITS, .deep = deep};
	meta_lost_blobs_free(&h->lost);
	copy_text(r->bucket, sizeof r->bucket, bucket);
	copy_text(r->prefix, sizeof r->prefix, prefix);
	struct buf *all[] = {&h->bucket, &h->prefix, &h->key};
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		buf_reset(all[i]);
	buf_add_str(&h->bucket, bucket);
	buf_add_str(&h->prefix, prefix);
	if (!buf_err(&h->bucket) && !buf_err(&h->prefix))
		return 0;
	r->state = HEAL_NONE;
	return -ENOMEM;
}

static void count_page(struct heal *h, unsigned objects, unsigned blobs, const struct erasure_healed *done)
{
	MUTEX_GUARD(&h->lock);

	h->request.objects += objects;
	h->request.blobs += blobs;
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		h->request.bad += done->slot[i].bad;
		h->request.repaired += done->slot[i].healed;
		h->request.failed += done->slot[i].failed;
		h->request.lost += done->slot[i].lost;
	}
}

/* 1: there is more. 0: that was all. */
static int request_page(struct heal *h)
{
	CLEANUP_BUF struct buf blobs = BUF_INIT, before = BUF_INIT;
	struct erasure_healed done = {0};
	struct op_ctx ctx;
	unsigned objects;

	/* bucket, prefix and key change only while no request waits or runs. */
	buf_add_str(&before, buf_str(&h->key));
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = object_blobs(h->store, &ctx, buf_str(&h->bucket), buf_str(&h->prefix), &h->key, &blobs, &objects);
	op_ctx_done(&ctx);
	if (rc < 0)
		return rc;
	unsigned n = (unsigned)(blobs.len / 8);
	int healed = n ? meta_heal_blobs(h->healer, (const uint64_t *)(const void *)blobs.data, n, h->request.deep, &done) : 1;
	if (healed <= 0) { /* the page is looked at again */
		buf_reset(&h->key);
		buf_add_str(&h->key, buf_str(&before));
		return healed < 0 ? healed : -QE_BUSY;
	}
	count_page(h, objects, n, &done);
	return buf_err(&before) ? buf_err(&before) : rc;
}

static void request_end(struct heal *h, int rc)
{
	MUTEX_GUARD(&h->lock);
	struct heal_request *r = &h->request;

	r->state = rc < 0 ? HEAL_FAILED : HEAL_DONE;
	r->rc = rc;
	r->ended_ns = clock_wall_ns();
	log_info("heal", "request ended bucket=%s prefix=\"%s\" deep=%d objects=%llu bad=%llu repaired=%llu failed=%llu "
		 "lost_files=%llu result=\"%s\"", r->bucket, r->prefix, r->deep, (unsigned long long)r->objects,
		 (unsigned long long)r->bad, (unsigned long long)r->repaired, (unsigned long long)r->failed,
		 (unsigned long long)r->lost, rc < 0 ? err_text(rc) : "ok");
}

static bool request_begin(struct heal *h)
{
	MUTEX_GUARD(&h->lock);
	struct heal_request *r = &h->request;

	if (r->state != HEAL_WAITS && r->state != HEAL_RUNS)
		return false;
	if (r->state == HEAL_WAITS) {
		r->started_ns = clock_wall_ns();
		h->met = (struct meta_lost_list){0};
	}
	r->state = HEAL_RUNS;
	return true;
}

/* Files that were gone are named as missing ranges by now. */
static int fill_lost(struct heal *h)
{
	int rc = h->request.lost ? meta_heal_missing(h->healer) : 1; /* counted by this thread alone */

	if (rc != 0)
		return MIN(rc, 0);
	MUTEX_GUARD(&h->lock);
	h->request.unfilled = true;
	return 0;
}

/* Whose the payload is that cannot be read: a walk over the rows that name blobs. */
static int name_lost(struct heal *h)
{
	struct meta_lost_blobs lost;
	int rc = h->met.stripes ? meta_lost_find(h->set, &h->met, go_on, h, &lost) : 1;

	if (rc != 0)
		return MIN(rc, 0);
	lost_tell(h->set, "heal", &h->met, &lost);
	MUTEX_GUARD(&h->lock);
	h->lost = lost;
	return 0;
}

/* One that was told to end goes on with the next run. */
static void request_run(struct heal *h)
{
	int rc = 1;

	if (!request_begin(h))
		return;
	meta_healer_note_lost(h->healer, &h->met);
	while (rc > 0)
		rc = service_run_ends(h->run) ? -QE_BUSY : request_page(h);
	meta_healer_note_lost(h->healer, NULL);
	if (rc == 0)
		rc = fill_lost(h);
	if (rc == 0)
		rc = name_lost(h);
	if (rc != -QE_BUSY)
		request_end(h, rc);
}

/* ---- The run ----------------------------------------------------------------------------------------------------- */
/* The row's note and progress, from the drives that are worked on. */
static void tell(struct heal *h, struct service_run *r)
{
	struct heal_status st;
	uint64_t done = 0, total = 0;

	heal_status(h, &st);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		done += st.drive[i].s.bytes_done;
		total += st.drive[i].s.bytes_total;
	}
	service_run_progress(r, done, total);
	service_run_note(r, "%u missing ranges, %u damaged stripes wait", st.missing_ranges, st.damage.waiting);
}

int heal_run(void *arg, struct service_run *r)
{
	struct heal *h = arg;
	struct meta_stats st;

	if (!h->healer)
		h->healer = meta_healer_new(h->set, go_on, h);
	if (!h->healer)
		return -ENOMEM;
	h->run = r;
	h->moved = 0;
	h->look_ns = clock_mono_ns();
	h->others = work_of_others(h);
	meta_stats(h->set, &st);
	if (!st.writable || clock_mono_ns() < h->retry_ns)
		return 0; /* it is tried again later */
	int rc = meta_heal_damage(h->healer);
	if (rc == 0 && st.missing_ranges)
		rc = MIN(meta_heal_missing(h->healer), 0);
	if (rc == 0)
		request_run(h);
	tell(h, r);
	if (rc == -QE_QUORUM_WRITE || rc == -QE_UNKNOWN_OUTCOME)
		return 0;
	h->retry_ns = rc < 0 ? clock_mono_ns() + RETRY_NS : 0;
	return rc;
}

static void fill_drive(struct heal_drive *d)
{
	uint64_t done = d->s.bytes_done + d->s.bytes_failed;
	uint64_t until = d->s.active ? clock_wall_ns() : d->s.ended_ns, from = d->s.resumed_ns;
	double seconds = (double)(d->s.spent_ns + (from && until > from ? until - from : 0)) / 1e9;

	d->bytes_queued = d->s.bytes_total > done ? d->s.bytes_total - done : 0;
	d->bytes_per_s = seconds > 0 ? (uint64_t)((double)d->s.bytes_done / seconds) : 0;
	if (d->s.active && d->bytes_per_s)
		d->eta_ns = (uint64_t)((double)d->bytes_queued / (double)d->bytes_per_s * 1e9);
}

uint64_t heal_lost(struct heal *h, void (*fn)(void *arg, const struct meta_lost_blob *b), void *arg)
{
	MUTEX_GUARD(&h->lock);

	for (unsigned i = 0; i < h->lost.n; i++)
		fn(arg, &h->lost.at[i]);
	return h->lost.more;
}

void heal_status(struct heal *h, struct heal_status *ret)
{
	struct meta_heal_slot slot[SUPER_MAX_SLOTS];
	struct meta_stats st;

	memset(ret, 0, sizeof *ret);
	meta_heal_progress(h->set, slot);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		ret->drive[i].s = slot[i];
		fill_drive(&ret->drive[i]);
	}
	meta_damage_stats(h->set, &ret->damage);
	mutex_lock(&h->lock);
	ret->request = h->request;
	ret->request.unreadable = h->lost.n + h->lost.more;
	mutex_unlock(&h->lock);
	meta_stats(h->set, &st);
	ret->missing_ranges = st.missing_ranges;
}
