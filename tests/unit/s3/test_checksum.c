/* SPDX-License-Identifier: Apache-2.0
 *
 * Additional checksums: texts, what is kept, and multipart values of both types.
 */
#include "unit/base/unit.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "s3/checksum.h"

static void texts(void **state)
{
	struct arena a = ARENA_INIT;
	struct s3_checksum c, d;

	assert_int_equal(s3_algo_by_name(STR_LIT("crc64nvme")), S3_CRC64NVME);
	assert_int_equal(s3_algo_by_name(STR_LIT("md5")), S3_ALGO_NONE);
	assert_int_equal(s3_algo_by_header(STR_LIT("X-Amz-Checksum-SHA1")), S3_SHA1);
	assert_int_equal(s3_checksum_parse(S3_CRC32C, STR_LIT("4waSgw=="), &c), 0); /* "123456789" */
	assert_int_equal(be32_get(c.value), checksum_crc32c(0, "123456789", 9));
	assert_true(str_eqc(s3_checksum_store(&a, &c), "CRC32C:FULL_OBJECT:4waSgw=="));
	assert_true(s3_checksum_load(STR_LIT("CRC32C:FULL_OBJECT:4waSgw=="), &d));
	assert_true(s3_checksum_equal(&c, &d));
	assert_true(s3_checksum_load(STR_LIT("CRC32C:COMPOSITE:4waSgw==-3"), &d));
	assert_true(d.composite && d.parts == 3);
	assert_true(str_eqc(s3_checksum_text(&a, &d), "4waSgw==-3"));
	assert_true(s3_checksum_load(STR_LIT("SHA256:COMPOSITE"), &d));
	assert_false(d.has_value);
	assert_false(s3_checksum_load(STR_LIT(""), &d));
	assert_false(s3_checksum_load(STR_LIT("MD5:FULL_OBJECT:x"), &d));
	assert_int_equal(s3_checksum_parse(S3_CRC32, STR_LIT("4waSgw="), &c), -QE_INVALID_REQUEST);
	assert_int_equal(s3_checksum_parse(S3_CRC32, STR_LIT("4waSgwAA"), &c), -QE_INVALID_REQUEST);
	assert_int_equal(s3_checksum_parse(S3_CRC32, STR_LIT("4waSgw==-0"), &c), -QE_INVALID_REQUEST);
	assert_int_equal(s3_checksum_parse(S3_CRC32, STR_LIT("4waSgw==-x"), &c), -QE_INVALID_REQUEST);
	assert_int_equal(s3_checksum_parse(S3_CRC32, STR_LIT(""), &c), -QE_INVALID_REQUEST);
	arena_free(&a);
}

static void multipart(void **state)
{
	static const char data[] = "The quick brown fox jumps over the lazy dog";
	struct object_part p[3];
	struct arena a = ARENA_INIT;
	struct s3_checksum c;
	size_t at = 0;

	for (unsigned i = 0; i < 3; i++) {
		size_t n = i == 2 ? sizeof data - 1 - at : 10 + i;
		struct object_digests d = {.crc32 = checksum_crc32(0, data + at, n),
		                           .crc32c = checksum_crc32c(0, data + at, n),
		                           .crc64nvme = checksum_crc64nvme(0, data + at, n)};
		s3_checksum_of_digests(S3_CRC32, &d, &c);
		p[i] = (struct object_part){.number = i + 1,
		                            .size = n,
		                            .checksum = s3_checksum_store(&a, &c),
		                            .crc32c = d.crc32c,
		                            .crc64nvme = d.crc64nvme};
		at += n;
	}
	assert_true(s3_checksum_combine(S3_CRC32, false, p, 3, &c));
	assert_int_equal(be32_get(c.value), checksum_crc32(0, data, sizeof data - 1));
	assert_true(s3_checksum_combine(S3_CRC32C, false, p, 3, &c));
	assert_int_equal(be32_get(c.value), checksum_crc32c(0, data, sizeof data - 1));
	assert_true(s3_checksum_combine(S3_CRC64NVME, false, p, 3, &c));
	assert_true(be64_get(c.value) == checksum_crc64nvme(0, data, sizeof data - 1));
	assert_true(s3_checksum_combine(S3_CRC32, true, p, 3, &c));
	assert_true(c.composite && c.parts == 3);
	assert_false(s3_checksum_combine(S3_SHA256, true, p, 3, &c)); /* the parts have none */
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(multipart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
