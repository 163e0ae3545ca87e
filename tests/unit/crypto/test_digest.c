/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests of known strings, in pieces and at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/codec.h"
#include "crypto/digest.h"

#define ALL (DIGEST_MD5 | DIGEST_SHA256 | DIGEST_CRC32 | DIGEST_SHA1)

static void assert_hex(const uint8_t *p, size_t len, const char *want)
{
	char hex[2 * DIGEST_SHA256_LEN + 1];

	hex_encode(p, len, hex);
	assert_string_equal(hex, want);
}

static void assert_abc(const struct digest_values *v)
{
	assert_hex(v->md5, sizeof v->md5, "900150983cd24fb0d6963f7d28e17f72");
	assert_hex(v->sha1, sizeof v->sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
	assert_hex(v->sha256, sizeof v->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(v->crc32, 0x352441c2);
}

static void known_strings_have_known_digests(void **state)
{
	struct digest_values v = {0};

	(void)state;
	digest_once(ALL, "abc", 3, &v);
	assert_abc(&v);
	digest_once(DIGEST_MD5, "", 0, &v);
	assert_hex(v.md5, sizeof v.md5, "d41d8cd98f00b204e9800998ecf8427e");
}

static void pieces_equal_the_whole(void **state)
{
	struct digest_ctx *d = digest_new();
	struct digest_values v = {0};

	(void)state;
	assert_non_null(d);
	for (unsigned round = 0; round < 2; round++) { /* a context is used again */
		digest_init(d, ALL);
		digest_update(d, "a", 1);
		digest_update(d, "", 0);
		digest_update(d, "bc", 2);
		digest_final(d, &v);
		assert_abc(&v);
	}
	digest_free(d);
}

static void what_was_not_asked_for_stays(void **state)
{
	struct digest_values v = {.crc32 = 7, .md5 = {9}};

	(void)state;
	digest_once(DIGEST_SHA256, "abc", 3, &v);
	assert_int_equal(v.crc32, 7);
	assert_int_equal(v.md5[0], 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_strings_have_known_digests),
		cmocka_unit_test(pieces_equal_the_whole),
		cmocka_unit_test(what_was_not_asked_for_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
