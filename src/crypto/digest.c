/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests. Algorithms are fetched once: an implicit fetch per context costs more than the digest of a small body.
 */
#include "crypto/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/checksum.h"

enum { MD5, SHA256, SHA1, ALGOS };

static const struct {
	const char *name;
	unsigned bit;
	size_t off;
} algos[ALGOS] = {
	[MD5] = {"MD5", DIGEST_MD5, offsetof(struct digest_values, md5)},
	[SHA256] = {"SHA256", DIGEST_SHA256, offsetof(struct digest_values, sha256)},
	[SHA1] = {"SHA1", DIGEST_SHA1, offsetof(struct digest_values, sha1)},
};
static EVP_MD *fetched[ALGOS];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_ctx;

struct digest_ctx {
	unsigned set;
	uint32_t crc32;
	EVP_MD_CTX *evp[ALGOS];
};

static void thread_ctx_free(void *p)
{
	digest_free(p);
}

static void fetch_all(void)
{
	for (unsigned i = 0; i < ALGOS; i++) {
		fetched[i] = EVP_MD_fetch(NULL, algos[i].name, NULL);
		ASSERT(fetched[i] != NULL);
	}
	ASSERT(pthread_key_create(&thread_ctx, thread_ctx_free) == 0);
}

struct digest_ctx *digest_new(void)
{
	struct digest_ctx *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	pthread_once(&fetch_once, fetch_all);
	for (unsigned i = 0; i < ALGOS; i++) {
		d->evp[i] = EVP_MD_CTX_new();
		if (!d->evp[i])
			return digest_free(d);
	}
	return d;
}

struct digest_ctx *digest_free(struct digest_ctx *d)
{
	if (!d)
		return NULL;
	for (unsigned i = 0; i < ALGOS; i++)
		EVP_MD_CTX_free(d->evp[i]);
	free(d);
	return NULL;
}

void digest_init(struct digest_ctx *d, unsigned set)
{
	d->set = set;
	d->crc32 = 0;
	for (unsigned i = 0; i < ALGOS; i++) {
		if (set & algos[i].bit)
			ASSERT(EVP_DigestInit_ex2(d->evp[i], fetched[i], NULL) == 1);
	}
}

void digest_update(struct digest_ctx *d, const void *p, size_t len)
{
	for (unsigned i = 0; i < ALGOS; i++) {
		if (d->set & algos[i].bit)
			ASSERT(EVP_DigestUpdate(d->evp[i], p, len) == 1);
	}
	if (d->set & DIGEST_CRC32)
		d->crc32 = checksum_crc32(d->crc32, p, len);
}

void digest_final(struct digest_ctx *d, struct digest_values *ret)
{
	for (unsigned i = 0; i < ALGOS; i++) {
		if (d->set & algos[i].bit)
			ASSERT(EVP_DigestFinal_ex(d->evp[i], (unsigned char *)ret + algos[i].off, NULL) == 1);
	}
	if (d->set & DIGEST_CRC32)
		ret->crc32 = d->crc32;
}

void digest_once(unsigned set, const void *p, size_t len, struct digest_values *ret)
{
	struct digest_ctx *d;

	pthread_once(&fetch_once, fetch_all);
	d = pthread_getspecific(thread_ctx);
	if (!d) {
		d = digest_new();
		ASSERT(d != NULL);
		pthread_setspecific(thread_ctx, d);
	}
	digest_init(d, set);
	digest_update(d, p, len);
	digest_final(d, ret);
}
