/* SPDX-License-Identifier: Apache-2.0
 *
 * aws-chunked bodies: the documentation's example in every fragmentation, trailers, and hostile framing.
 */
#include "unit/base/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "s3/chunked.h"

#define SECRET STR_LIT("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

static void chain_start(struct sigv4_chain *c, const char *seed)
{
	struct sigv4_auth a = {.form = SIGV4_HEADER,
	                       .date = STR_LIT("20130524"),
	                       .region = STR_LIT("us-east-1"),
	                       .service = STR_LIT("s3"),
	                       .amz_date = STR_LIT("20130524T000000Z"),
	                       .signature = str_of(seed)};
	struct sigv4_key key;

	sigv4_key_make(&key, SECRET, a.date, a.region, a.service);
	assert_int_equal(sigv4_chain_init(c, &a, &key), 0);
}

/* Feeds body in pieces of `step` with room for `room` bytes at a time. 0 or the error; data is appended to out. */
static int decode(struct s3_chunked *c, struct str body, size_t step, size_t room, struct buf *out)
{
	for (size_t at = 0; at < body.len; at += step) {
		size_t len = MIN(step, body.len - at), used = 0;
		char *piece = malloc(len); /* so that a byte too far is seen by ASan */

		memcpy(piece, body.p + at, len);
		while (used < len) {
			struct str data;
			ssize_t n = s3_chunked_feed(c, piece + used, len - used, room, &data);
			if (n < 0) {
				free(piece);
				return (int)n;
			}
			assert_true(n > 0 && data.len <= room);
			buf_add_str(out, data);
			used += (size_t)n;
		}
		free(piece);
	}
	return s3_chunked_end(c);
}

static void add_chunk(struct buf *b, struct sigv4_chain *c, const char *data, size_t len)
{
	char sig[SIGV4_HEX + 1];
	uint8_t sha[32];

	sigv4_sha256(data, len, sha);
	if (c) {
		sigv4_chain_sign_chunk(c, sha, sig);
		buf_addf(b, "%zx;chunk-signature=%s\r\n", len, sig);
	} else {
		buf_addf(b, "%zx\r\n", len);
	}
	buf_add(b, data, len);
	if (len)
		buf_add_c(b, "\r\n");
}

static const char seed[] = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

static void documentation_example(void **state)
{
	static const size_t steps[] = {1, 2, 3, 7, 85, 86, 87, 1000, 65536, 65537, 1u << 20};
	static const size_t rooms[] = {1, 100, 65536, 1u << 20};
	struct sigv4_chain signer;
	struct buf body = BUF_INIT, out = BUF_INIT;
	char *a = malloc(65536);

	memset(a, 'a', 65536);
	buf_addf(&body, "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n");
	buf_add(&body, a, 65536);
	buf_add_c(&body, "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n");
	buf_add(&body, a, 1024);
	buf_add_c(&body, "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		for (size_t k = 0; k < ARRAY_SIZE(rooms); k++) {
			struct s3_chunked c;
			chain_start(&signer, seed);
			s3_chunked_init(&c, &signer, false);
			buf_reset(&out);
			assert_int_equal(decode(&c, buf_str(&body), steps[i], rooms[k], &out), 0);
			assert_int_equal(out.len, 66560);
			assert_memory_equal(out.data, a, 65536);
		}
	buf_free(&body);
	buf_free(&out);
	free(a);
}

/* Every split of a short body into two, and byte by byte, in all four forms. */
static void every_fragmentation(void **state)
{
	for (int form = 0; form < 4; form++) {
		bool is_signed = form & 1, trailer = form & 2;
		struct sigv4_chain signer, verifier;
		struct buf body = BUF_INIT, out = BUF_INIT;
		char sig[SIGV4_HEX + 1];

		chain_start(&signer, seed);
		chain_start(&verifier, seed);
		add_chunk(&body, is_signed ? &signer : NULL, "hello\r\n0\r\n\r\n", 12);
		add_chunk(&body, is_signed ? &signer : NULL, "world", 5);
		add_chunk(&body, is_signed ? &signer : NULL, "", 0);
		if (trailer)
			buf_add_c(&body, "X-Amz-Checksum-CRC32: AAAAAA==\r\n");
		if (trailer && is_signed) {
			sigv4_chain_sign_trailer(&signer, STR_LIT("x-amz-checksum-crc32:AAAAAA==\n"), sig);
			buf_addf(&body, "x-amz-trailer-signature:%s\r\n", sig);
		}
		buf_add_c(&body, "\r\n");
		for (size_t split = 1; split <= body.len; split++) {
			struct s3_chunked c;
			struct str v;
			s3_chunked_init(&c, is_signed ? &verifier : NULL, trailer);
			buf_reset(&out);
			assert_int_equal(decode(&c, buf_str(&body), split, split % 5 + 1, &out), 0);
			assert_int_equal(out.len, 17);
			assert_memory_equal(out.data, "hello\r\n0\r\n\r\nworld", 17);
			assert_int_equal(s3_chunked_trailer(&c, STR_LIT("x-amz-checksum-crc32"), &v), trailer);
			if (trailer)
				assert_true(str_eqc(v, "AAAAAA=="));
		}
		/* Cut anywhere before its last line end it is incomplete (or its trailer unsigned), never accepted short. */
		for (size_t cut = 0; cut + (trailer ? 40 : 6) < body.len; cut++) {
			struct s3_chunked c;
			s3_chunked_init(&c, is_signed ? &verifier : NULL, trailer);
			buf_reset(&out);
			assert_true(decode(&c, (struct str){body.data, cut}, 13, 100, &out) < 0 || out.len == 17);
		}
		/* A changed byte is noticed when signed. */
		for (size_t at = 0; is_signed && at + 2 < body.len; at++) {
			struct s3_chunked c;
			char was = body.data[at];
			if (was == '\r' || was == '\n' || was == ' ')
				continue;
			body.data[at] = (was | 32) == 'y' ? 'z' : 'y';
			s3_chunked_init(&c, &verifier, trailer);
			buf_reset(&out);
			assert_true(decode(&c, buf_str(&body), 17, 100, &out) < 0);
			body.data[at] = was;
		}
		buf_free(&body);
		buf_free(&out);
	}
}

struct hostile {
	const char *body;
	int rc;
	bool trailer;
};

static void hostile_framing(void **state)
{
	static const struct hostile bad[] = {
		{"", -QE_INCOMPLETE_BODY, false},
		{"5\r\nab", -QE_INCOMPLETE_BODY, false},
		{"5\r\nabcde", -QE_INCOMPLETE_BODY, false},
		{"5\r\nabcde\r\n", -QE_INCOMPLETE_BODY, false},
		{"5\r\nabcdeX\r\n0\r\n\r\n", -QE_INVALID_CHUNK, false},
		{"5\r\nabcde\rX0\r\n\r\n", -QE_INVALID_CHUNK, false},
		{"\r\n", -QE_INVALID_CHUNK, false},
		{"-1\r\n", -QE_INVALID_CHUNK, false},
		{"0x5\r\nabcde\r\n0\r\n\r\n", -QE_INVALID_CHUNK, false},
		{"ffffffffffffffff\r\n", -QE_INVALID_CHUNK, false},
		{"10000000000000000\r\n", -QE_INVALID_CHUNK, false},
		{"5 5\r\nabcde\r\n", -QE_INVALID_CHUNK, false},
		{"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", -QE_MALFORMED_TRAILER, false},
		{"0\r\nno colon\r\n\r\n", -QE_MALFORMED_TRAILER, true},
		{"0\r\n:v\r\n\r\n", -QE_MALFORMED_TRAILER, true},
		{"0\r\n\r\nmore", -QE_INVALID_CHUNK, true},
		{"0\r\na:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\nf:1\r\ng:1\r\nh:1\r\ni:1\r\n\r\n", -QE_MALFORMED_TRAILER, true},
		{"0\r\n\r\n", 0, true},
		{"0\r\n", 0, false},
		{"0\n", 0, false},
		{"0\r\nx-amz-checksum-crc32:AAAAAA==", 0, true},
		{"5;whatever=1\r\nabcde\r\n0\r\n\r\n\r\n", 0, false},
	};
	struct buf out = BUF_INIT;
	char *lone = malloc(2000);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (size_t step = 1; step < 9; step += 7) {
			struct s3_chunked c;
			s3_chunked_init(&c, NULL, bad[i].trailer);
			if (decode(&c, str_of(bad[i].body), step, 100, &out) != bad[i].rc)
				fail_msg("'%s' by %zu", bad[i].body, step);
		}
	memset(lone, '0', 2000); /* a line without an end */
	for (size_t step = 1; step <= 2000; step *= 10) {
		struct s3_chunked c;
		s3_chunked_init(&c, NULL, false);
		assert_int_equal(decode(&c, (struct str){lone, 2000}, step, 100, &out), -QE_INVALID_CHUNK);
		/* Once failed it stays so. */
		assert_int_equal(decode(&c, STR_LIT("0\r\n\r\n"), 5, 100, &out), -QE_INVALID_CHUNK);
	}
	free(lone);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documentation_example),
		cmocka_unit_test(every_fragmentation),
		cmocka_unit_test(hostile_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
