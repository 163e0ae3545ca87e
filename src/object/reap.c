/* SPDX-License-Identifier: Apache-2.0
 *
 * What is removed in the background: orphans that nobody holds, parts of uploads that are gone. Jobs run one after the
 * other on the store's background thread and may block on commits; a failure leaves the rest for the next start.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "object/store_internal.h"
#include "object/upload.h"

#define PARTS_BATCH 128
#define ORPHANS_BATCH 64
#define ORPHANS_GATHER_NS (5 * NS_PER_MS)

struct reap_job {
	struct work work;
	struct object_store *store;
	struct object_commit commit;
	uint64_t id;
	bool more;
};

static void job_push(struct object_store *s, struct work *w)
{
	atomic_fetch_add(&s->jobs_begun, 1);
	workq_push(s->background, w);
}

static void job_end(struct object_store *s, void *j)
{
	atomic_fetch_add(&s->jobs_done, 1);
	free(j);
}

static void job_start(struct object_store *s, void (*run)(struct work *), uint64_t id)
{
	struct reap_job *j = calloc(1, sizeof *j);

	if (!j)
		return; /* found again at the next start */
	j->store = s;
	j->id = id;
	j->work.run = run;
	job_push(s, &j->work);
}

static void job_commits(struct reap_job *j, const char *what, commit_attempt_fn attempt)
{
	int rc;

	do {
		if (store_closing(j->store))
			return;
		j->more = false;
		commit_init(&j->commit, j->store, META_ORDERED, OP_SCANNER, attempt);
		rc = commit_run(&j->commit);
		commit_fini(&j->commit);
	} while (rc == 0 && j->more);
	if (rc < 0)
		log_debug("object", "%s left behind id=%016llx: %s", what, (unsigned long long)j->id, err_text(rc));
}

/* ---- Orphans ----------------------------------------------------------------------------------------------------------- */
/* Those that come soon after each other go with one batch: rm -r lets go of thousands, one by one. */
struct orphans_job {
	struct work work;
	struct object_store *store;
	struct object_commit commit;
	uint64_t id[ORPHANS_BATCH];
	unsigned n, at, next; /* next: where the batch that is being built ends */
	unsigned most;        /* of one batch */
	bool more;            /* of id[next], too: it is too large for one batch */
};

/* Drops what one batch takes of the file; nothing when it is gone, or held again: whoever lets go comes back. */
static int orphan_drop(struct orphans_job *j, struct meta_view *v, struct meta_batch *b, uint64_t id, unsigned *weight)
{
	struct object_commit *c = &j->commit;
	struct meta_row orphan, row;
	struct row_file f;
	struct meta_key k;
	unsigned own = 0;
	int rc;

	key_u64(&k, id);
	rc = meta_get_k(v, TABLE_ORPHAN, &k, &orphan);
	if (rc <= 0)
		return rc;
	rc = meta_get_k(v, TABLE_FILE, &k, &row);
	if (rc > 0)
		rc = row_file_decode(row.body, &f);
	else if (rc == 0)
		rc = -QE_CORRUPT;
	if (rc == 0)
		rc = content_weight(v, &f.obj, &own);
	if (rc < 0)
		return rc;
	if (*weight && *weight + own > CONTENT_DROP_MAX)
		return -E2BIG;
	if (store_drop_begin(c, id))
		return 0;
	*weight += own;
	meta_batch_expect(b, TABLE_ORPHAN, &k, &orphan, true);
	meta_batch_expect(b, TABLE_FILE, &k, &row, true);
	rc = content_drop_some(v, &c->arena, b, &f.obj, &j->more);
	if (rc < 0 || j->more)
		return rc;
	meta_batch_del(b, TABLE_FILE, &k);
	meta_batch_del(b, TABLE_ORPHAN, &k);
	return 1;
}

static int orphans_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct orphans_job *j = CONTAINER_OF(c, struct orphans_job, commit);
	unsigned weight = 0, dropped = 0;

	j->more = false;
	for (j->next = j->at; j->next < MIN(j->n, j->at + j->most) && !j->more; j->next++) {
		int rc = orphan_drop(j, v, b, j->id[j->next], &weight);
		if (rc == -E2BIG && j->next > j->at)
			break;
		if (rc < 0)
			return rc;
		dropped += rc > 0 || j->more;
	}
	if (j->more)
		j->next--; /* comes again */
	return dropped ? 0 : COMMIT_NOTHING;
}

static int ids_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Two sweeps, or a sweep and whoever lets go, ask for the same one: a batch that dropped it twice would take the references
 * of its blobs from others. */
static unsigned ids_once(uint64_t *id, unsigned n)
{
	unsigned kept = 0;

	qsort(id, n, sizeof *id, ids_cmp);
	for (unsigned i = 0; i < n; i++)
		if (i == 0 || id[i] != id[i - 1])
			id[kept++] = id[i];
	return kept;
}

static bool orphans_take(struct orphans_job *j)
{
	struct object_store *s = j->store;
	struct store_ids *l = &s->orphans;
	MUTEX_GUARD(&s->hold_lock);

	j->at = 0;
	j->most = ORPHANS_BATCH;
	j->n = (unsigned)MIN(l->n, (size_t)ORPHANS_BATCH);
	l->n -= j->n;
	if (j->n)
		memcpy(j->id, l->id + l->n, j->n * sizeof *j->id);
	j->n = ids_once(j->id, j->n);
	s->reaping = j->n > 0;
	return j->n > 0;
}

static void orphans_drop(struct orphans_job *j)
{
	while (j->at < j->n && !store_closing(j->store)) {
		commit_init(&j->commit, j->store, META_ORDERED, OP_SCANNER, orphans_attempt);
		int rc = commit_run(&j->commit);
		commit_fini(&j->commit);
		if (rc >= 0) {
			j->at = j->next;
		} else if (j->most > 1) {
			j->most = 1; /* one that cannot go keeps none of the others */
		} else {
			log_debug("object", "orphan left behind id=%016llx: %s", (unsigned long long)j->id[j->at], err_text(rc));
			j->at++;
		}
	}
}

static void orphans_run(struct work *w)
{
	struct orphans_job *j = CONTAINER_OF(w, struct orphans_job, work);

	for (;;) {
		clock_sleep_ns(ORPHANS_GATHER_NS);
		if (!orphans_take(j))
			break;
		orphans_drop(j);
	}
	job_end(j->store, j);
}

/* Without memory it is found again at the next start. */
void store_orphan_reap(struct object_store *s, uint64_t file)
{
	struct orphans_job *j = NULL;

	if (store_closing(s))
		return;
	mutex_lock(&s->hold_lock);
	if (store_ids_add(&s->orphans, file) == 0 && !s->reaping && (j = calloc(1, sizeof *j)) != NULL) {
		j->store = s;
		j->work.run = orphans_run;
		s->reaping = true;
	}
	mutex_unlock(&s->hold_lock);
	if (j)
		job_push(s, &j->work);
}

/* ---- Parts ------------------------------------------------------------------------------------------------------------- */
static int part_drop(struct object_commit *c, struct meta_view *v, struct meta_batch *b, const struct meta_row *row)
{
	struct row_object o;
	struct row_upart r;
	struct meta_key k;
	int rc = row_upart_decode(row->body, &r);

	if (rc < 0)
		return rc;
	key_str(&k, row->key);
	meta_batch_expect(b, TABLE_UPART, &k, row, true);
	meta_batch_del(b, TABLE_UPART, &k);
	upload_part_object(&r, &o);
	return content_drop(v, &c->arena, b, &o);
}

static int parts_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct reap_job *j = CONTAINER_OF(c, struct reap_job, commit);
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from;
	unsigned n = 0;
	int rc;

	key_u64(&from, j->id);
	rc = meta_iter_open(v, TABLE_UPART, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from.b, from.len, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		if (row.key.len != 10 || be64_get(row.key.p) != j->id)
			break;
		if (n == PARTS_BATCH)
			break;
		rc = part_drop(c, v, b, &row);
		if (rc < 0)
			break;
		n++;
	}
	meta_iter_close(it);
	j->more = n == PARTS_BATCH;
	if (rc < 0)
		return rc;
	return n > 0 ? 0 : COMMIT_NOTHING;
}

static void parts_run(struct work *w)
{
	struct reap_job *j = CONTAINER_OF(w, struct reap_job, work);

	job_commits(j, "parts", parts_attempt);
	job_end(j->store, j);
}

void store_parts_reap(struct object_store *s, uint64_t upload)
{
	if (!store_closing(s))
		job_start(s, parts_run, upload);
}

/* ---- At start ------------------------------------------------------------------------------------------------------------ */
/* The u64 at `at` of the keys of a table; skip: only the first row of each. */
static int ids_of(struct meta_view *v, enum meta_table t, size_t at, bool skip, struct store_ids *ret)
{
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_iter_open(v, t, &it);

	if (rc < 0)
		return rc;
	rc = meta_iter_seek(it, "", 0, &row);
	while (rc == 1 && row.key.len >= at + 8) {
		uint64_t id = be64_get(row.key.p + at);
		struct meta_key k;

		rc = store_ids_add(ret, id);
		if (rc < 0 || (skip && id == UINT64_MAX))
			break;
		key_u64(&k, id + 1);
		rc = skip ? meta_iter_seek(it, k.b, k.len, &row) : meta_iter_next(it, &row);
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

static int sweep(struct object_store *s)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct store_ids orphans = {0}, uploads = {0}, parts = {0};
	int rc = meta_view_open(s->set, &v);

	if (rc == 0)
		rc = ids_of(v, TABLE_ORPHAN, 0, false, &orphans);
	if (rc == 0)
		rc = ids_of(v, TABLE_UPLOAD, 16, false, &uploads);
	if (rc == 0)
		rc = ids_of(v, TABLE_UPART, 0, true, &parts);
	if (rc == 0) {
		if (uploads.n > 0)
			qsort(uploads.id, uploads.n, sizeof uploads.id[0], ids_cmp);
		for (size_t i = 0; i < orphans.n; i++)
			store_orphan_reap(s, orphans.id[i]);
		for (size_t i = 0; i < parts.n; i++) {
			if (uploads.n == 0 || !bsearch(&parts.id[i], uploads.id, uploads.n, sizeof uploads.id[0], ids_cmp))
				store_parts_reap(s, parts.id[i]);
		}
	}
	free(orphans.id);
	free(uploads.id);
	free(parts.id);
	return rc;
}

static void sweep_run(struct work *w)
{
	struct reap_job *j = CONTAINER_OF(w, struct reap_job, work);
	int rc = store_closing(j->store) ? 0 : sweep(j->store);

	if (rc < 0)
		log_debug("object", "sweep at start: %s", err_text(rc));
	job_end(j->store, j);
}

void store_sweep_start(struct object_store *s)
{
	if (meta_writable(s->set))
		job_start(s, sweep_run, 0);
}
