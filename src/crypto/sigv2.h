/* SPDX-License-Identifier: Apache-2.0
 *
 * AWS Signature Version 2, which older clients still use for presigned URLs by default. It covers method, path, a list
 * of query parameters, Content-MD5, Content-Type, Date and the x-amz- headers; not the body.
 */
#ifndef QUOIN_CRYPTO_SIGV2_H
#define QUOIN_CRYPTO_SIGV2_H

#include "crypto/sigv4.h"

#define SIGV2_BASE64 28

struct sigv2_auth {
	bool query;                       /* presigned */
	struct str access_key, signature; /* base64 */
	uint64_t time_ns;                 /* of the request, or when it expires */
	struct str date;                  /* as it is signed */
};

/* True: the request carries a signature of version 2 (or what pretends to be one). */
bool sigv2_present(const struct sigv4_request *r);
int sigv2_parse(struct op_ctx *ctx, const struct sigv4_request *r, struct sigv2_auth *ret) WARN_UNUSED;
/* bucket: of a virtual-host style request, else "". 0, -QE_SIGNATURE, -QE_EXPIRED, -QE_TIME_SKEWED. */
int sigv2_verify(const struct sigv4_request *r, const struct sigv2_auth *a, struct str bucket, struct str secret,
                 uint64_t now_ns) WARN_UNUSED;
/* SIGV2_BASE64 + 1 bytes; for tests and clients. */
int sigv2_sign(const struct sigv4_request *r, struct str date, struct str bucket, struct str secret, char *ret)
	WARN_UNUSED;

#endif
