/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks: one root credential, SigV4 in the header or in the query, or version 2. Nothing is answered without a signature but health
 * probes. How the body is covered (payload) follows from x-amz-content-sha256.
 */
#include "base/clock.h"
#include "base/codec.h"
#include "crypto/sigv2.h"
#include "s3/request.h"

struct payload_name {
	const char *text;
	enum s3_payload payload;
};

static const struct payload_name payload_names[] = {
	{"UNSIGNED-PAYLOAD", PAYLOAD_UNSIGNED},
	{"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", PAYLOAD_CHUNKED},
	{"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", PAYLOAD_CHUNKED_TRAILER},
	{"STREAMING-UNSIGNED-PAYLOAD-TRAILER", PAYLOAD_UNSIGNED_TRAILER},
};

static int read_payload(struct s3_request *r, struct str *ret_text)
{
	struct str v;

	/* In a presigned request the header counts when it is signed. */
	bool counts = r->auth.form == SIGV4_HEADER || sigv4_is_signed(&r->auth, STR_LIT("x-amz-content-sha256"));

	if (!(counts && s3_header(r, "x-amz-content-sha256", &v)) &&
	    !(r->auth.form == SIGV4_QUERY && s3_query(r, "X-Amz-Content-Sha256", &v))) {
		/* curl before 8 signs a bodyless request without telling: no header stands for the empty body, so that
		 * anything else fails at its checksum or signature. */
		v = r->auth.form == SIGV4_HEADER ? STR_LIT(SIGV4_EMPTY_SHA256) : STR_LIT("UNSIGNED-PAYLOAD");
	}
	*ret_text = v;
	for (size_t i = 0; i < ARRAY_SIZE(payload_names); i++)
		if (str_eqc(v, payload_names[i].text)) {
			r->payload = payload_names[i].payload;
			return 0;
		}
	if (hex_decode(v, r->payload_sha256, sizeof r->payload_sha256) != (int)sizeof r->payload_sha256)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT,
		               "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
		               "STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.");
	r->payload = PAYLOAD_SHA256;
	return 0;
}

/* Bucket and object calls compare regions; the service level and other fronts accept any (their clients sign with none). */
static int check_scope(struct s3_request *r)
{
	struct str want = str_of(r->srv->region);

	if (!str_eqc(r->auth.service, "s3"))
		return op_fail(r->ctx, -QE_AUTH_MALFORMED,
		               "The authorization header is malformed; incorrect service \"%.*s\". "
		               "This endpoint belongs to \"s3\".",
		               (int)MIN(r->auth.service.len, 20), r->auth.service.p);
	if (want.len == 0 || !r->op || r->op->scope == S3_SERVICE || str_eq(r->auth.region, want))
		return 0;
	/* Clients look a bucket's region up with the default one. */
	if (str_eqc(r->auth.region, "us-east-1") && str_eqc(str_of(r->op->name), "GetBucketLocation"))
		return 0;
	return op_fail(r->ctx, r->auth.form == SIGV4_QUERY ? -QE_AUTH_QUERY : -QE_AUTH_MALFORMED,
	               "The authorization header is malformed; the region '%.*s' is wrong; expecting '%.*s'",
	               (int)MIN(r->auth.region.len, 32), r->auth.region.p, STR_FMT(want));
}

bool s3_is_signed(const struct s3_request *r)
{
	return s3_header(r, "Authorization", NULL) || s3_query(r, "X-Amz-Signature", NULL) ||
	       s3_query(r, "Signature", NULL) || s3_query(r, "X-Amz-Credential", NULL);
}

/* Version 2 says nothing of the body. */
static int auth_v2(struct s3_request *r, const struct sigv4_request *q)
{
	struct s3_server *s = r->srv;
	struct str key = str_of(s->access_key);
	struct sigv2_auth a;
	int rc = sigv2_parse(r->ctx, q, &a);

	if (rc < 0)
		return rc;
	if (a.access_key.len != key.len || !sigv4_equal(a.access_key.p, key.p, key.len))
		return -QE_INVALID_ACCESS_KEY;
	r->payload = PAYLOAD_UNSIGNED;
	return sigv2_verify(q, &a, r->host_bucket, str_of(s->secret_key), clock_wall_ns());
}

int s3_auth(struct s3_request *r)
{
	struct s3_server *s = r->srv;
	struct sigv4_request q = {.method = r->in->method,
	                          .path = r->in->path,
	                          .query = r->query,
	                          .nquery = r->nquery,
	                          .headers = (const struct sigv4_header *)r->in->headers,
	                          .nheaders = r->in->nheaders};
	struct str payload, key = str_of(s->access_key);
	int rc;

	_Static_assert(sizeof(struct sigv4_header) == sizeof(struct http_header), "the same two strings");
	if (!r->route && sigv2_present(&q))
		return auth_v2(r, &q);
	rc = sigv4_parse(r->ctx, &q, &r->auth);
	if (rc < 0)
		return rc;
	if (r->auth.form == SIGV4_NONE)
		return -QE_ACCESS_DENIED;
	if (r->auth.access_key.len != key.len || !sigv4_equal(r->auth.access_key.p, key.p, key.len))
		return -QE_INVALID_ACCESS_KEY;
	rc = check_scope(r);
	if (rc < 0)
		return rc;
	rc = read_payload(r, &payload);
	if (rc < 0)
		return rc;
	return sigv4_verify(r->ctx, &q, &r->auth, str_of(s->secret_key), payload, clock_wall_ns(),
	                    &s->loops[http_loop_index(http_request_loop(r->http))].keys, &r->signing_key);
}
