/* SPDX-License-Identifier: Apache-2.0
 *
 * GetObject, HeadObject, GetObjectAttributes.
 *
 * Bytes that can be had without blocking are read on the loop's thread, small objects whole, large ones block by block
 * straight into the buffer that is sent. From the first block that would block on, a worker reads ahead: two buffers, one
 * being sent while the other is filled. The first bytes are at hand before the head of the answer goes out, so that an
 * object that cannot be read is an error, not a cut connection.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/thread.h"
#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_write.h"

/* Read and sent in one piece. The buffer that libmicrohttpd makes for the rest is zeroed for each answer, whose pages the
 * allocator gets from the kernel each time: that costs as much as to send a MiB. */
#define WHOLE_MAX (1u << 20)
#define AHEAD (1u << 20) /* read by a worker at a time */

/* Who reads at present: a worker's job passes it from RUNNING to DONE; the request waits for it in WAITED, and has left
 * in ABANDONED, when the worker frees everything. */
enum job { JOB_IDLE, JOB_RUNNING, JOB_WAITED, JOB_DONE, JOB_ABANDONED };

struct block {
	char *p;
	uint64_t off; /* in the object */
	size_t len;   /* 0: empty */
};

struct get {
	struct s3_request *r;
	struct object_handle *h;
	uint64_t off, len; /* of the object: what is sent */
	bool blocking;     /* a worker reads ahead */
	_Atomic int job;
	struct work work;
	struct block want; /* the job's */
	int rc;
	struct block have; /* being sent */
	char *spare;
	void (*ready)(struct get *g); /* after the job, on its thread; NULL: the reader looks */
};

static void get_free(struct get *g)
{
	object_close(g->h);
	free(g->want.p);
	free(g->have.p);
	free(g->spare);
	free(g);
}

static void on_cleanup(struct s3_request *r)
{
	struct get *g = r->state;
	int running = JOB_RUNNING;

	r->state = NULL;
	if (g && !atomic_compare_exchange_strong(&g->job, &running, JOB_ABANDONED))
		get_free(g);
}

/* ---- Reading --------------------------------------------------------------------------------------------------------- */
static void job_run(struct work *w)
{
	struct get *g = CONTAINER_OF(w, struct get, work);
	void (*ready)(struct get *) = g->ready;
	int was;

	g->rc = object_read(g->h, g->want.off, g->want.len, g->want.p, 0);
	was = atomic_exchange(&g->job, JOB_DONE);
	if (was == JOB_ABANDONED)
		get_free(g);
	else if (ready)
		ready(g);
	else if (was == JOB_WAITED)
		http_resume(g->r->http);
}

/* Starts reading ahead at an offset of the object. */
static int job_start(struct get *g, uint64_t off)
{
	if (!g->spare)
		g->spare = aligned_alloc(4096, AHEAD);
	if (!g->spare)
		return -ENOMEM;
	g->want = (struct block){g->spare, off, (size_t)MIN(AHEAD, g->off + g->len - off)};
	g->spare = NULL;
	g->work.run = job_run;
	atomic_store(&g->job, JOB_RUNNING);
	workq_push(object_store_workers(g->r->srv->store), &g->work);
	return 0;
}

/* The job's block becomes the one that is sent. */
static int job_take(struct get *g)
{
	if (g->have.p)
		g->spare = g->have.p;
	g->have = g->want;
	g->want.p = NULL;
	atomic_store(&g->job, JOB_IDLE);
	return g->rc;
}

/* Up to n bytes at off out of the block; starts reading the next one. */
static ssize_t serve(struct get *g, uint64_t off, void *p, size_t n)
{
	size_t at = (size_t)(off - g->have.off);
	uint64_t next = g->have.off + g->have.len;

	n = MIN(n, g->have.len - at);
	memcpy(p, g->have.p + at, n);
	if (g->blocking && atomic_load(&g->job) == JOB_IDLE && next < g->off + g->len)
		(void)job_start(g, next); /* no memory now: when it is needed */
	return (ssize_t)n;
}

static bool holds(const struct get *g, uint64_t off)
{
	return g->have.p && off >= g->have.off && off < g->have.off + g->have.len;
}

static ssize_t read_at(struct get *g, uint64_t off, void *p, size_t n)
{
	int running = JOB_RUNNING, rc;

	off += g->off;
	if (holds(g, off))
		return serve(g, off, p, n);
	n = (size_t)MIN(n, g->off + g->len - off);
	if (!g->blocking) {
		rc = object_read(g->h, off, n, p, DRIVE_NOWAIT);
		if (rc != -EAGAIN)
			return rc < 0 ? rc : (ssize_t)n;
		g->blocking = true;
	}
	if (atomic_load(&g->job) == JOB_IDLE) {
		rc = job_start(g, off);
		if (rc < 0)
			return rc;
	}
	if (atomic_compare_exchange_strong(&g->job, &running, JOB_WAITED))
		return -EAGAIN;
	rc = job_take(g);
	if (rc < 0 || !holds(g, off))
		return rc < 0 ? rc : -EIO;
	return serve(g, off, p, n);
}

/* The head is out: all that is left for an error is to cut the connection, and to say why. */
static ssize_t on_read(struct http_request *h, uint64_t off, void *p, size_t n)
{
	struct s3_request *r = http_request_user(h);
	ssize_t got = read_at(r->state, off, p, n);

	if (got < 0 && got != -EAGAIN)
		log_warn("s3", "GetObject %.*s/%.*s cut at %llu: %s req=%016llX", STR_FMT(r->bucket), STR_FMT(r->key),
		         (unsigned long long)off, err_text((int)got), (unsigned long long)r->ctx->request_id);
	return got;
}

/* ---- The answer ------------------------------------------------------------------------------------------------------ */
static void *take_block(struct get *g)
{
	void *p = g->have.p;

	g->have.p = NULL;
	return p;
}

/* The first block is there. */
static void send_object(struct get *g, unsigned status)
{
	struct s3_request *r = g->r;

	if (g->len <= WHOLE_MAX)
		s3_reply_buffer(r, status, take_block(g), (size_t)g->len, free);
	else
		s3_reply_reader(r, status, g->len, on_read);
}

static void first_block_done(struct get *g)
{
	g->ready = NULL;
	if (s3_fails(g->r, job_take(g)))
		return;
	send_object(g, g->r->status);
}

static void read_first(struct get *g, unsigned status)
{
	size_t n = (size_t)MIN(g->len, WHOLE_MAX);
	char *p = g->len <= WHOLE_MAX ? malloc(n) : aligned_alloc(4096, AHEAD); /* a worker may fill it next */
	int rc = p ? object_read(g->h, g->off, n, p, DRIVE_NOWAIT) : -ENOMEM;

	if (rc >= 0) {
		g->have = (struct block){p, g->off, n};
		send_object(g, status);
		return;
	}
	free(p);
	if (rc == -EAGAIN) {
		g->blocking = true;
		g->ready = first_block_done;
		g->r->status = status;
		rc = job_start(g, g->off);
	}
	s3_fails(g->r, rc);
}

/* ---- What is asked for ----------------------------------------------------------------------------------------------- */
/* partNumber: the sizes of the parts are kept in order. */
static int find_part(struct s3_request *r, const struct object_info *info, struct get *g)
{
	size_t n = info->parts.len / 8;
	unsigned part;
	int rc = s3_part_number(r, &part);

	if (rc < 0)
		return rc;
	if (s3_header(r, "Range", NULL))
		return op_fail(r->ctx, -QE_INVALID_REQUEST, "Cannot specify both Range header and partNumber query parameter");
	if (part > MAX(n, 1))
		return -QE_INVALID_PART_NUMBER;
	g->off = 0;
	g->len = info->size;
	if (n == 0)
		return 0;
	for (unsigned i = 0; i + 1 < part; i++)
		g->off += le64_get(info->parts.p + 8 * (size_t)i);
	g->len = le64_get(info->parts.p + 8 * ((size_t)part - 1));
	if (g->off > info->size || g->len > info->size - g->off)
		return -QE_CORRUPT;
	http_reply_headerf(r->http, "x-amz-mp-parts-count", "%zu", n);
	return 0;
}

/* If-Range: the range counts only for the object that the client has a part of. */
static bool range_holds(struct s3_request *r, const struct object_info *info)
{
	struct object_cond c = {0};
	struct str v;

	if (!s3_header(r, "If-Range", &v) || v.len == 0 || v.p[0] != '"')
		return true;
	c.if_match = v;
	return object_cond_check(&c, info, false) == 0;
}

/* 200 or 206 with g->off and g->len, or an error. */
static int find_range(struct s3_request *r, const struct object_info *info, struct get *g)
{
	struct str v;
	int rc;

	g->off = 0;
	g->len = info->size;
	if (s3_query(r, "partNumber", NULL)) {
		rc = find_part(r, info, g);
		if (rc < 0 || info->size == 0)
			return rc < 0 ? rc : 200;
	} else if (s3_header(r, "Range", &v) && range_holds(r, info)) {
		switch (s3_range_parse(v, info->size, &g->off, &g->len)) {
		case S3_RANGE_NONE:
			return 200;
		case S3_RANGE_UNSATISFIABLE:
			http_reply_headerf(r->http, "Content-Range", "bytes */%llu", (unsigned long long)info->size);
			return -QE_INVALID_RANGE;
		case S3_RANGE_OK:
			break;
		}
	} else {
		return 200;
	}
	http_reply_headerf(r->http, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)g->off,
	                   (unsigned long long)(g->off + g->len - 1), (unsigned long long)info->size);
	return 206;
}

static int open_object(struct s3_request *r, struct get **ret)
{
	struct str version;
	struct get *g;
	uint64_t seq = 0;
	int rc = s3_version_id(r, &version);

	if (rc < 0)
		return rc;
	g = calloc(1, sizeof *g);
	if (!g)
		return -ENOMEM;
	g->r = r;
	r->state = g;
	r->cleanup = on_cleanup;
	rc = object_open(r->srv->store, r->ctx, r->bucket, r->key, version, &g->h, &seq);
	s3_reveals(r, seq);
	*ret = g;
	return rc;
}

static void reply_found(struct s3_request *r, const struct object_info *info, int status)
{
	struct s3_checksum sum;
	struct str mode;

	s3_reply_object(r, info);
	if (status == 200 && s3_header(r, "x-amz-checksum-mode", &mode) && str_eq_nocase(mode, STR_LIT("ENABLED")) &&
	    s3_checksum_of_info(info, &sum))
		s3_reply_checksum(r, &sum);
}

static void get_or_head(struct s3_request *r)
{
	const struct object_info *info;
	struct object_cond cond;
	struct get *g = NULL;
	int rc = open_object(r, &g), status;

	if (rc == 0)
		rc = s3_conditions(r, "", &cond);
	if (s3_fails(r, rc))
		return;
	info = object_handle_info(g->h);
	rc = object_cond_check(&cond, info, false);
	if (rc == -QE_NOT_MODIFIED) {
		s3_reply_etag(r, info->etag);
		s3_reply_http_time(r, "Last-Modified", info->mtime_ns);
	}
	if (s3_fails(r, rc))
		return;
	status = find_range(r, info, g);
	if (s3_fails(r, status))
		return;
	reply_found(r, info, status);
	if (r->head)
		s3_reply_head(r, (unsigned)status, g->len);
	else if (g->len == 0)
		s3_reply(r, (unsigned)status);
	else
		read_first(g, (unsigned)status);
}

void s3_head_object(struct s3_request *r)
{
	get_or_head(r);
}

void s3_get_object(struct s3_request *r)
{
	get_or_head(r);
}

/* ---- GetObjectAttributes --------------------------------------------------------------------------------------------- */
static bool asks_for(struct str list, const char *name)
{
	struct str one;

	while (list.len && str_split(&list, ',', &one))
		if (str_eqc(str_trim(one), name))
			return true;
	return false;
}

static void put_parts(struct buf *b, const struct object_info *info)
{
	size_t n = info->parts.len / 8;

	if (n == 0)
		return;
	xml_open(b, "ObjectParts");
	xml_put_u64(b, "PartsCount", n);
	xml_put_u64(b, "PartNumberMarker", 0);
	xml_put_u64(b, "NextPartNumberMarker", n);
	xml_put_u64(b, "MaxParts", S3_PAGE);
	xml_put_bool(b, "IsTruncated", false);
	xml_close(b, "ObjectParts");
}

void s3_get_attributes(struct s3_request *r)
{
	const struct object_info *info;
	struct s3_checksum sum;
	struct buf b = BUF_INIT;
	struct get *g = NULL;
	struct str list;

	if (!s3_header(r, "x-amz-object-attributes", &list)) {
		s3_errorf(r, -QE_INVALID_REQUEST, "The x-amz-object-attributes header is missing");
		return;
	}
	if (s3_fails(r, open_object(r, &g)))
		return;
	info = object_handle_info(g->h);
	s3_reply_http_time(r, "Last-Modified", info->mtime_ns);
	xml_begin(&b, "GetObjectAttributesResponse");
	if (asks_for(list, "ETag"))
		xml_put(&b, "ETag", info->etag);
	if (asks_for(list, "Checksum") && s3_checksum_of_info(info, &sum)) {
		xml_open(&b, "Checksum");
		s3_put_checksum(&b, r, &sum, true);
		xml_close(&b, "Checksum");
	}
	if (asks_for(list, "ObjectParts"))
		put_parts(&b, info);
	if (asks_for(list, "StorageClass"))
		xml_put(&b, "StorageClass", s3_class_name(info->storage_class));
	if (asks_for(list, "ObjectSize"))
		xml_put_u64(&b, "ObjectSize", info->size);
	xml_close(&b, "GetObjectAttributesResponse");
	s3_reply_xml(r, 200, &b);
}
