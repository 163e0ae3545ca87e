/* SPDX-License-Identifier: Apache-2.0
 *
 * One S3 request, and what the handlers use: parameters, headers, answers. (The story is in s3.h.)
 *
 * Threads: begin, body and end run on the loop's thread. From the moment a handler has started a core call with a done
 * callback until that callback, nobody else touches the request; the callback may run on any thread and answers.
 */
#ifndef QUOIN_S3_REQUEST_H
#define QUOIN_S3_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/op_ctx.h"
#include "crypto/sigv4.h"
#include "object/object.h"
#include "s3/checksum.h"
#include "s3/chunked.h"
#include "s3/ops.h"
#include "s3/s3.h"

#define S3_HEADER_BYTES 8192
#define S3_USER_META 2048
#define S3_SMALL_MAX (2u << 20) /* a document: DeleteObjects with 1000 long keys, 10000 parts */
#define S3_PAGE 1000
#define S3_QUERY_MAX 128

struct s3_server {
	struct s3_params p;
	char *address, *access_key, *secret_key, *region, *domain, *server_name;
	struct http_server *http;
	struct object_store *store;
	char deployment[37], host_id[65];
	struct s3_loop *loops; /* per event loop */
};

struct s3_loop {
	struct sigv4_cache keys;
	bool attached;
};

enum s3_payload {
	PAYLOAD_NONE,
	PAYLOAD_SHA256,
	PAYLOAD_UNSIGNED,
	PAYLOAD_CHUNKED,
	PAYLOAD_CHUNKED_TRAILER,
	PAYLOAD_UNSIGNED_TRAILER
};

enum s3_out { S3_OUT_EMPTY, S3_OUT_HEAD, S3_OUT_BUFFER, S3_OUT_READER };

struct s3_request {
	struct s3_server *srv;
	struct http_request *http;
	const struct http_info *in;
	struct op_ctx *ctx;
	const struct s3_op *op;
	const struct http_route *route;
	struct str bucket, key; /* decoded; "" when there is none */
	struct str host_bucket; /* virtual-host style */
	struct uri_param *query;
	unsigned nquery;
	struct sigv4_auth auth;
	struct sigv4_key signing_key;
	enum s3_payload payload;
	uint8_t payload_sha256[32];
	bool head; /* no body in the answer */

	/* Body (body.c) */
	struct s3_chunked *chunked;   /* aws-chunked */
	uint64_t body_size, body_got; /* of the decoded body; HTTP_SIZE_UNKNOWN */
	struct buf small;
	size_t small_max;
	struct object_put *put;
	struct s3_checksum want;   /* x-amz-checksum-*: verified at the end */
	enum s3_algo trailer_algo; /* announced by x-amz-trailer */
	uint8_t content_md5[16];
	bool has_md5;
	unsigned digests; /* enum object_digest that the checks need */

	/* Answer */
	uint64_t seq; /* what it reveals: object_wait */
	struct object_waiter waiter;
	bool answered;
	bool beginning;                   /* inside begin: an answer cannot wait there ... */
	int deferred;                     /* ... so an error that must is given when the body or its end comes */
	enum s3_out out;
	unsigned status;
	void *data;
	size_t len;
	void (*free_fn)(void *);
	uint64_t size;
	http_reader_fn reader;

	void *state; /* the handler's, in the arena */
	void (*cleanup)(struct s3_request *r);
};

/* ---- Parameters and headers (params.c) ------------------------------------------------------------------------------- */
static inline struct arena *s3_arena(struct s3_request *r)
{
	return &r->ctx->arena;
}
bool s3_query(const struct s3_request *r, const char *name, struct str *ret);
struct str s3_query_or(const struct s3_request *r, const char *name, const char *otherwise);
bool s3_header(const struct s3_request *r, const char *name, struct str *ret);
/* 0 and *ret (otherwise when absent); -QE_INVALID_ARGUMENT. */
int s3_query_uint(struct s3_request *r, const char *name, unsigned otherwise, unsigned max, unsigned *ret) WARN_UNUSED;
/* versionId: "" or "null"; other ids cannot exist here. */
int s3_version_id(struct s3_request *r, struct str *ret) WARN_UNUSED;
/* uploadId and partNumber of the query. */
int s3_upload_id(struct s3_request *r, uint64_t *ret) WARN_UNUSED;
int s3_parse_upload(struct str text, uint64_t *ret) WARN_UNUSED;
struct str s3_upload_text(struct s3_request *r, uint64_t id);
int s3_part_number(struct s3_request *r, unsigned *ret) WARN_UNUSED;
/* Content-Type, Cache-Control, x-amz-meta-*, ... as a kv list in the arena. */
int s3_meta(struct s3_request *r, struct str *ret) WARN_UNUSED;
/* x-amz-tagging as a kv list. */
int s3_tags_header(struct s3_request *r, struct str *ret) WARN_UNUSED;
int s3_tag_ok(struct s3_request *r, struct str key, struct str value) WARN_UNUSED;
unsigned s3_kv_count(struct str kv);
int s3_storage_class(struct s3_request *r, struct str *ret) WARN_UNUSED;
/* prefix: "" for If-Match.., "x-amz-copy-source-" for the copy's. */
int s3_conditions(struct s3_request *r, const char *prefix, struct object_cond *ret) WARN_UNUSED;
/* Headers that ask for what is not there: encryption, object lock, grants. */
int s3_refuse_unsupported(struct s3_request *r) WARN_UNUSED;

enum s3_range_kind { S3_RANGE_NONE, S3_RANGE_OK, S3_RANGE_UNSATISFIABLE };
/* A Range header against a size: unparsable and multiple ranges are none. */
enum s3_range_kind s3_range_parse(struct str v, uint64_t size, uint64_t *ret_off, uint64_t *ret_len);

/* ---- Body (body.c) --------------------------------------------------------------------------------------------------- */
/* Reads what the head says about the body: length, Content-MD5, checksums, aws-chunked. After auth. */
int s3_body_init(struct s3_request *r) WARN_UNUSED;
size_t s3_body_feed(struct s3_request *r, const char *p, size_t len);
/* The body is complete: its length, the chunk framing and, for documents, all digests. 0 or a negative error. */
int s3_body_end(struct s3_request *r) WARN_UNUSED;
/* The digests of the put session against the head and the trailer. */
int s3_body_check(struct s3_request *r, const struct object_digests *d) WARN_UNUSED;

/* ---- Authorization (auth.c) and routing (router.c) ------------------------------------------------------------------- */
int s3_auth(struct s3_request *r) WARN_UNUSED;
bool s3_is_signed(const struct s3_request *r);
/* Bucket, key, op or route; -QE_METHOD_NOT_ALLOWED, -QE_NOT_IMPLEMENTED, ... */
int s3_route(struct s3_request *r) WARN_UNUSED;
/* The best row for these, NULL: none. */
const struct s3_op *s3_op_find(struct str method, enum s3_scope scope, const struct uri_param *q, unsigned nq,
                               const struct http_header *h, unsigned nh);
bool s3_health(struct s3_request *r); /* answers a probe; false: it is none */

/* ---- Answers (response.c) -------------------------------------------------------------------------------------------- */
static inline void s3_reveals(struct s3_request *r, uint64_t seq)
{
	r->seq = meta_seq_both(object_store_set(r->srv->store), r->seq, seq);
}
void s3_reply_header(struct s3_request *r, const char *name, struct str value);
void s3_reply_etag(struct s3_request *r, struct str etag);
void s3_reply_http_time(struct s3_request *r, const char *name, uint64_t wall_ns);
void s3_reply_checksum(struct s3_request *r, const struct s3_checksum *c);
/* One of these ends the request. */
void s3_reply(struct s3_request *r, unsigned status);
void s3_reply_head(struct s3_request *r, unsigned status, uint64_t size);
void s3_reply_buffer(struct s3_request *r, unsigned status, void *p, size_t len, void (*free_fn)(void *));
void s3_reply_reader(struct s3_request *r, unsigned status, uint64_t size, http_reader_fn reader);
void s3_reply_xml(struct s3_request *r, unsigned status, struct buf *xml); /* takes the buffer */
void s3_error(struct s3_request *r, int rc);
void s3_errorf(struct s3_request *r, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* if (s3_fails(r, call)) return; */
static inline bool s3_fails(struct s3_request *r, int rc)
{
	if (rc >= 0)
		return false;
	s3_error(r, rc);
	return true;
}

#endif
