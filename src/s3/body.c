/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of a body: off the socket, through the aws-chunked decoder, into the core's put session (one copy) or into
 * memory; and what the head or the trailer says about it, which is checked before anything is committed.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "s3/request.h"

/* ---- What the head says ---------------------------------------------------------------------------------------------- */
static int read_md5(struct s3_request *r)
{
	struct str v;

	if (!s3_header(r, "Content-MD5", &v))
		return 0;
	if (base64_decode(v, r->content_md5, sizeof r->content_md5) != (int)sizeof r->content_md5)
		return -QE_INVALID_DIGEST;
	r->has_md5 = true;
	r->digests |= DIGEST_MD5;
	return 0;
}

static int read_checksum_headers(struct s3_request *r)
{
	for (unsigned i = 0; i < r->in->nheaders; i++) {
		enum s3_algo algo = s3_algo_by_header(r->in->headers[i].name);
		int rc;

		if (algo == S3_ALGO_NONE)
			continue;
		if (r->want.algo != S3_ALGO_NONE)
			return op_fail(r->ctx, -QE_INVALID_REQUEST,
			               "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
		rc = s3_checksum_parse(algo, str_trim(r->in->headers[i].value), &r->want);
		if (rc < 0 || (r->want.composite && r->op && r->op->body == S3_BODY_STREAM))
			return op_fail(r->ctx, -QE_INVALID_REQUEST, "Value for %s header is invalid.", s3_algos[algo].header);
	}
	return 0;
}

static int read_trailer_header(struct s3_request *r)
{
	struct str v;

	if (!s3_header(r, "x-amz-trailer", &v))
		return 0;
	r->trailer_algo = s3_algo_by_header(str_trim(v));
	if (r->trailer_algo == S3_ALGO_NONE)
		return op_fail(r->ctx, -QE_INVALID_REQUEST, "The value specified in the x-amz-trailer header is not supported");
	if (r->want.algo != S3_ALGO_NONE)
		return op_fail(r->ctx, -QE_INVALID_REQUEST,
		               "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
	return 0;
}

static int read_checksums(struct s3_request *r)
{
	enum s3_algo algo;
	struct str v;
	int rc = read_checksum_headers(r);

	if (rc == 0)
		rc = read_trailer_header(r);
	if (rc < 0)
		return rc;
	algo = r->want.algo != S3_ALGO_NONE ? r->want.algo : r->trailer_algo;
	if (s3_header(r, "x-amz-sdk-checksum-algorithm", &v)) {
		enum s3_algo named = s3_algo_by_name(v);
		if (named == S3_ALGO_NONE)
			return op_fail(r->ctx, -QE_INVALID_REQUEST, "Value for x-amz-sdk-checksum-algorithm header is invalid.");
		/* Older clients name the algorithm and send Content-MD5 instead. */
		if (algo != S3_ALGO_NONE && named != algo)
			return op_fail(r->ctx, -QE_INVALID_REQUEST, "Value for x-amz-sdk-checksum-algorithm header is invalid.");
	}
	if (algo != S3_ALGO_NONE)
		r->digests |= s3_algos[algo].digest;
	return 0;
}

static int init_chunked(struct s3_request *r)
{
	struct sigv4_chain *chain = NULL, signed_chain;
	struct str v;
	int rc;

	if (!s3_header(r, "x-amz-decoded-content-length", &v))
		return -QE_MISSING_LENGTH;
	if (str_to_u64(str_trim(v), &r->body_size) < 0)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "x-amz-decoded-content-length is not a number");
	if (r->payload != PAYLOAD_UNSIGNED_TRAILER) {
		rc = sigv4_chain_init(&signed_chain, &r->auth, &r->signing_key);
		if (rc < 0)
			return rc;
		chain = &signed_chain;
	}
	r->chunked = arena_alloc(s3_arena(r), sizeof *r->chunked);
	s3_chunked_init(r->chunked, chain, r->payload != PAYLOAD_CHUNKED);
	return 0;
}

int s3_body_init(struct s3_request *r)
{
	enum s3_body mode = r->op ? r->op->body : r->route ? S3_BODY_SMALL : S3_BODY_NONE;
	int rc;

	r->body_size = r->in->content_length;
	r->small_max = r->route ? r->route->body_max : S3_SMALL_MAX;
	if (mode == S3_BODY_NONE)
		return 0;
	if (mode == S3_BODY_STREAM && !r->in->has_length)
		return -QE_MISSING_LENGTH;
	if (r->payload == PAYLOAD_CHUNKED || r->payload == PAYLOAD_CHUNKED_TRAILER ||
	    r->payload == PAYLOAD_UNSIGNED_TRAILER) {
		rc = init_chunked(r);
		if (rc < 0)
			return rc;
	}
	if (mode == S3_BODY_SMALL && r->body_size != HTTP_SIZE_UNKNOWN && r->body_size > r->small_max)
		return -QE_BODY_TOO_LARGE;
	if (r->payload == PAYLOAD_SHA256)
		r->digests |= DIGEST_SHA256;
	rc = read_md5(r);
	return rc < 0 ? rc : read_checksums(r);
}

/* ---- The body -------------------------------------------------------------------------------------------------------- */
static void on_room(void *arg)
{
	struct s3_request *r = arg;

	http_resume(r->http);
}

static bool wants_data(const struct s3_request *r)
{
	return r->op && r->op->body == S3_BODY_STREAM;
}

/* Where decoded bytes may go: *ret_room bytes at the returned place. NULL: wait, or a negative *ret_room. */
static char *sink_room(struct s3_request *r, ssize_t *ret_room)
{
	char *p;

	if (r->body_size != HTTP_SIZE_UNKNOWN && r->body_got == r->body_size) {
		static char none[1];
		*ret_room = 0;
		return none;
	}
	if (wants_data(r))
		return object_put_room(r->put, ret_room, on_room, r);
	p = buf_reserve(&r->small, 16384);
	*ret_room = p ? 16384 : -ENOMEM;
	return p;
}

static int sink_filled(struct s3_request *r, size_t n)
{
	r->body_got += n;
	if (r->body_size != HTTP_SIZE_UNKNOWN && r->body_got > r->body_size)
		return -QE_INCOMPLETE_BODY;
	if (wants_data(r))
		return r->body_got > OBJECT_PUT_MAX ? -QE_ENTITY_TOO_LARGE : object_put_filled(r->put, n);
	buf_commit(&r->small, n);
	return r->small.len > r->small_max ? -QE_BODY_TOO_LARGE : 0;
}

/* Decodes into the room until it is full or the input is used up. Bytes used, or a negative error. */
static ssize_t feed_chunked(struct s3_request *r, const char *p, size_t len, char *room, size_t room_len)
{
	size_t used = 0, put = 0;

	while (used < len) {
		struct str data;
		ssize_t n = s3_chunked_feed(r->chunked, p + used, len - used, room_len - put, &data);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		if (data.len)
			memcpy(room + put, data.p, data.len);
		put += data.len;
		used += (size_t)n;
	}
	if (put) {
		int rc = sink_filled(r, put);
		if (rc < 0)
			return rc;
	}
	/* More data than was announced. */
	return used == 0 && room_len == 0 ? -QE_INCOMPLETE_BODY : (ssize_t)used;
}

static ssize_t feed_plain(struct s3_request *r, const char *p, size_t len, char *room, size_t room_len)
{
	int rc;

	if (len > room_len)
		len = room_len;
	if (len == 0)
		return -QE_INCOMPLETE_BODY;
	memcpy(room, p, len);
	rc = sink_filled(r, len);
	return rc < 0 ? rc : (ssize_t)len;
}

/* One call asks for room once: a second refusal would be a second wait. */
size_t s3_body_feed(struct s3_request *r, const char *p, size_t len)
{
	ssize_t room_len = 0, n;
	char *room;

	if (s3_fails(r, r->deferred))
		return 0;
	if (!r->route && r->op->body == S3_BODY_NONE) {
		r->body_got += len;
		return len;
	}
	room = sink_room(r, &room_len);
	if (!room && room_len == 0)
		return 0; /* on_room resumes */
	if (!room) {
		s3_error(r, (int)room_len);
		return 0;
	}
	n = r->chunked ? feed_chunked(r, p, len, room, (size_t)room_len) : feed_plain(r, p, len, room, (size_t)room_len);
	if (n < 0) {
		s3_error(r, (int)n);
		return 0;
	}
	return (size_t)n;
}

/* ---- The end --------------------------------------------------------------------------------------------------------- */
/* The trailer's checksum becomes the wanted one. */
static int take_trailer(struct s3_request *r)
{
	struct str v;
	int rc = s3_chunked_end(r->chunked);

	if (rc < 0)
		return rc;
	if (r->trailer_algo == S3_ALGO_NONE)
		return 0;
	if (!s3_chunked_trailer(r->chunked, str_of(s3_algos[r->trailer_algo].header), &v))
		return -QE_MALFORMED_TRAILER;
	rc = s3_checksum_parse(r->trailer_algo, v, &r->want);
	if (rc < 0)
		return op_fail(r->ctx, rc, "Value for %s trailing header is invalid.", s3_algos[r->trailer_algo].header);
	return 0;
}

int s3_body_check(struct s3_request *r, const struct object_digests *d)
{
	struct s3_checksum got;

	if (r->payload == PAYLOAD_SHA256 && !sigv4_equal(d->sha256, r->payload_sha256, sizeof d->sha256))
		return -QE_SHA256_MISMATCH;
	if (r->has_md5 && memcmp(d->md5, r->content_md5, sizeof d->md5) != 0)
		return -QE_BAD_DIGEST;
	if (r->want.algo == S3_ALGO_NONE)
		return 0;
	s3_checksum_of_digests(r->want.algo, d, &got);
	if (!s3_checksum_equal(&got, &r->want))
		return op_fail(r->ctx, -QE_BAD_DIGEST, "The %s you specified did not match the calculated checksum.",
		               s3_algos[r->want.algo].name);
	return 0;
}

/* Digests of a document, which is in memory. */
static int check_small(struct s3_request *r)
{
	struct object_digests d = {0};
	const void *p = r->small.len ? r->small.data : "";
	size_t len = r->small.len;
	bool ok = true;

	if (r->digests & DIGEST_SHA256)
		sigv4_sha256(p, len, d.sha256);
	if (r->digests & DIGEST_MD5)
		ok = EVP_Digest(p, len, d.md5, NULL, EVP_md5(), NULL) == 1;
	if (r->digests & DIGEST_SHA1)
		ok = ok && EVP_Digest(p, len, d.sha1, NULL, EVP_sha1(), NULL) == 1;
	if (r->digests & DIGEST_CRC32)
		d.crc32 = checksum_crc32(0, p, len);
	if (r->want.algo == S3_CRC32C)
		d.crc32c = checksum_crc32c(0, p, len);
	if (r->want.algo == S3_CRC64NVME)
		d.crc64nvme = checksum_crc64nvme(0, p, len);
	return ok ? s3_body_check(r, &d) : -QE_INTERNAL;
}

int s3_body_end(struct s3_request *r)
{
	int rc;

	if (!r->route && r->op->body == S3_BODY_NONE)
		return 0;
	if (r->chunked) {
		rc = take_trailer(r);
		if (rc < 0)
			return rc;
	}
	if (r->body_size != HTTP_SIZE_UNKNOWN && r->body_got != r->body_size)
		return -QE_INCOMPLETE_BODY;
	return wants_data(r) ? 0 : check_small(r);
}
