/* SPDX-License-Identifier: Apache-2.0
 *
 * AWS Signature Version 4 for S3: one canonicaliser that verifies and signs.
 *
 * Forms: the Authorization header, the query (presigned URLs), chunk signatures of aws-chunked bodies, the signature of
 * their trailer, and POST policies. S3's own rules: the path is encoded once and never normalised; the payload hash is a
 * header; the scope's own region counts (admin clients sign with an empty one).
 */
#ifndef QUOIN_CRYPTO_SIGV4_H
#define QUOIN_CRYPTO_SIGV4_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/op_ctx.h"
#include "base/str.h"
#include "base/uri.h"

#define SIGV4_HEX 64
#define SIGV4_SKEW_NS (15ull * 60 * 1000000000)
#define SIGV4_EXPIRES_MAX (7u * 24 * 3600)
#define SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ---- Hashes ---------------------------------------------------------------------------------------------------------- */
void sigv4_sha256(const void *p, size_t len, uint8_t ret[32]);
void sigv4_hmac(const void *key, size_t key_len, const void *p, size_t len, uint8_t ret[32]);
bool sigv4_equal(const void *a, const void *b, size_t n); /* in constant time */

/* An SHA-256 that is fed piece by piece. */
struct sigv4_hash {
	uint64_t opaque[16];
};
void sigv4_hash_init(struct sigv4_hash *h);
void sigv4_hash_add(struct sigv4_hash *h, const void *p, size_t len);
void sigv4_hash_end(struct sigv4_hash *h, uint8_t ret[32]);

/* ---- Signing keys ---------------------------------------------------------------------------------------------------- */
/* The key of one (date, region, service), ready for HMAC: the states behind the two padded key blocks. */
struct sigv4_key {
	struct sigv4_hash inner, outer;
};
void sigv4_key_make(struct sigv4_key *k, struct str secret, struct str date, struct str region, struct str service);
void sigv4_key_sign(const struct sigv4_key *k, const void *p, size_t len, uint8_t ret[32]);

/* Keys made lately; for one thread. The secret belongs to the access key: a changed secret needs sigv4_cache_clear. */
#define SIGV4_CACHE 16
struct sigv4_cache {
	struct sigv4_cached {
		char id[128]; /* access key, date, region, service; "" if longer: not kept */
		struct sigv4_key key;
	} slot[SIGV4_CACHE];
	unsigned next;
};
void sigv4_cache_clear(struct sigv4_cache *c);

/* ---- Requests -------------------------------------------------------------------------------------------------------- */
struct sigv4_header {
	struct str name, value;
};

struct sigv4_request {
	struct str method;
	struct str path;               /* as on the wire */
	const struct uri_param *query; /* decoded */
	unsigned nquery;
	const struct sigv4_header *headers;
	unsigned nheaders;
};

enum sigv4_form { SIGV4_NONE, SIGV4_HEADER, SIGV4_QUERY };

/* What a request says about its signature; strings borrow from the request. */
struct sigv4_auth {
	enum sigv4_form form;
	struct str access_key, date, region, service; /* date: YYYYMMDD */
	struct str signed_headers, signature;
	struct str amz_date; /* YYYYMMDDTHHMMSSZ */
	uint64_t time_ns, expires_s;
};

/* SIGV4_NONE when the request carries no signature at all. -QE_AUTH_MALFORMED, -QE_AUTH_QUERY, -QE_ACCESS_DENIED (no
 * date) or -QE_INVALID_REQUEST (another scheme), with the cause in ctx->detail. */
int sigv4_parse(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv4_auth *ret) WARN_UNUSED;

bool sigv4_is_signed(const struct sigv4_auth *a, struct str header);

/* Times (skew or expiry), headers that must be signed, and the signature itself. payload: the text that stands for the
 * body in the canonical request (x-amz-content-sha256, or UNSIGNED-PAYLOAD). On success *ret_key (may be NULL) is the
 * signing key, for chunk signatures. */
int sigv4_verify(struct op_ctx *ctx, const struct sigv4_request *r, const struct sigv4_auth *a, struct str secret,
                 struct str payload, uint64_t now_ns, struct sigv4_cache *cache, struct sigv4_key *ret_key) WARN_UNUSED;

/* The two texts, for tests and error answers. */
void sigv4_canonical(struct buf *b, const struct sigv4_request *r, const struct sigv4_auth *a, struct str payload);
void sigv4_string_to_sign(struct buf *b, const struct sigv4_auth *a, struct str canonical);

/* Signs: a holds form, access_key, region, service, signed_headers and amz_date; date is derived. The headers named are in
 * r, X-Amz-Date among them. ret: SIGV4_HEX + 1 bytes. */
void sigv4_sign(const struct sigv4_request *r, struct sigv4_auth *a, struct str secret, struct str payload, char *ret);

/* ---- Chunks ---------------------------------------------------------------------------------------------------------- */
/* The running signature of an aws-chunked body: starts with the request's, each chunk signs the one before. */
struct sigv4_chain {
	struct sigv4_key key;
	char amz_date[17], scope[128];
	char previous[SIGV4_HEX + 1];
};
int sigv4_chain_init(struct sigv4_chain *c, const struct sigv4_auth *a, const struct sigv4_key *key) WARN_UNUSED;
/* sha256 of the chunk's data; signature: 64 hex digits. 0 or -QE_SIGNATURE. */
int sigv4_chain_chunk(struct sigv4_chain *c, const uint8_t sha256[32], struct str signature) WARN_UNUSED;
/* trailer: "name:value\n" of each trailing header, in order. */
int sigv4_chain_trailer(struct sigv4_chain *c, struct str trailer, struct str signature) WARN_UNUSED;
/* The next signatures, for signing: SIGV4_HEX + 1 bytes; moves on. */
void sigv4_chain_sign_chunk(struct sigv4_chain *c, const uint8_t sha256[32], char *ret);
void sigv4_chain_sign_trailer(struct sigv4_chain *c, struct str trailer, char *ret);

#endif
