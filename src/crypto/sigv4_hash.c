/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 and HMAC by the low-level functions of libcrypto, which are several times faster for short texts than its
 * EVP calls: a signature with a cached key is two short hashes, 1 us.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#define BLOCK 64

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct sigv4_hash), "the hash state does not fit");

static SHA256_CTX *ctx_of(struct sigv4_hash *h)
{
	return (SHA256_CTX *)(void *)h->opaque;
}

void sigv4_hash_init(struct sigv4_hash *h)
{
	SHA256_Init(ctx_of(h));
}

void sigv4_hash_add(struct sigv4_hash *h, const void *p, size_t len)
{
	if (len)
		SHA256_Update(ctx_of(h), p, len);
}

void sigv4_hash_end(struct sigv4_hash *h, uint8_t ret[32])
{
	SHA256_Final(ret, ctx_of(h));
}

void sigv4_sha256(const void *p, size_t len, uint8_t ret[32])
{
	struct sigv4_hash h;

	sigv4_hash_init(&h);
	sigv4_hash_add(&h, p, len);
	sigv4_hash_end(&h, ret);
}

static void hmac_init(struct sigv4_key *k, const void *key, size_t len)
{
	uint8_t block[BLOCK] = {0}, pad[BLOCK];

	if (len > BLOCK)
		sigv4_sha256(key, len, block);
	else if (len)
		memcpy(block, key, len);
	for (unsigned i = 0; i < BLOCK; i++)
		pad[i] = block[i] ^ 0x36;
	sigv4_hash_init(&k->inner);
	sigv4_hash_add(&k->inner, pad, BLOCK);
	for (unsigned i = 0; i < BLOCK; i++)
		pad[i] = block[i] ^ 0x5c;
	sigv4_hash_init(&k->outer);
	sigv4_hash_add(&k->outer, pad, BLOCK);
	OPENSSL_cleanse(block, sizeof block);
	OPENSSL_cleanse(pad, sizeof pad);
}

void sigv4_key_sign(const struct sigv4_key *k, const void *p, size_t len, uint8_t ret[32])
{
	struct sigv4_hash h = k->inner;
	uint8_t inner[32];

	sigv4_hash_add(&h, p, len);
	sigv4_hash_end(&h, inner);
	h = k->outer;
	sigv4_hash_add(&h, inner, sizeof inner);
	sigv4_hash_end(&h, ret);
}

void sigv4_hmac(const void *key, size_t key_len, const void *p, size_t len, uint8_t ret[32])
{
	struct sigv4_key k;

	hmac_init(&k, key, key_len);
	sigv4_key_sign(&k, p, len, ret);
}

void sigv4_key_make(struct sigv4_key *k, struct str secret, struct str date, struct str region, struct str service)
{
	uint8_t first[260], mac[32];

	/* Secrets longer than this do not exist (configuration refuses them); the key is wrong, not the memory. */
	memcpy(first, "AWS4", 4);
	memcpy(first + 4, secret.p, MIN(secret.len, sizeof first - 4));
	sigv4_hmac(first, 4 + MIN(secret.len, sizeof first - 4), date.p, date.len, mac);
	sigv4_hmac(mac, sizeof mac, region.p, region.len, mac);
	sigv4_hmac(mac, sizeof mac, service.p, service.len, mac);
	sigv4_hmac(mac, sizeof mac, "aws4_request", 12, mac);
	hmac_init(k, mac, sizeof mac);
	OPENSSL_cleanse(first, sizeof first);
	OPENSSL_cleanse(mac, sizeof mac);
}

void sigv4_cache_clear(struct sigv4_cache *c)
{
	OPENSSL_cleanse(c, sizeof *c);
}

bool sigv4_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
