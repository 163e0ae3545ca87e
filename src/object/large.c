/* SPDX-License-Identifier: Apache-2.0
 *
 * Large bodies.
 *
 * State of a buffer: free (NULL) -> current (being received into) -> queued -> in the writer -> free again when its cell
 * writes have ended. The body lives until its owner has freed it, its job is idle and all buffers are free.
 */
#include "object/large.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "object/body.h"
#include "object/store_internal.h"

struct large_buf {
	struct list node; /* of queue */
	struct large *body;
	void *p; /* NULL: free */
	uint32_t len;
};

/* What goes on when there is room again; it is called once for each time that it was told to wait. */
struct large_resume {
	void (*fn)(void *arg);
	void *arg;
};

struct large {
	struct object_store *store;
	uint64_t size; /* announced, or UINT64_MAX */
	uint64_t received;
	uint64_t blob_max; /* bytes of one blob: whole stripes */
	uint32_t stripe;
	struct large_buf *cur; /* only the receiving side */

	struct mutex lock; /* LOCK_QUEUE: what follows */
	struct list queue; /* of struct large_buf, in order */
	struct large_buf buf[LARGE_BUFFERS];
	unsigned out;  /* buffers that are not free */
	unsigned refs; /* owner, job, buffers in the writer, a wait in the pool */
	bool running, ended, aborted;
	struct large_resume for_own;  /* waits for one of buf */
	struct large_resume for_pool; /* waits for memory */
	struct body_wait wait;
	int rc; /* first error */

	/* Only the job: */
	struct work job;
	struct digest_ctx *digest;
	struct digest_values values;
	struct erasure_writer *writer;
	uint64_t blob_len, done_len;
	uint32_t crc32c;
	uint64_t crc64;
	struct large_blob *blobs;
	unsigned nblobs, cap_blobs;
	void (*done)(void *arg, int rc);
	void *done_arg;
};

static void job_run(struct work *w);
static void pool_ready(struct body_wait *w);
static void large_destroy(struct large *l);

struct large *large_new(struct object_store *s, uint64_t size, unsigned digests)
{
	struct large *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->store = s;
	l->size = size;
	l->stripe = body_size(s->bodies);
	l->blob_max = ERASURE_BLOB_MAX / l->stripe * l->stripe;
	mutex_init(&l->lock, LOCK_QUEUE);
	list_init(&l->queue);
	l->refs = 1;
	l->job.run = job_run;
	l->wait.fn = pool_ready;
	for (unsigned i = 0; i < LARGE_BUFFERS; i++)
		l->buf[i].body = l;
	l->digest = digest_new();
	if (!l->digest) {
		large_destroy(l);
		return NULL;
	}
	digest_init(l->digest, digests);
	return l;
}

static void large_destroy(struct large *l)
{
	ASSERT(!l->writer);
	for (unsigned i = 0; i < l->nblobs; i++)
		erasure_blob_free(&l->blobs[i].eb);
	free(l->blobs);
	digest_free(l->digest);
	mutex_destroy(&l->lock);
	free(l);
}

static void unref(struct large *l)
{
	bool last;

	mutex_lock(&l->lock);
	last = --l->refs == 0;
	mutex_unlock(&l->lock);
	if (last)
		large_destroy(l);
}

/* The receiving side may go on if it waits for this. */
static void wake(struct large *l, struct large_resume *r)
{
	struct large_resume now;

	mutex_lock(&l->lock);
	now = *r;
	r->fn = NULL;
	mutex_unlock(&l->lock);
	if (now.fn)
		now.fn(now.arg);
}

static void pool_ready(struct body_wait *w)
{
	struct large *l = CONTAINER_OF(w, struct large, wait);

	wake(l, &l->for_pool);
	unref(l);
}

/* ---- Receiving -------------------------------------------------------------------------------------------------------- */
static struct large_buf *buf_free_locked(struct large *l)
{
	for (unsigned i = 0; i < LARGE_BUFFERS; i++) {
		if (!l->buf[i].p)
			return &l->buf[i];
	}
	return NULL;
}

/* A buffer becomes current: 1; 0 later (resume is noted); < 0. */
static int take_buffer(struct large *l, struct large_resume later)
{
	struct large_buf *b;
	int rc;

	if (body_unwait(l->store->bodies, &l->wait))
		unref(l);
	mutex_lock(&l->lock);
	rc = l->rc;
	b = rc == 0 ? buf_free_locked(l) : NULL;
	/* Only what it will wait for may resume it: another buffer may come back at any moment from here on. */
	if (b) {
		l->for_pool = later;
		l->refs++; /* for pool_ready */
	} else if (rc == 0) {
		l->for_own = later;
	}
	mutex_unlock(&l->lock);
	if (rc < 0 || !b)
		return rc;
	b->p = body_get(l->store->bodies, &l->wait);
	if (!b->p)
		return 0; /* pool_ready gives the reference back */
	mutex_lock(&l->lock);
	l->refs--;
	l->for_pool.fn = NULL;
	l->out++;
	b->len = 0;
	l->cur = b;
	mutex_unlock(&l->lock);
	return 1;
}

void *large_room(struct large *l, ssize_t *ret_len, void (*resume)(void *arg), void *arg)
{
	uint64_t left = l->size - l->received;

	if (left == 0) {
		*ret_len = -QE_INVALID_REQUEST;
		return NULL;
	}
	if (!l->cur) {
		int rc = take_buffer(l, (struct large_resume){resume, arg});

		if (rc <= 0) {
			*ret_len = rc;
			return NULL;
		}
	}
	*ret_len = (ssize_t)MIN((uint64_t)(l->stripe - l->cur->len), left);
	return (uint8_t *)l->cur->p + l->cur->len;
}

static void queue_current(struct large *l, bool ended)
{
	bool start;

	mutex_lock(&l->lock);
	if (l->cur)
		list_add_tail(&l->queue, &l->cur->node);
	l->cur = NULL;
	l->ended |= ended;
	start = !l->running;
	if (start) {
		l->running = true;
		l->refs++;
	}
	mutex_unlock(&l->lock);
	if (start)
		workq_push(l->store->workers, &l->job);
}

int large_filled(struct large *l, size_t len)
{
	int rc;

	ASSERT(l->cur && len <= l->stripe - l->cur->len);
	l->cur->len += (uint32_t)len;
	l->received += len;
	if (l->cur->len == l->stripe)
		queue_current(l, false);
	mutex_lock(&l->lock);
	rc = l->rc;
	mutex_unlock(&l->lock);
	return rc;
}

void large_end(struct large *l, void (*done)(void *arg, int rc), void *arg)
{
	l->done = done;
	l->done_arg = arg;
	queue_current(l, true);
}

/* ---- The job: one buffer after the other ------------------------------------------------------------------------------ */
static void buf_release(void *arg)
{
	struct large_buf *b = arg;
	struct large *l = b->body;

	body_put(l->store->bodies, b->p);
	mutex_lock(&l->lock);
	b->p = NULL;
	l->out--;
	mutex_unlock(&l->lock);
	wake(l, &l->for_own);
	unref(l);
}

static struct large_blob *blob_push(struct large *l)
{
	if (l->nblobs == l->cap_blobs) {
		unsigned cap = l->cap_blobs ? l->cap_blobs * 2 : 4;
		struct large_blob *b = realloc(l->blobs, cap * sizeof *b);

		if (!b)
			return NULL;
		l->blobs = b;
		l->cap_blobs = cap;
	}
	memset(&l->blobs[l->nblobs], 0, sizeof l->blobs[0]);
	return &l->blobs[l->nblobs++];
}

static int blob_finish(struct large *l)
{
	struct erasure_writer *w = l->writer;
	struct large_blob *b;
	struct erasure_blob eb;
	int rc;

	if (!w)
		return 0;
	l->writer = NULL;
	rc = erasure_writer_finish(w, &eb);
	if (rc < 0)
		return rc;
	b = blob_push(l);
	if (!b) {
		erasure_blob_free(&eb);
		return -ENOMEM;
	}
	b->id = meta_new_id(l->store->set);
	b->eb = eb;
	b->extent = (struct row_extent){
		.kind = EXTENT_BLOB,
		.crc32c = l->crc32c,
		.blob = b->id,
		.len = l->blob_len,
		.off = l->done_len - l->blob_len,
		.crc64nvme = l->crc64,
	};
	l->blob_len = 0;
	l->crc32c = 0;
	l->crc64 = 0;
	return 0;
}

static int writer_ready(struct large *l)
{
	uint64_t rest = l->size == UINT64_MAX ? l->blob_max : l->size - l->done_len;

	CLEANUP_ERASURE struct erasure_set *e = l->writer ? NULL : meta_erasure_hold(l->store->set);

	if (l->writer)
		return 0;
	return erasure_writer_open(e, MIN(rest, l->blob_max), &l->writer);
}

/* buf is released in any case. */
static int buf_store(struct large *l, struct large_buf *b)
{
	uint32_t len = b->len;
	int rc;

	mutex_lock(&l->lock);
	rc = l->aborted ? -ECANCELED : l->rc;
	l->refs++; /* for buf_release */
	mutex_unlock(&l->lock);
	if (rc == 0)
		rc = writer_ready(l);
	if (rc < 0) {
		buf_release(b);
		return rc;
	}
	digest_update(l->digest, b->p, len);
	l->crc32c = checksum_crc32c(l->crc32c, b->p, len);
	l->crc64 = checksum_crc64nvme(l->crc64, b->p, len);
	rc = erasure_writer_push(l->writer, b->p, len, buf_release, b);
	if (rc < 0)
		return rc;
	l->blob_len += len;
	l->done_len += len;
	return l->blob_len == l->blob_max ? blob_finish(l) : 0;
}

static void job_fail(struct large *l, int rc)
{
	mutex_lock(&l->lock);
	if (l->rc == 0)
		l->rc = rc;
	mutex_unlock(&l->lock);
}

static void abort_writer(struct large *l)
{
	if (l->writer)
		erasure_writer_abort(l->writer);
	l->writer = NULL;
}

/* All is stored or failed. */
static void job_end(struct large *l)
{
	int rc;

	mutex_lock(&l->lock);
	rc = l->rc;
	mutex_unlock(&l->lock);
	if (rc == 0)
		rc = blob_finish(l);
	if (rc == 0)
		digest_final(l->digest, &l->values);
	else
		job_fail(l, rc);
	/* No job comes after this one. */
	abort_writer(l);
	l->done(l->done_arg, rc);
}

static void job_run(struct work *w)
{
	struct large *l = CONTAINER_OF(w, struct large, job);
	bool end = false, aborted = false;

	for (;;) {
		struct list *n;
		int rc;

		mutex_lock(&l->lock);
		n = list_pop(&l->queue);
		if (!n) {
			aborted = l->aborted;
			end = l->ended && !aborted && l->done;
			l->running = end || aborted; /* then nothing may start it again */
			mutex_unlock(&l->lock);
			break;
		}
		mutex_unlock(&l->lock);
		rc = buf_store(l, LIST_ENTRY(n, struct large_buf, node));
		if (rc < 0)
			job_fail(l, rc);
	}
	if (end)
		job_end(l);
	if (aborted)
		abort_writer(l);
	unref(l);
}

void large_free(struct large *l)
{
	struct large_buf *cur;
	bool start;

	if (!l)
		return;
	mutex_lock(&l->lock);
	/* An open writer is given up by the job: it may have to wait for cells. */
	start = !l->running;
	l->running = true;
	if (start)
		l->refs++;
	l->aborted = true;
	l->for_own.fn = l->for_pool.fn = NULL;
	cur = l->cur;
	l->cur = NULL;
	mutex_unlock(&l->lock);
	if (l->store && body_unwait(l->store->bodies, &l->wait))
		unref(l);
	if (cur) {
		body_put(l->store->bodies, cur->p);
		cur->p = NULL;
	}
	if (start)
		workq_push(l->store->workers, &l->job);
	unref(l);
}

const struct digest_values *large_digests(const struct large *l)
{
	return &l->values;
}

struct large_blob *large_blobs(struct large *l, unsigned *ret_n)
{
	*ret_n = l->nblobs;
	return l->blobs;
}

/* The batch takes what it is given, and may be rejected and built again: it gets a copy. */
int large_put_blobs(const struct large *l, struct meta_batch *b)
{
	for (unsigned i = 0; i < l->nblobs; i++) {
		struct erasure_blob eb;
		int rc = erasure_blob_copy(&l->blobs[i].eb, &eb);

		if (rc < 0)
			return rc;
		meta_batch_blob_large(b, l->blobs[i].id, &eb, 1);
	}
	return 0;
}
