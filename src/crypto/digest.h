/* SPDX-License-Identifier: Apache-2.0
 *
 * Several digests of one stream in one pass, by OpenSSL's EVP. Contexts are reused through digest_init; a digest_ctx is
 * used by one thread at a time.
 */
#ifndef QUOIN_CRYPTO_DIGEST_H
#define QUOIN_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

enum object_digest { DIGEST_MD5 = 1, DIGEST_SHA256 = 2, DIGEST_CRC32 = 4, DIGEST_SHA1 = 8 };

#define DIGEST_MD5_LEN 16
#define DIGEST_SHA1_LEN 20
#define DIGEST_SHA256_LEN 32

struct digest_values {
	uint8_t md5[DIGEST_MD5_LEN], sha256[DIGEST_SHA256_LEN], sha1[DIGEST_SHA1_LEN];
	uint32_t crc32;
};

struct digest_ctx;

struct digest_ctx *digest_new(void);                  /* NULL: no memory */
struct digest_ctx *digest_free(struct digest_ctx *d); /* accepts NULL; returns NULL */
void digest_init(struct digest_ctx *d, unsigned set); /* bits of enum object_digest; starts anew */
void digest_update(struct digest_ctx *d, const void *p, size_t len);
void digest_final(struct digest_ctx *d,
                  struct digest_values *ret); /* fields that were not asked for stay as they are */
/* All at once, with a context of the calling thread. */
void digest_once(unsigned set, const void *p, size_t len, struct digest_values *ret);

#endif
