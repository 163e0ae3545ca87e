/* SPDX-License-Identifier: Apache-2.0
 *
 * What is removed in the background: orphans that nobody holds, parts of uploads that are gone. Jobs run one after the
 * other on the store's background thread and may block on commits; a failure leaves the rest for the next start.
 */
#include "base/log.h"
#include "object/store_internal.h"
#include "object/upload.h"

#define PARTS_BATCH 128

struct reap_job {
	struct work work;
	struct object_store *store;
	struct object_commit commit;
	uint64_t id;
	bool more;
};

static void job_start(struct object_store *s, void (*run)(struct work *), uint64_t id)
{
	struct reap_job *j = calloc(1, sizeof *j);

	if (!j)
		return; /* found again at the next start */
	j->store = s;
	j->id = id;
	j->work.run = run;
	workq_push(s->background, &j->work);
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
static int orphan_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct reap_job *j = CONTAINER_OF(c, struct reap_job, commit);
	struct meta_row orphan, row;
	struct row_file f;
	struct meta_key k;
	int rc;

	key_u64(&k, j->id);
	rc = meta_get_k(v, TABLE_ORPHAN, &k, &orphan);
	if (rc <= 0)
		return rc < 0 ? rc : COMMIT_NOTHING;
	if (store_drop_begin(c, j->id))
		return COMMIT_NOTHING; /* held again: whoever lets go comes back */
	rc = meta_get_k(v, TABLE_FILE, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	rc = row_file_decode(row.body, &f);
	if (rc < 0)
		return rc;
	meta_batch_expect(b, TABLE_ORPHAN, &k, &orphan, true);
	meta_batch_expect(b, TABLE_FILE, &k, &row, true);
	rc = content_drop_some(v, &c->arena, b, &f.obj, &j->more);
	if (rc < 0 || j->more)
		return rc;
	meta_batch_del(b, TABLE_FILE, &k);
	meta_batch_del(b, TABLE_ORPHAN, &k);
	return 0;
}

static void orphan_run(struct work *w)
{
	struct reap_job *j = CONTAINER_OF(w, struct reap_job, work);

	job_commits(j, "orphan", orphan_attempt);
	free(j);
}

void store_orphan_reap(struct object_store *s, uint64_t file)
{
	if (!store_closing(s))
		job_start(s, orphan_run, file);
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
	free(j);
}

void store_parts_reap(struct object_store *s, uint64_t upload)
{
	if (!store_closing(s))
		job_start(s, parts_run, upload);
}

/* ---- At start ------------------------------------------------------------------------------------------------------------ */
struct ids {
	uint64_t *id;
	size_t n, cap;
};

static int ids_add(struct ids *l, uint64_t id)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		uint64_t *more = realloc(l->id, cap * sizeof *more);

		if (!more)
			return -ENOMEM;
		l->id = more;
		l->cap = cap;
	}
	l->id[l->n++] = id;
	return 0;
}

static int ids_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The u64 at `at` of the keys of a table; skip: only the first row of each. */
static int ids_of(struct meta_view *v, enum meta_table t, size_t at, bool skip, struct ids *ret)
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

		rc = ids_add(ret, id);
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
	struct ids orphans = {0}, uploads = {0}, parts = {0};
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
	free(j);
}

void store_sweep_start(struct object_store *s)
{
	if (meta_writable(s->set))
		job_start(s, sweep_run, 0);
}
