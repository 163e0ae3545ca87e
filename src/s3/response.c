/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers. What reveals state that is not durable yet waits here, at one place, for object_wait.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "object/notify.h"
#include "s3/request.h"
#include "s3/xml_write.h"

static void common_headers(struct s3_request *r)
{
	struct s3_server *s = r->srv;
	char id[17];

	snprintf(id, sizeof id, "%016llX", (unsigned long long)r->ctx->request_id);
	http_reply_header(r->http, "x-amz-request-id", str_of(id));
	http_reply_header(r->http, "x-amz-id-2", str_of(s->host_id));
	http_reply_header(r->http, "Server", str_of(s->server_name));
	http_reply_header(r->http, "x-minio-deployment-id", str_of(s->deployment));
	if (s->region[0])
		http_reply_header(r->http, "X-Amz-Bucket-Region", str_of(s->region));
	http_reply_header(r->http, "Accept-Ranges", STR_LIT("bytes"));
}

static void send_answer(struct s3_request *r)
{
	void *data = r->data;

	common_headers(r);
	r->answered = true;
	r->data = NULL;
	switch (r->out) {
	case S3_OUT_EMPTY:
		http_reply_empty(r->http, r->status);
		break;
	case S3_OUT_HEAD:
		http_reply_head(r->http, r->status, r->size);
		break;
	case S3_OUT_BUFFER:
		http_reply_buffer(r->http, r->status, data, r->len, r->free_fn);
		break;
	case S3_OUT_READER:
		http_reply_reader(r->http, r->status, r->size, r->reader);
		break;
	}
}

static void render_error(struct s3_request *r, int rc);

static void on_waited(struct object_waiter *w, int rc)
{
	struct s3_request *r = CONTAINER_OF(w, struct s3_request, waiter);

	/* An error tells as much: that there is no such key, for one. */
	if (rc < 0) {
		if (r->free_fn)
			r->free_fn(r->data);
		r->free_fn = NULL;
		http_reply_clear(r->http);
		render_error(r, rc);
	}
	send_answer(r);
}

static void finish(struct s3_request *r)
{
	r->waiter.done = on_waited;
	if (object_wait(r->srv->store, r->seq, &r->waiter))
		send_answer(r);
}

/* ---- Headers --------------------------------------------------------------------------------------------------------- */
void s3_reply_header(struct s3_request *r, const char *name, struct str value)
{
	http_reply_header(r->http, name, value);
}

void s3_reply_etag(struct s3_request *r, struct str etag)
{
	char text[128];
	int n = snprintf(text, sizeof text, "\"%.*s\"", (int)MIN(etag.len, 100), etag.p);

	http_reply_header(r->http, "ETag", (struct str){text, (size_t)n});
}

void s3_reply_http_time(struct s3_request *r, const char *name, uint64_t wall_ns)
{
	char text[CLOCK_HTTP_LEN + 1];

	clock_format_http(wall_ns, text);
	http_reply_header(r->http, name, (struct str){text, CLOCK_HTTP_LEN});
}

void s3_reply_checksum(struct s3_request *r, const struct s3_checksum *c)
{
	if (c->algo == S3_ALGO_NONE || !c->has_value)
		return;
	http_reply_header(r->http, s3_algos[c->algo].header, s3_checksum_text(s3_arena(r), c));
	http_reply_header(r->http, "x-amz-checksum-type", c->composite ? STR_LIT("COMPOSITE") : STR_LIT("FULL_OBJECT"));
}

/* ---- The calls that end a request ------------------------------------------------------------------------------------ */
void s3_reply(struct s3_request *r, unsigned status)
{
	r->status = status;
	r->out = S3_OUT_EMPTY;
	finish(r);
}

void s3_reply_head(struct s3_request *r, unsigned status, uint64_t size)
{
	r->status = status;
	r->out = S3_OUT_HEAD;
	r->size = size;
	finish(r);
}

void s3_reply_buffer(struct s3_request *r, unsigned status, void *p, size_t len, void (*free_fn)(void *))
{
	r->status = status;
	r->out = S3_OUT_BUFFER;
	r->data = p;
	r->len = len;
	r->free_fn = free_fn;
	finish(r);
}

void s3_reply_reader(struct s3_request *r, unsigned status, uint64_t size, http_reader_fn reader)
{
	r->status = status;
	r->out = S3_OUT_READER;
	r->size = size;
	r->reader = reader;
	finish(r);
}

void s3_reply_xml(struct s3_request *r, unsigned status, struct buf *xml)
{
	size_t len;
	char *p = buf_take(xml, &len);

	if (!p) {
		buf_free(xml);
		s3_error(r, -ENOMEM);
		return;
	}
	s3_reply_header(r, "Content-Type", STR_LIT("application/xml"));
	s3_reply_buffer(r, status, p, len, free);
}

/* ---- Errors ---------------------------------------------------------------------------------------------------------- */
static void error_document(struct s3_request *r, struct buf *b, const struct err_info *e, struct str message)
{
	char id[17];

	snprintf(id, sizeof id, "%016llX", (unsigned long long)r->ctx->request_id);
	buf_add_c(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
	xml_put_c(b, "Code", e->s3_code);
	xml_put(b, "Message", message);
	if (r->key.len)
		xml_put(b, "Key", r->key);
	if (r->bucket.len)
		xml_put(b, "BucketName", r->bucket);
	if (e->code == QE_AUTH_MALFORMED && r->srv->region[0])
		xml_put_c(b, "Region", r->srv->region);
	xml_put(b, "Resource", r->in->path);
	xml_put_c(b, "RequestId", id);
	xml_put_c(b, "HostId", r->srv->host_id);
	xml_close(b, "Error");
}

static void render_error(struct s3_request *r, int rc)
{
	const struct err_info *e = err_lookup(rc);
	struct buf b = BUF_INIT;
	struct str message = str_of(e->text);
	size_t len;

	r->status = (unsigned)e->http_status;
	r->out = S3_OUT_EMPTY;
	/* The cause is the client's own only when the request was wrong. */
	if (e->cls == ERR_CLIENT && r->ctx->detail[0])
		message = str_of(r->ctx->detail);
	if (e->cls == ERR_CORRUPT || e->cls == ERR_INTERNAL)
		log_warn("s3", "%s %.*s/%.*s failed: %s %s req=%016llX", r->op ? r->op->name : "-", STR_FMT(r->bucket),
		         STR_FMT(r->key), err_text(rc), r->ctx->detail, (unsigned long long)r->ctx->request_id);
	if (e->cls == ERR_RETRY)
		s3_reply_header(r, "Retry-After", STR_LIT("1"));
	if (r->head || e->http_status == 304)
		return;
	error_document(r, &b, e, message);
	r->data = buf_take(&b, &len);
	if (!r->data) {
		buf_free(&b);
		return;
	}
	r->len = len;
	r->free_fn = free;
	r->out = S3_OUT_BUFFER;
	s3_reply_header(r, "Content-Type", STR_LIT("application/xml"));
}

/* What the answer reveals is durable and the mounts know it. */
static bool is_settled(const struct s3_request *r)
{
	return meta_seq_durable(object_store_set(r->srv->store), r->seq) && notify_done_seq(r->srv->store) >= r->seq;
}

void s3_error(struct s3_request *r, int rc)
{
	if (r->beginning && r->seq && !is_settled(r)) {
		r->deferred = rc;
		return;
	}
	render_error(r, rc);
	finish(r);
}

void s3_errorf(struct s3_request *r, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->ctx->detail, sizeof r->ctx->detail, fmt, ap);
	va_end(ap);
	s3_error(r, rc);
}
