/* SPDX-License-Identifier: Apache-2.0
 *
 * CRCs: the 32-bit ones by isa-l, the 64-bit one by carry-less multiplication with a table fallback (isa-l has no
 * kernel for the NVMe polynomial before 2.31).
 *
 * A reflected register holds the coefficient of x^0 in its top bit.
 */
#include "base/checksum.h"

#include <isa-l/crc.h>
#include <pthread.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/bytes.h"
#include "base/macros.h"

#define POLY_CRC32C 0x82f63b78U
#define POLY_CRC32 0xedb88320U
#define POLY_CRC64NVME 0x9a6c9329ac4bc9b5ULL

#define CRC32C_CHUNK (1U << 30) /* isa-l takes the length as int */

uint32_t checksum_crc32c(uint32_t crc, const void *p, size_t len)
{
	unsigned char *at = (unsigned char *)p; /* isa-l lacks the const */

	crc = ~crc;
	while (len) {
		size_t n = MIN(len, CRC32C_CHUNK);

		crc = crc32_iscsi(at, (int)n, crc);
		at += n;
		len -= n;
	}
	return ~crc;
}

uint32_t checksum_crc32(uint32_t crc, const void *p, size_t len)
{
	return len ? crc32_gzip_refl(crc, p, len) : crc;
}

/* crc64_tab[k][i]: the byte i followed by k zero bytes. */
static uint64_t crc64_tab[8][256];
static pthread_once_t crc64_once = PTHREAD_ONCE_INIT;
static uint64_t (*crc64_kernel)(uint64_t state, const unsigned char *p, size_t len);

static uint64_t crc64_sliced(uint64_t state, const unsigned char *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = state ^ le64_get(p);

		state = crc64_tab[7][v & 0xff] ^ crc64_tab[6][v >> 8 & 0xff] ^ crc64_tab[5][v >> 16 & 0xff] ^
			crc64_tab[4][v >> 24 & 0xff] ^ crc64_tab[3][v >> 32 & 0xff] ^ crc64_tab[2][v >> 40 & 0xff] ^
			crc64_tab[1][v >> 48 & 0xff] ^ crc64_tab[0][v >> 56];
	}
	for (; len; p++, len--)
		state = crc64_tab[0][(state ^ *p) & 0xff] ^ state >> 8;
	return state;
}

#ifdef __x86_64__
#define CRC64_LANES 8
#define CLMUL_TARGET __attribute__((target("pclmul,sse4.1")))

/* acc * x^D + next for the distance D that k was made for: k holds x^(D+63) for the low half of acc, which comes first
 * in the stream, and x^(D-1) for the high half. The product of two reflected values carries one factor x too many,
 * hence the exponents are one less. */
CLMUL_TARGET static inline __m128i crc64_fold(__m128i acc, __m128i k, __m128i next)
{
	__m128i lo = _mm_clmulepi64_si128(acc, k, 0x00);
	__m128i hi = _mm_clmulepi64_si128(acc, k, 0x11);

	return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

CLMUL_TARGET static inline __m128i crc64_load(const unsigned char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

CLMUL_TARGET static uint64_t crc64_clmul(uint64_t state, const unsigned char *p, size_t len)
{
	const size_t stride = 16 * CRC64_LANES;
	const __m128i k1024 = _mm_set_epi64x((long long)0x5f852fb61e8d92dcULL, (long long)0xa1ca681e733f9c40ULL);
	const __m128i k128 = _mm_set_epi64x((long long)0x21e9761e252621acULL, (long long)0xeadc41fd2ba3d420ULL);
	__m128i acc[CRC64_LANES];
	unsigned char last[16];

	if (len < 2 * stride)
		return crc64_sliced(state, p, len);
	for (int i = 0; i < CRC64_LANES; i++)
		acc[i] = crc64_load(p + 16 * i);
	acc[0] = _mm_xor_si128(acc[0], _mm_set_epi64x(0, (long long)state));
	for (p += stride, len -= stride; len >= stride; p += stride, len -= stride) {
#pragma GCC unroll 8
		for (int i = 0; i < CRC64_LANES; i++)
			acc[i] = crc64_fold(acc[i], k1024, crc64_load(p + 16 * i));
	}
	for (int i = 1; i < CRC64_LANES; i++)
		acc[0] = crc64_fold(acc[0], k128, acc[i]);
	for (; len >= 16; p += 16, len -= 16)
		acc[0] = crc64_fold(acc[0], k128, crc64_load(p));
	/* What is left is congruent to all bytes so far: the tables reduce it like any 16 bytes. */
	_mm_storeu_si128((__m128i *)(void *)last, acc[0]);
	return crc64_sliced(crc64_sliced(0, last, sizeof last), p, len);
}
#endif

static void crc64_setup(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? POLY_CRC64NVME : 0);
		crc64_tab[0][i] = v;
	}
	for (unsigned k = 1; k < 8; k++)
		for (unsigned i = 0; i < 256; i++) {
			uint64_t v = crc64_tab[k - 1][i];

			crc64_tab[k][i] = crc64_tab[0][v & 0xff] ^ v >> 8;
		}
	crc64_kernel = crc64_sliced;
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
		crc64_kernel = crc64_clmul;
#endif
}

uint64_t checksum_crc64nvme(uint64_t crc, const void *p, size_t len)
{
	pthread_once(&crc64_once, crc64_setup);
	return ~crc64_kernel(~crc, p, len);
}

/* ---- Combining ---------------------------------------------------------------------------------------------------- */
struct crc_poly {
	uint64_t poly;
	unsigned width;
	uint64_t power[64]; /* x^(8 * 2^i): a length is a product of some of them */
};
static struct crc_poly crc32c_poly = {.poly = POLY_CRC32C, .width = 32};
static struct crc_poly crc32_poly = {.poly = POLY_CRC32, .width = 32};
static struct crc_poly crc64nvme_poly = {.poly = POLY_CRC64NVME, .width = 64};
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

/* a * b mod the polynomial, all reflected in the low `width` bits. */
static uint64_t gf2_mul(uint64_t a, uint64_t b, const struct crc_poly *p)
{
	uint64_t sum = 0;

	for (unsigned bit = p->width; bit-- > 0;) {
		sum ^= b & -(a >> bit & 1);
		b = b >> 1 ^ (p->poly & -(b & 1));
	}
	return sum;
}

static void powers_setup(void)
{
	struct crc_poly *all[] = {&crc32c_poly, &crc32_poly, &crc64nvme_poly};

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		struct crc_poly *p = all[i];

		p->power[0] = 1ULL << (p->width - 1 - 8); /* x^8 */
		for (unsigned k = 1; k < ARRAY_SIZE(p->power); k++)
			p->power[k] = gf2_mul(p->power[k - 1], p->power[k - 1], p);
	}
}

/* The register behind len zero bytes. */
static uint64_t shift(uint64_t a, uint64_t len, const struct crc_poly *p)
{
	pthread_once(&powers_once, powers_setup);
	for (; len && a; len &= len - 1)
		a = gf2_mul(a, p->power[__builtin_ctzll(len)], p);
	return a;
}

/* crc(A|B) = crc(A) * x^(8 * len(B)) + crc(B): the inversions at both ends cancel out. */
uint32_t checksum_crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b)
{
	return (uint32_t)shift(a, len_b, &crc32c_poly) ^ b;
}

uint32_t checksum_crc32_combine(uint32_t a, uint32_t b, uint64_t len_b)
{
	return (uint32_t)shift(a, len_b, &crc32_poly) ^ b;
}

uint64_t checksum_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t len_b)
{
	return shift(a, len_b, &crc64nvme_poly) ^ b;
}

uint32_t checksum_crc32c_zeros(uint64_t len)
{
	return ~(uint32_t)shift(UINT32_MAX, len, &crc32c_poly);
}

uint64_t checksum_crc64nvme_zeros(uint64_t len)
{
	return ~shift(UINT64_MAX, len, &crc64nvme_poly);
}
