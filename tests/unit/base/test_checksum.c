/* SPDX-License-Identifier: Apache-2.0
 *
 * CRCs: published check values, and all kernels against bit by bit division.
 */
#include "unit/base/unit.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "base/macros.h"

#define SIZE 9000

static unsigned char data[SIZE];

static uint64_t reference(uint64_t crc, const unsigned char *p, size_t len, uint64_t poly, unsigned width)
{
	uint64_t ones = UINT64_MAX >> (64 - width);

	crc ^= ones;
	for (; len; p++, len--) {
		crc ^= *p;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? poly : 0);
	}
	return crc ^ ones;
}

static uint64_t crc32c(uint64_t crc, const void *p, size_t len)
{
	return checksum_crc32c((uint32_t)crc, p, len);
}
static uint64_t crc32(uint64_t crc, const void *p, size_t len)
{
	return checksum_crc32((uint32_t)crc, p, len);
}
static uint64_t crc32c_combine(uint64_t a, uint64_t b, uint64_t len_b)
{
	return checksum_crc32c_combine((uint32_t)a, (uint32_t)b, len_b);
}
static uint64_t crc32_combine(uint64_t a, uint64_t b, uint64_t len_b)
{
	return checksum_crc32_combine((uint32_t)a, (uint32_t)b, len_b);
}

static const struct kind {
	uint64_t (*crc)(uint64_t crc, const void *p, size_t len);
	uint64_t (*combine)(uint64_t a, uint64_t b, uint64_t len_b);
	uint64_t poly, check;
	unsigned width;
} kinds[] = {
	{crc32c, crc32c_combine, 0x82f63b78, 0xe3069283, 32},
	{crc32, crc32_combine, 0xedb88320, 0xcbf43926, 32},
	{checksum_crc64nvme, checksum_crc64nvme_combine, 0x9a6c9329ac4bc9b5, 0xae8b14860a799888, 64},
};

static void check_values(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(kinds[i].crc(0, "123456789", 9), kinds[i].check);
		assert_int_equal(kinds[i].crc(0, "", 0), 0);
		assert_int_equal(kinds[i].crc(kinds[i].check, NULL, 0), kinds[i].check);
	}
}

/* RFC 3720 B.4, and the NVM Command Set specification's vectors of 4096 bytes. */
static void vectors_of_the_standards(void **state)
{
	unsigned char v[4096];

	memset(v, 0, sizeof v);
	assert_int_equal(checksum_crc32c(0, v, 32), 0x8a9136aa);
	assert_int_equal(checksum_crc64nvme(0, v, 4096), 0x6482d367eb22b64e);
	memset(v, 0xff, sizeof v);
	assert_int_equal(checksum_crc32c(0, v, 32), 0x62a8ab43);
	assert_int_equal(checksum_crc64nvme(0, v, 4096), 0xc0ddba7302eca3ac);
	for (size_t i = 0; i < sizeof v; i++)
		v[i] = (unsigned char)i;
	assert_int_equal(checksum_crc32c(0, v, 32), 0x46dd794e);
	assert_int_equal(checksum_crc64nvme(0, v, 4096), 0x3e729f5f6750449c);
	for (size_t i = 0; i < sizeof v; i++)
		v[i] = (unsigned char)(0xff - i);
	assert_int_equal(checksum_crc64nvme(0, v, 4096), 0x9a2df64b8e9e517e);
}

static void every_short_length_matches_the_reference(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		for (size_t len = 0; len < 700; len++)
			assert_int_equal(kinds[i].crc(len, data + len % 17, len),
					 reference(len, data + len % 17, len, kinds[i].poly, kinds[i].width));
}

static void random_pieces_match_and_combine(void **state)
{
	for (int round = 0; round < 300; round++)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			const struct kind *k = &kinds[i];
			size_t from = (size_t)rand() % SIZE, len = (size_t)rand() % (SIZE - from);
			size_t cut = len ? (size_t)rand() % len : 0;
			uint64_t whole = reference(0, data + from, len, k->poly, k->width);
			uint64_t a = k->crc(0, data + from, cut), b = k->crc(0, data + from + cut, len - cut);

			assert_int_equal(k->crc(0, data + from, len), whole);
			assert_int_equal(k->crc(a, data + from + cut, len - cut), whole);
			assert_int_equal(k->combine(a, b, len - cut), whole);
		}
}

/* Combining is associative, which reaches lengths that no buffer has. */
static void huge_lengths_combine(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct kind *k = &kinds[i];
		uint64_t a = k->crc(0, "a", 1), b = k->crc(0, "b", 1), c = k->crc(0, "c", 1);
		uint64_t len_b = 1ULL << 40, len_c = (1ULL << 41) + 12345;

		assert_int_equal(k->combine(k->combine(a, b, len_b), c, len_c),
				 k->combine(a, k->combine(b, c, len_c), len_b + len_c));
		assert_int_equal(k->combine(a, 0, 0), a);
	}
}

static void zeros_have_the_crc_of_a_buffer_of_zeros(void **state)
{
	static const unsigned char zeros[SIZE];

	for (size_t len = 0; len < SIZE; len = len * 3 + 1) {
		assert_int_equal(checksum_crc32c_zeros(len), checksum_crc32c(0, zeros, len));
		assert_int_equal(checksum_crc64nvme_zeros(len), checksum_crc64nvme(0, zeros, len));
	}
	assert_int_equal(checksum_crc64nvme_zeros((1ULL << 40) + SIZE),
			 checksum_crc64nvme_combine(checksum_crc64nvme_zeros(1ULL << 40), checksum_crc64nvme_zeros(SIZE), SIZE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_values),
		cmocka_unit_test(vectors_of_the_standards),
		cmocka_unit_test(every_short_length_matches_the_reference),
		cmocka_unit_test(random_pieces_match_and_combine),
		cmocka_unit_test(huge_lengths_combine),
		cmocka_unit_test(zeros_have_the_crc_of_a_buffer_of_zeros),
	};
	unsigned seed = (unsigned)random_u64();

	print_message("seed %u\n", seed);
	srand(seed);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (unsigned char)rand();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
