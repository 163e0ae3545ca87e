/* SPDX-License-Identifier: Apache-2.0
 *
 * S3's additional checksums: names, headers, values, and how they are kept ("CRC32C:FULL_OBJECT:base64" in a row, without
 * the value for an upload: "CRC32C:FULL_OBJECT").
 */
#ifndef QUOIN_S3_CHECKSUM_H
#define QUOIN_S3_CHECKSUM_H

#include "object/object.h"

enum s3_algo { S3_CRC32, S3_CRC32C, S3_CRC64NVME, S3_SHA1, S3_SHA256, S3_ALGOS, S3_ALGO_NONE = S3_ALGOS };

struct s3_algo_info {
	const char *name;    /* CRC32C */
	const char *header;  /* x-amz-checksum-crc32c */
	const char *element; /* ChecksumCRC32C */
	unsigned bytes;
	unsigned digest;      /* enum object_digest; 0: always there */
	bool full, composite; /* types that it may have for a multipart object */
};
extern const struct s3_algo_info s3_algos[S3_ALGOS];

enum s3_algo s3_algo_by_name(struct str name); /* any case; S3_ALGO_NONE */
enum s3_algo s3_algo_by_header(struct str header);

#define S3_CHECKSUM_MAX 32
struct s3_checksum {
	enum s3_algo algo;
	bool composite;
	unsigned parts; /* composite: the number behind the '-' (0: not told) */
	uint8_t value[S3_CHECKSUM_MAX];
	bool has_value;
};

/* Base64 of the value, with "-parts" when composite; in the arena. */
struct str s3_checksum_text(struct arena *a, const struct s3_checksum *c);
/* A header's value: -QE_INVALID_REQUEST when it is not base64 of the right length. */
int s3_checksum_parse(enum s3_algo algo, struct str text, struct s3_checksum *ret) WARN_UNUSED;
struct str s3_checksum_store(struct arena *a, const struct s3_checksum *c);
bool s3_checksum_load(struct str stored, struct s3_checksum *ret); /* false: none */
void s3_checksum_of_digests(enum s3_algo algo, const struct object_digests *d, struct s3_checksum *ret);
bool s3_checksum_equal(const struct s3_checksum *a, const struct s3_checksum *b);
/* What an object shows: what was asked for, else the CRC64NVME that is kept of everything. False: nothing. */
bool s3_checksum_of_info(const struct object_info *info, struct s3_checksum *ret);

/* Of a multipart object from its parts' (all of one algorithm). False: a part has none. */
bool s3_checksum_combine(enum s3_algo algo, bool composite, const struct object_part *parts, unsigned n,
                         struct s3_checksum *ret);

#endif
