/* SPDX-License-Identifier: Apache-2.0
 *
 * PutObject, and the way that every body takes: begin -> room and filled (body.c) -> end, when the digests are known ->
 * checks -> commit -> the answer. Parts of an upload (op_multipart.c) go the same way.
 */
#include "s3/op_put.h"

#include <errno.h>

#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"

int s3_put_open(struct s3_request *r, struct object_put_args *a)
{
	/* The size that counts is the decoded one. */
	a->size = r->body_size;
	a->bucket = r->bucket;
	a->key = r->key;
	a->digests = r->digests;
	if (a->size != HTTP_SIZE_UNKNOWN && a->size > OBJECT_PUT_MAX)
		return -QE_ENTITY_TOO_LARGE;
	return object_put_begin(r->srv->store, r->ctx, a, &r->put);
}

struct put {
	struct s3_request *r;
	struct s3_checksum keep;
	struct object_info info;
	s3_put_done_fn *done;
};

static void on_committed(void *arg, int rc)
{
	struct put *p = arg;

	if (!s3_fails(p->r, rc))
		p->done(p->r, &p->info, &p->keep);
}

static void commit(struct put *p)
{
	struct s3_request *r = p->r;
	const struct object_digests *d = object_put_digests(r->put);
	int rc = s3_body_check(r, d);

	if (s3_fails(r, rc))
		return;
	if (p->keep.algo != S3_ALGO_NONE)
		s3_checksum_of_digests(p->keep.algo, d, &p->keep);
	rc = object_put_commit(r->put, r->ctx, (struct str){0}, s3_checksum_store(s3_arena(r), &p->keep), &p->info,
	                       on_committed, p);
	s3_fails(r, rc);
}

static void on_ended(void *arg, int rc)
{
	struct put *p = arg;

	if (!s3_fails(p->r, rc))
		commit(p);
}

void s3_put_finish(struct s3_request *r, enum s3_algo keep, s3_put_done_fn *done)
{
	struct put *p = arena_zalloc(s3_arena(r), sizeof *p);

	p->r = r;
	p->keep.algo = keep != S3_ALGO_NONE ? keep : r->want.algo;
	p->done = done;
	s3_fails(r, object_put_end(r->put, on_ended, p));
}

void s3_put_object_begin(struct s3_request *r)
{
	struct object_put_args a = {0};
	int rc = s3_refuse_unsupported(r);

	if (rc == 0)
		rc = s3_meta(r, &a.meta);
	if (rc == 0)
		rc = s3_tags_header(r, &a.tags);
	if (rc == 0)
		rc = s3_storage_class(r, &a.storage_class);
	if (rc == 0)
		rc = s3_conditions(r, "", &a.cond);
	if (rc == 0)
		rc = s3_put_open(r, &a);
	s3_fails(r, rc);
}

static void put_done(struct s3_request *r, const struct object_info *info, const struct s3_checksum *sum)
{
	s3_reply_etag(r, info->etag);
	s3_reply_checksum(r, sum);
	s3_reply(r, 200);
}

void s3_put_object(struct s3_request *r)
{
	s3_put_finish(r, S3_ALGO_NONE, put_done);
}
