/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/checksum.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/codec.h"
#include "base/err.h"
#include "crypto/sigv4.h"

const struct s3_algo_info s3_algos[S3_ALGOS] = {
	[S3_CRC32] = {"CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", 4, DIGEST_CRC32, true, true},
	[S3_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", 4, 0, true, true},
	[S3_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", 8, 0, true, false},
	[S3_SHA1] = {"SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", 20, DIGEST_SHA1, false, true},
	[S3_SHA256] = {"SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", 32, DIGEST_SHA256, false, true},
};

enum s3_algo s3_algo_by_name(struct str name)
{
	for (unsigned i = 0; i < S3_ALGOS; i++)
		if (str_eq_nocase(name, str_of(s3_algos[i].name)))
			return (enum s3_algo)i;
	return S3_ALGO_NONE;
}

enum s3_algo s3_algo_by_header(struct str header)
{
	for (unsigned i = 0; i < S3_ALGOS; i++)
		if (str_eq_nocase(header, str_of(s3_algos[i].header)))
			return (enum s3_algo)i;
	return S3_ALGO_NONE;
}

struct str s3_checksum_text(struct arena *a, const struct s3_checksum *c)
{
	char text[64];

	base64_encode(c->value, s3_algos[c->algo].bytes, text);
	if (c->composite && c->parts)
		return str_of(arena_printf(a, "%s-%u", text, c->parts));
	return arena_str(a, str_of(text));
}

int s3_checksum_parse(enum s3_algo algo, struct str text, struct s3_checksum *ret)
{
	ptrdiff_t dash = str_find(text, '-', 0);
	struct str digits = text;
	uint64_t parts = 0;

	*ret = (struct s3_checksum){.algo = algo};
	if (dash >= 0) {
		if (str_to_u64(str_sub(text, (size_t)dash + 1, text.len - (size_t)dash - 1), &parts) < 0 || parts == 0 ||
		    parts > OBJECT_PARTS)
			return -QE_INVALID_REQUEST;
		digits = str_sub(text, 0, (size_t)dash);
	}
	ret->composite = parts > 0;
	ret->parts = (unsigned)parts;
	if (base64_decode(digits, ret->value, s3_algos[algo].bytes) != (int)s3_algos[algo].bytes)
		return -QE_INVALID_REQUEST;
	ret->has_value = true;
	return 0;
}

struct str s3_checksum_store(struct arena *a, const struct s3_checksum *c)
{
	const char *type = c->composite ? "COMPOSITE" : "FULL_OBJECT";

	if (c->algo == S3_ALGO_NONE)
		return STR_LIT("");
	if (!c->has_value)
		return str_of(arena_printf(a, "%s:%s", s3_algos[c->algo].name, type));
	return str_of(arena_printf(a, "%s:%s:%s", s3_algos[c->algo].name, type, s3_checksum_text(a, c).p));
}

bool s3_checksum_load(struct str stored, struct s3_checksum *ret)
{
	struct str rest = stored, name, type, value;
	enum s3_algo algo;

	*ret = (struct s3_checksum){.algo = S3_ALGO_NONE};
	if (stored.len == 0 || !str_split(&rest, ':', &name) || !str_split(&rest, ':', &type))
		return false;
	algo = s3_algo_by_name(name);
	if (algo == S3_ALGO_NONE)
		return false;
	ret->algo = algo;
	if (str_split(&rest, ':', &value) && s3_checksum_parse(algo, value, ret) < 0)
		return false;
	ret->composite = str_eqc(type, "COMPOSITE");
	return true;
}

void s3_checksum_of_digests(enum s3_algo algo, const struct object_digests *d, struct s3_checksum *ret)
{
	*ret = (struct s3_checksum){.algo = algo, .has_value = true};
	switch (algo) {
	case S3_CRC32:
		be32_put(ret->value, d->crc32);
		break;
	case S3_CRC32C:
		be32_put(ret->value, d->crc32c);
		break;
	case S3_CRC64NVME:
		be64_put(ret->value, d->crc64nvme);
		break;
	case S3_SHA1:
		memcpy(ret->value, d->sha1, sizeof d->sha1);
		break;
	case S3_SHA256:
		memcpy(ret->value, d->sha256, sizeof d->sha256);
		break;
	case S3_ALGOS:
		ret->has_value = false;
		break;
	}
}

bool s3_checksum_equal(const struct s3_checksum *a, const struct s3_checksum *b)
{
	return a->algo == b->algo && a->has_value && b->has_value &&
	       memcmp(a->value, b->value, s3_algos[a->algo].bytes) == 0;
}

bool s3_checksum_of_info(const struct object_info *info, struct s3_checksum *ret)
{
	if (s3_checksum_load(info->checksum, ret) && ret->has_value)
		return true;
	if (!(info->flags & VERSION_HAS_CRC))
		return false;
	*ret = (struct s3_checksum){.algo = S3_CRC64NVME, .has_value = true};
	be64_put(ret->value, info->crc64nvme);
	return true;
}

/* ---- Multipart ------------------------------------------------------------------------------------------------------- */
static bool part_value(enum s3_algo algo, const struct object_part *p, struct s3_checksum *ret)
{
	if (s3_checksum_load(p->checksum, ret) && ret->algo == algo && ret->has_value)
		return true;
	*ret = (struct s3_checksum){.algo = algo, .has_value = true};
	if (algo == S3_CRC32C)
		be32_put(ret->value, p->crc32c);
	else if (algo == S3_CRC64NVME)
		be64_put(ret->value, p->crc64nvme);
	else
		return false;
	return true;
}

static void combine_crc(enum s3_algo algo, struct s3_checksum *sum, const struct s3_checksum *part, uint64_t len)
{
	if (algo == S3_CRC64NVME)
		be64_put(sum->value, checksum_crc64nvme_combine(be64_get(sum->value), be64_get(part->value), len));
	else if (algo == S3_CRC32C)
		be32_put(sum->value, checksum_crc32c_combine(be32_get(sum->value), be32_get(part->value), len));
	else
		be32_put(sum->value, checksum_crc32_combine(be32_get(sum->value), be32_get(part->value), len));
}

/* The algorithm's own value of the parts' values in a row. */
static bool composite_value(enum s3_algo algo, const uint8_t *p, size_t len, uint8_t *ret)
{
	switch (algo) {
	case S3_CRC32:
		be32_put(ret, checksum_crc32(0, p, len));
		return true;
	case S3_CRC32C:
		be32_put(ret, checksum_crc32c(0, p, len));
		return true;
	case S3_SHA1:
		return EVP_Digest(p, len, ret, NULL, EVP_sha1(), NULL) == 1;
	case S3_SHA256:
		sigv4_sha256(p, len, ret);
		return true;
	default:
		return false;
	}
}

bool s3_checksum_combine(enum s3_algo algo, bool composite, const struct object_part *parts, unsigned n,
                         struct s3_checksum *ret)
{
	CLEANUP_BUF struct buf values = BUF_INIT;
	struct s3_checksum part;

	*ret = (struct s3_checksum){.algo = algo, .composite = composite, .has_value = true};
	for (unsigned i = 0; i < n; i++) {
		if (!part_value(algo, &parts[i], &part))
			return false;
		if (composite)
			buf_add(&values, part.value, s3_algos[algo].bytes);
		else
			combine_crc(algo, ret, &part, parts[i].size);
	}
	if (!composite)
		return true;
	ret->parts = n;
	return !buf_err(&values) && composite_value(algo, (uint8_t *)values.data, values.len, ret->value);
}
