/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sigv2.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"

#define MAX_AMZ 64

/* Query parameters that are part of the resource, sorted. */
static const char *const resource_params[] = {
	"accelerate",
	"acl",
	"analytics",
	"cors",
	"delete",
	"encryption",
	"intelligent-tiering",
	"inventory",
	"legal-hold",
	"lifecycle",
	"location",
	"logging",
	"metrics",
	"notification",
	"object-lock",
	"ownershipControls",
	"partNumber",
	"policy",
	"policyStatus",
	"publicAccessBlock",
	"replication",
	"requestPayment",
	"response-cache-control",
	"response-content-disposition",
	"response-content-encoding",
	"response-content-language",
	"response-content-type",
	"response-expires",
	"restore",
	"retention",
	"select",
	"select-type",
	"tagging",
	"torrent",
	"uploadId",
	"uploads",
	"versionId",
	"versioning",
	"versions",
	"website",
};

static bool header(const struct sigv4_request *r, const char *name, struct str *ret)
{
	for (unsigned i = 0; i < r->nheaders; i++)
		if (str_eq_nocase(r->headers[i].name, str_of(name))) {
			*ret = str_trim(r->headers[i].value);
			return true;
		}
	*ret = STR_LIT("");
	return false;
}

bool sigv2_present(const struct sigv4_request *r)
{
	struct str v;

	if (header(r, "authorization", &v))
		return str_starts(v, STR_LIT("AWS "));
	return uri_param_get(r->query, r->nquery, "AWSAccessKeyId", NULL) &&
	       uri_param_get(r->query, r->nquery, "Signature", NULL);
}

static int parse_query(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv2_auth *ret)
{
	uint64_t s;

	ret->query = true;
	(void)uri_param_get(r->query, r->nquery, "AWSAccessKeyId", &ret->access_key);
	(void)uri_param_get(r->query, r->nquery, "Signature", &ret->signature);
	if (!uri_param_get(r->query, r->nquery, "Expires", &ret->date) || str_to_u64(ret->date, &s) < 0 ||
	    s > UINT64_MAX / NS_PER_S)
		return op_fail(ctx, -QE_ACCESS_DENIED, "Invalid date (should be seconds since epoch): Expires");
	ret->time_ns = s * NS_PER_S;
	return 0;
}

int sigv2_parse(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv2_auth *ret)
{
	struct str v, amz;
	ptrdiff_t colon;

	*ret = (struct sigv2_auth){0};
	if (!header(r, "authorization", &v))
		return parse_query(ctx, r, ret);
	v = str_trim(str_sub(v, 4, v.len - 4));
	colon = str_find(v, ':', 0);
	if (colon <= 0)
		return op_fail(ctx, -QE_INVALID_ARGUMENT,
		               "AWS authorization header is invalid. Expected AwsAccessKeyId:signature");
	ret->access_key = str_sub(v, 0, (size_t)colon);
	ret->signature = str_sub(v, (size_t)colon + 1, v.len - (size_t)colon - 1);
	(void)header(r, "date", &ret->date);
	if (header(r, "x-amz-date", &amz))
		ret->date = STR_LIT(""); /* signed among the x-amz- headers */
	else
		amz = ret->date;
	if (clock_parse_http(amz, &ret->time_ns) < 0 && clock_parse_iso(amz, &ret->time_ns) < 0)
		return op_fail(ctx, -QE_ACCESS_DENIED, "AWS authentication requires a valid Date or x-amz-date header");
	return 0;
}

/* ---- The string to sign ---------------------------------------------------------------------------------------------- */
static void add_lower(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_add_char(b, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i]);
}

static int by_name(const void *a, const void *b)
{
	const struct sigv4_header *x = *(const struct sigv4_header *const *)a, *y = *(const struct sigv4_header *const *)b;

	for (size_t i = 0; i < x->name.len && i < y->name.len; i++) {
		int c = (x->name.p[i] | 32) - (y->name.p[i] | 32);
		if (c)
			return c;
	}
	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	return x < y ? -1 : 1; /* in order of arrival */
}

static int add_amz_headers(struct buf *b, const struct sigv4_request *r)
{
	const struct sigv4_header *h[MAX_AMZ];
	unsigned n = 0;

	for (unsigned i = 0; i < r->nheaders; i++) {
		struct str name = r->headers[i].name;
		if (name.len < 7 || !str_eq_nocase(str_sub(name, 0, 6), STR_LIT("x-amz-")))
			continue;
		if (n == MAX_AMZ)
			return -QE_SIGNATURE;
		h[n++] = &r->headers[i];
	}
	if (n > 1)
		qsort(h, n, sizeof *h, by_name);
	for (unsigned i = 0; i < n; i++) {
		if (i && str_eq_nocase(h[i]->name, h[i - 1]->name)) {
			b->len--; /* the line goes on */
			buf_add_char(b, ',');
		} else {
			add_lower(b, h[i]->name);
			buf_add_char(b, ':');
		}
		buf_add_str(b, str_trim(h[i]->value));
		buf_add_char(b, '\n');
	}
	return 0;
}

static void add_resource(struct buf *b, const struct sigv4_request *r, struct str bucket)
{
	char sep = '?';

	if (bucket.len) {
		buf_add_char(b, '/');
		buf_add_str(b, bucket);
	}
	buf_add_str(b, r->path);
	for (size_t i = 0; i < ARRAY_SIZE(resource_params); i++) {
		struct str v;
		if (!uri_param_get(r->query, r->nquery, resource_params[i], &v))
			continue;
		buf_add_char(b, sep);
		buf_add_c(b, resource_params[i]);
		if (v.len) {
			buf_add_char(b, '=');
			buf_add_str(b, v);
		}
		sep = '&';
	}
}

int sigv2_sign(const struct sigv4_request *r, struct str date, struct str bucket, struct str secret, char *ret)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = sizeof mac;
	struct str v;
	int rc;

	buf_add_str(&b, r->method);
	buf_add_char(&b, '\n');
	(void)header(r, "content-md5", &v);
	buf_add_str(&b, v);
	buf_add_char(&b, '\n');
	(void)header(r, "content-type", &v);
	buf_add_str(&b, v);
	buf_add_char(&b, '\n');
	buf_add_str(&b, date);
	buf_add_char(&b, '\n');
	rc = add_amz_headers(&b, r);
	if (rc < 0)
		return rc;
	add_resource(&b, r, bucket);
	if (buf_err(&b) || !HMAC(EVP_sha1(), secret.p, (int)secret.len, (unsigned char *)b.data, b.len, mac, &len))
		return -ENOMEM;
	base64_encode(mac, 20, ret);
	return 0;
}

int sigv2_verify(const struct sigv4_request *r, const struct sigv2_auth *a, struct str bucket, struct str secret,
                 uint64_t now_ns)
{
	char want[SIGV2_BASE64 + 1];
	int rc;

	if (a->query ? now_ns > a->time_ns : a->time_ns > now_ns + SIGV4_SKEW_NS || now_ns > a->time_ns + SIGV4_SKEW_NS)
		return a->query ? -QE_EXPIRED : -QE_TIME_SKEWED;
	rc = sigv2_sign(r, a->date, bucket, secret, want);
	if (rc < 0)
		return rc;
	return a->signature.len == SIGV2_BASE64 && sigv4_equal(want, a->signature.p, SIGV2_BASE64) ? 0 : -QE_SIGNATURE;
}
