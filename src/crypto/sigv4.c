/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical requests, parsing and verifying. The hashes are in sigv4_hash.c.
 */
#include "crypto/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_PARAMS 256
#define MAX_HEADERS 128

/* ---- The canonical request ------------------------------------------------------------------------------------------- */
/* Decodes and encodes again: clients may leave characters bare that the signature has encoded. */
static void add_path(struct buf *b, struct str path)
{
	CLEANUP_BUF struct buf plain = BUF_INIT;

	if (path.len && !memchr(path.p, '%', path.len)) {
		percent_encode(b, path, true);
	} else if (percent_decode(&plain, path, false) < 0) {
		buf_add_str(b, path);
	} else {
		percent_encode(b, plain.len ? buf_str(&plain) : STR_LIT("/"), true);
	}
}

struct encoded {
	size_t name, name_len, value, value_len; /* in one buffer */
};

static int compare_encoded(const void *a, const void *b, void *arg)
{
	const struct encoded *x = a, *y = b;
	const char *base = arg;
	int c = str_cmp((struct str){base + x->name, x->name_len}, (struct str){base + y->name, y->name_len});

	return c ? c : str_cmp((struct str){base + x->value, x->value_len}, (struct str){base + y->value, y->value_len});
}

static void add_query(struct buf *b, const struct sigv4_request *r, const struct sigv4_auth *a)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct encoded e[MAX_PARAMS];
	unsigned n = 0;

	for (unsigned i = 0; i < r->nquery && n < MAX_PARAMS; i++) {
		if (a->form == SIGV4_QUERY && str_eqc(r->query[i].name, "X-Amz-Signature"))
			continue;
		e[n].name = text.len;
		percent_encode(&text, r->query[i].name, false);
		e[n].name_len = text.len - e[n].name;
		e[n].value = text.len;
		percent_encode(&text, r->query[i].value, false);
		e[n].value_len = text.len - e[n].value;
		n++;
	}
	if (buf_err(&text) || r->nquery > MAX_PARAMS) {
		b->err = -ENOMEM;
		return;
	}
	if (n > 1)
		qsort_r(e, n, sizeof *e, compare_encoded, text.data);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			buf_add_char(b, '&');
		buf_add(b, text.data + e[i].name, e[i].name_len);
		buf_add_char(b, '=');
		buf_add(b, text.data + e[i].value, e[i].value_len);
	}
}

/* Blanks trimmed at both ends, runs of blanks inside become one. */
static void add_header_value(struct buf *b, struct str v)
{
	bool blank = false;

	v = str_trim(v);
	for (size_t i = 0; i < v.len; i++) {
		bool is_blank = v.p[i] == ' ' || v.p[i] == '\t' || v.p[i] == '\r' || v.p[i] == '\n';
		if (!is_blank)
			buf_add_char(b, v.p[i]);
		else if (!blank)
			buf_add_char(b, ' ');
		blank = is_blank;
	}
}

static bool has_header(const struct sigv4_request *r, struct str name, struct str *ret)
{
	for (unsigned i = 0; i < r->nheaders; i++)
		if (str_eq_nocase(r->headers[i].name, name)) {
			if (ret)
				*ret = r->headers[i].value;
			return true;
		}
	return false;
}

static void add_headers(struct buf *b, const struct sigv4_request *r, const struct sigv4_auth *a)
{
	struct str rest = a->signed_headers, name;

	while (rest.len && str_split(&rest, ';', &name)) {
		bool first = true;
		for (size_t i = 0; i < name.len; i++) {
			char c = name.p[i];
			buf_add_char(b, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
		}
		buf_add_char(b, ':');
		for (unsigned i = 0; i < r->nheaders; i++) {
			if (!str_eq_nocase(r->headers[i].name, name))
				continue;
			if (!first)
				buf_add_char(b, ',');
			add_header_value(b, r->headers[i].value);
			first = false;
		}
		buf_add_char(b, '\n');
	}
}

void sigv4_canonical(struct buf *b, const struct sigv4_request *r, const struct sigv4_auth *a, struct str payload)
{
	buf_add_str(b, r->method);
	buf_add_char(b, '\n');
	add_path(b, r->path);
	buf_add_char(b, '\n');
	add_query(b, r, a);
	buf_add_char(b, '\n');
	add_headers(b, r, a);
	buf_add_char(b, '\n');
	buf_add_str(b, a->signed_headers);
	buf_add_char(b, '\n');
	buf_add_str(b, payload);
}

static void add_scope(struct buf *b, const struct sigv4_auth *a)
{
	buf_add_str(b, a->date);
	buf_add_char(b, '/');
	buf_add_str(b, a->region);
	buf_add_char(b, '/');
	buf_add_str(b, a->service);
	buf_add_c(b, "/aws4_request");
}

void sigv4_string_to_sign(struct buf *b, const struct sigv4_auth *a, struct str canonical)
{
	uint8_t sha[32];
	char hex[SIGV4_HEX + 1];

	sigv4_sha256(canonical.p, canonical.len, sha);
	hex_encode(sha, sizeof sha, hex);
	buf_add_c(b, ALGORITHM "\n");
	buf_add_str(b, a->amz_date);
	buf_add_char(b, '\n');
	add_scope(b, a);
	buf_add_char(b, '\n');
	buf_add(b, hex, SIGV4_HEX);
}

/* ---- Parsing --------------------------------------------------------------------------------------------------------- */
static bool is_date(struct str s)
{
	if (s.len != 8)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

/* ACCESS/DATE/REGION/SERVICE/aws4_request from the right: access keys may contain slashes, the region may be empty. */
static bool split_credential(struct str c, struct sigv4_auth *ret)
{
	struct str part[4];

	for (int i = 3; i >= 0; i--) {
		size_t at = c.len;
		while (at > 0 && c.p[at - 1] != '/')
			at--;
		if (at == 0)
			return false;
		part[i] = str_sub(c, at, c.len - at);
		c.len = at - 1;
	}
	ret->access_key = c;
	ret->date = part[0];
	ret->region = part[1];
	ret->service = part[2];
	return c.len && is_date(ret->date) && ret->service.len && str_eqc(part[3], "aws4_request");
}

static int parse_authorization(struct op_ctx *ctx, struct str v, struct sigv4_auth *ret)
{
	struct str rest, piece;
	bool have = true;

	if (str_starts(v, STR_LIT("AWS ")))
		return op_fail(ctx, -QE_INVALID_REQUEST,
		               "The authorization mechanism you have provided is not supported. Please use " ALGORITHM ".");
	if (!str_starts(v, STR_LIT(ALGORITHM " ")) && !str_starts(v, STR_LIT(ALGORITHM "\t")))
		return op_fail(ctx, -QE_INVALID_ARGUMENT, "Unsupported Authorization Type");
	rest = str_sub(v, sizeof ALGORITHM, v.len - sizeof ALGORITHM);
	while (str_split(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (str_starts(piece, STR_LIT("Credential="))) {
			if (!split_credential(str_sub(piece, 11, piece.len - 11), ret))
				return op_fail(ctx, -QE_AUTH_MALFORMED,
				               "The authorization header is malformed; the Credential is mal-formed; "
				               "expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
		} else if (str_starts(piece, STR_LIT("SignedHeaders="))) {
			ret->signed_headers = str_sub(piece, 14, piece.len - 14);
		} else if (str_starts(piece, STR_LIT("Signature="))) {
			ret->signature = str_sub(piece, 10, piece.len - 10);
		}
	}
	have = ret->access_key.len && ret->signed_headers.len && ret->signature.len;
	if (!have)
		return op_fail(ctx, -QE_AUTH_MALFORMED,
		               "The authorization header is malformed; it needs Credential, SignedHeaders "
		               "and Signature.");
	return 0;
}

/* X-Amz-Date, or Date in any of its forms (then amz_date is made of it). */
static int parse_header_date(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv4_auth *ret)
{
	struct str v;
	char *text;

	if (has_header(r, STR_LIT("x-amz-date"), &v)) {
		v = str_trim(v);
		if (v.len != 16 || clock_parse_iso(v, &ret->time_ns) < 0)
			return op_fail(ctx, -QE_ACCESS_DENIED, "AWS authentication requires a valid Date or x-amz-date header");
		ret->amz_date = v;
		return 0;
	}
	if (!has_header(r, STR_LIT("date"), &v) ||
	    (clock_parse_http(str_trim(v), &ret->time_ns) < 0 && clock_parse_iso(str_trim(v), &ret->time_ns) < 0))
		return op_fail(ctx, -QE_ACCESS_DENIED, "AWS authentication requires a valid Date or x-amz-date header");
	text = arena_alloc(&ctx->arena, CLOCK_ISO_LEN + 1);
	clock_format_iso(ret->time_ns, text); /* 2026-01-02T03:04:05.678Z */
	ret->amz_date = str_of(
		arena_printf(&ctx->arena, "%.4s%.2s%.5s%.2s%.2sZ", text, text + 5, text + 8, text + 14, text + 17));
	return 0;
}

static int parse_query_auth(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv4_auth *ret)
{
	struct str algorithm, credential, expires;

	if (!uri_param_get(r->query, r->nquery, "X-Amz-Algorithm", &algorithm) ||
	    !uri_param_get(r->query, r->nquery, "X-Amz-Credential", &credential) ||
	    !uri_param_get(r->query, r->nquery, "X-Amz-Signature", &ret->signature) ||
	    !uri_param_get(r->query, r->nquery, "X-Amz-Date", &ret->amz_date) ||
	    !uri_param_get(r->query, r->nquery, "X-Amz-SignedHeaders", &ret->signed_headers) ||
	    !uri_param_get(r->query, r->nquery, "X-Amz-Expires", &expires))
		return op_fail(
			ctx, -QE_AUTH_QUERY,
			"Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
			"X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.");
	if (!str_eqc(algorithm, ALGORITHM))
		return op_fail(ctx, -QE_AUTH_QUERY, "X-Amz-Algorithm only supports \"" ALGORITHM "\"");
	if (!split_credential(credential, ret))
		return op_fail(ctx, -QE_AUTH_QUERY,
		               "Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "
		               "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
	if (ret->amz_date.len != 16 || clock_parse_iso(ret->amz_date, &ret->time_ns) < 0)
		return op_fail(ctx, -QE_AUTH_QUERY, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
	if (str_to_u64(expires, &ret->expires_s) < 0)
		return op_fail(ctx, -QE_AUTH_QUERY, "X-Amz-Expires should be a number");
	if (ret->expires_s > SIGV4_EXPIRES_MAX)
		return op_fail(ctx, -QE_AUTH_QUERY, "X-Amz-Expires must be less than a week (in seconds) that is 604800");
	return 0;
}

int sigv4_parse(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv4_auth *ret)
{
	struct str v;
	int rc;

	*ret = (struct sigv4_auth){0};
	if (has_header(r, STR_LIT("authorization"), &v)) {
		ret->form = SIGV4_HEADER;
		rc = parse_authorization(ctx, str_trim(v), ret);
		if (rc < 0)
			return rc;
		return parse_header_date(ctx, r, ret);
	}
	for (unsigned i = 0; i < r->nquery; i++)
		if (str_eqc(r->query[i].name, "X-Amz-Algorithm") || str_eqc(r->query[i].name, "X-Amz-Credential") ||
		    str_eqc(r->query[i].name, "X-Amz-Signature")) {
			ret->form = SIGV4_QUERY;
			return parse_query_auth(ctx, r, ret);
		}
	if (uri_param_get(r->query, r->nquery, "AWSAccessKeyId", NULL) &&
	    uri_param_get(r->query, r->nquery, "Signature", NULL))
		return op_fail(ctx, -QE_INVALID_REQUEST,
		               "The authorization mechanism you have provided is not supported. Please use " ALGORITHM ".");
	return 0;
}

/* ---- Verifying ------------------------------------------------------------------------------------------------------- */
bool sigv4_is_signed(const struct sigv4_auth *a, struct str name)
{
	struct str list = a->signed_headers, one;

	while (list.len && str_split(&list, ';', &one))
		if (str_eq_nocase(one, name))
			return true;
	return false;
}

static int check_times(struct op_ctx *ctx, const struct sigv4_auth *a, uint64_t now_ns)
{
	bool early = a->time_ns > now_ns + SIGV4_SKEW_NS;

	if (!str_eq(a->date, str_sub(a->amz_date, 0, 8)))
		return op_fail(ctx, a->form == SIGV4_QUERY ? -QE_AUTH_QUERY : -QE_AUTH_MALFORMED,
		               "Invalid credential date \"%.*s\". This date is not the same as X-Amz-Date: \"%.*s\".",
		               STR_FMT(a->date), 8, a->amz_date.p);
	if (a->form == SIGV4_QUERY) {
		if (early)
			return op_fail(ctx, -QE_EXPIRED, "Request is not valid yet");
		return now_ns > a->time_ns + a->expires_s * NS_PER_S ? -QE_EXPIRED : 0;
	}
	return early || now_ns > a->time_ns + SIGV4_SKEW_NS ? -QE_TIME_SKEWED : 0;
}

/* Those two are taken from the query, or stand in the canonical request all the same. */
static bool means_nothing_in_query(struct str name)
{
	return str_eq_nocase(name, STR_LIT("x-amz-content-sha256")) || str_eq_nocase(name, STR_LIT("x-amz-date"));
}

/* A header that means something must be signed: else whoever relays the request could add it. */
static int check_signed_headers(struct op_ctx *ctx, const struct sigv4_request *r, const struct sigv4_auth *a)
{
	if (!sigv4_is_signed(a, STR_LIT("host")))
		return op_fail(ctx, -QE_ACCESS_DENIED, "The Host header must be signed");
	for (unsigned i = 0; i < r->nheaders; i++) {
		struct str name = r->headers[i].name;
		if (name.len > 6 && str_eq_nocase(str_sub(name, 0, 6), STR_LIT("x-amz-")) && !sigv4_is_signed(a, name) &&
		    !(a->form == SIGV4_QUERY && means_nothing_in_query(name)))
			return op_fail(ctx, -QE_ACCESS_DENIED,
			               "There were headers present in the request which were not signed: %.*s",
			               (int)MIN(name.len, 60), name.p);
	}
	return 0;
}

static const struct sigv4_key *cached_key(struct sigv4_cache *c, const struct sigv4_auth *a, struct str secret,
                                          struct sigv4_key *tmp)
{
	size_t len = a->access_key.len + a->date.len + a->region.len + a->service.len + 4;
	struct sigv4_cached *s;
	char id[sizeof s->id];

	if (!c || len > sizeof id) {
		sigv4_key_make(tmp, secret, a->date, a->region, a->service);
		return tmp;
	}
	memset(id, 0, sizeof id);
	memcpy(id, a->date.p, a->date.len); /* 8 digits; NUL between the others keeps them apart */
	memcpy(id + 9, a->region.p, a->region.len);
	memcpy(id + 10 + a->region.len, a->service.p, a->service.len);
	memcpy(id + 11 + a->region.len + a->service.len, a->access_key.p, a->access_key.len);
	for (unsigned i = 0; i < SIGV4_CACHE; i++)
		if (memcmp(c->slot[i].id, id, sizeof id) == 0)
			return &c->slot[i].key;
	s = &c->slot[c->next++ % SIGV4_CACHE];
	sigv4_key_make(&s->key, secret, a->date, a->region, a->service);
	memcpy(s->id, id, sizeof id);
	return &s->key;
}

int sigv4_verify(struct op_ctx *ctx, const struct sigv4_request *r, const struct sigv4_auth *a, struct str secret,
                 struct str payload, uint64_t now_ns, struct sigv4_cache *cache, struct sigv4_key *ret_key)
{
	CLEANUP_BUF struct buf canonical = BUF_INIT, to_sign = BUF_INIT;
	uint8_t want[32], got[32];
	const struct sigv4_key *key;
	struct sigv4_key tmp;
	int rc = check_times(ctx, a, now_ns);

	if (rc < 0)
		return rc;
	rc = check_signed_headers(ctx, r, a);
	if (rc < 0)
		return rc;
	if (hex_decode(a->signature, got, sizeof got) != sizeof got)
		return -QE_SIGNATURE;
	if (!buf_reserve(&canonical, 1024) || !buf_reserve(&to_sign, 256))
		return -ENOMEM;
	sigv4_canonical(&canonical, r, a, payload);
	sigv4_string_to_sign(&to_sign, a, buf_str(&canonical));
	if (buf_err(&canonical) || buf_err(&to_sign))
		return -ENOMEM;
	key = cached_key(cache, a, secret, &tmp);
	sigv4_key_sign(key, to_sign.data, to_sign.len, want);
	if (!sigv4_equal(want, got, sizeof want))
		return -QE_SIGNATURE;
	if (ret_key)
		*ret_key = *key;
	return 0;
}

void sigv4_sign(const struct sigv4_request *r, struct sigv4_auth *a, struct str secret, struct str payload, char *ret)
{
	CLEANUP_BUF struct buf canonical = BUF_INIT, to_sign = BUF_INIT;
	struct sigv4_key key;
	uint8_t mac[32];

	a->date = str_sub(a->amz_date, 0, 8);
	sigv4_canonical(&canonical, r, a, payload);
	sigv4_string_to_sign(&to_sign, a, buf_str(&canonical));
	sigv4_key_make(&key, secret, a->date, a->region, a->service);
	sigv4_key_sign(&key, to_sign.data, to_sign.len, mac);
	hex_encode(mac, sizeof mac, ret);
}

/* ---- Chunks ---------------------------------------------------------------------------------------------------------- */
int sigv4_chain_init(struct sigv4_chain *c, const struct sigv4_auth *a, const struct sigv4_key *key)
{
	CLEANUP_BUF struct buf scope = BUF_INIT;

	add_scope(&scope, a);
	if (buf_err(&scope) || scope.len >= sizeof c->scope || a->amz_date.len != 16 || a->signature.len != SIGV4_HEX)
		return -QE_AUTH_MALFORMED;
	c->key = *key;
	memcpy(c->amz_date, a->amz_date.p, 16);
	c->amz_date[16] = '\0';
	memcpy(c->scope, scope.data, scope.len);
	c->scope[scope.len] = '\0';
	memcpy(c->previous, a->signature.p, SIGV4_HEX);
	c->previous[SIGV4_HEX] = '\0';
	return 0;
}

static void chain_sign(struct sigv4_chain *c, const char *kind, bool with_empty, const uint8_t sha256[32],
                       uint8_t ret[32])
{
	char text[512], hex[SIGV4_HEX + 1];
	int n;

	hex_encode(sha256, 32, hex);
	n = snprintf(text, sizeof text, "AWS4-HMAC-SHA256-%s\n%s\n%s\n%s\n%s%s%s", kind, c->amz_date, c->scope, c->previous,
	             with_empty ? SIGV4_EMPTY_SHA256 : "", with_empty ? "\n" : "", hex);
	ASSERT(n > 0 && (size_t)n < sizeof text);
	sigv4_key_sign(&c->key, text, (size_t)n, ret);
}

static int chain_check(struct sigv4_chain *c, const uint8_t want[32], struct str signature)
{
	uint8_t got[32];

	if (hex_decode(signature, got, sizeof got) != sizeof got || !sigv4_equal(want, got, sizeof got))
		return -QE_SIGNATURE;
	hex_encode(want, 32, c->previous);
	return 0;
}

int sigv4_chain_chunk(struct sigv4_chain *c, const uint8_t sha256[32], struct str signature)
{
	uint8_t want[32];

	chain_sign(c, "PAYLOAD", true, sha256, want);
	return chain_check(c, want, signature);
}

int sigv4_chain_trailer(struct sigv4_chain *c, struct str trailer, struct str signature)
{
	uint8_t sha[32], want[32];

	sigv4_sha256(trailer.p, trailer.len, sha);
	chain_sign(c, "TRAILER", false, sha, want);
	return chain_check(c, want, signature);
}

void sigv4_chain_sign_chunk(struct sigv4_chain *c, const uint8_t sha256[32], char *ret)
{
	uint8_t mac[32];

	chain_sign(c, "PAYLOAD", true, sha256, mac);
	hex_encode(mac, sizeof mac, c->previous);
	memcpy(ret, c->previous, SIGV4_HEX + 1);
}

void sigv4_chain_sign_trailer(struct sigv4_chain *c, struct str trailer, char *ret)
{
	uint8_t sha[32], mac[32];

	sigv4_sha256(trailer.p, trailer.len, sha);
	chain_sign(c, "TRAILER", false, sha, mac);
	hex_encode(mac, sizeof mac, c->previous);
	memcpy(ret, c->previous, SIGV4_HEX + 1);
}
