/* SPDX-License-Identifier: Apache-2.0
 *
 * Codecs: vectors of RFC 4648, RFC 3986 and RFC 4122, and what must be refused.
 */
#include "unit/base/unit.h"

#include <errno.h>

#include "base/codec.h"
#include "base/macros.h"

static void hex(void **state)
{
	unsigned char out[4];
	char text[9];

	hex_encode("\x00\x7f\xab\xff", 4, text);
	assert_string_equal(text, "007fabff");
	hex_encode(NULL, 0, text);
	assert_string_equal(text, "");
	assert_int_equal(hex_decode(STR_LIT("007FabFf"), out, 4), 4);
	assert_memory_equal(out, "\x00\x7f\xab\xff", 4);
	assert_int_equal(hex_decode(STR_LIT(""), out, 4), 0);
	assert_int_equal(hex_decode(STR_LIT("007"), out, 4), -EINVAL);
	assert_int_equal(hex_decode(STR_LIT("0g"), out, 4), -EINVAL);
	assert_int_equal(hex_decode(STR_LIT("0011223344"), out, 4), -EINVAL);
}

static void base64_vectors(void **state)
{
	static const char *const pairs[][2] = {
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "+/+/"},
	};
	unsigned char out[16];
	char text[16];

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		size_t len = strlen(pairs[i][0]);

		assert_int_equal(base64_encode(pairs[i][0], len, text), strlen(pairs[i][1]));
		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(base64_decode(str_of(pairs[i][1]), out, len), len);
		assert_memory_equal(out, pairs[i][0], len);
	}
}

static void base64_refuses(void **state)
{
	static const char *const bad[] = {
		"Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zh==", "Zm9=", "Zm9v\n", "Zm 9", "Zg==Zg==", "Zm9_", "Z=g=",
	};
	unsigned char out[16];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(base64_decode(str_of(bad[i]), out, sizeof out), -EINVAL);
	assert_int_equal(base64_decode(STR_LIT("Zm9v"), out, 2), -EINVAL);
}

static void every_byte_survives_the_codecs(void **state)
{
	unsigned char all[256], out[256];
	char text[513];

	for (int i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	for (size_t len = 0; len <= 256; len++) {
		CLEANUP_BUF struct buf b = BUF_INIT, back = BUF_INIT;

		base64_encode(all, len, text);
		assert_int_equal(base64_decode(str_of(text), out, sizeof out), len);
		assert_memory_equal(out, all, len);
		percent_encode(&b, (struct str){(char *)all, len}, false);
		assert_int_equal(percent_decode(&back, buf_str(&b), true), 0);
		assert_true(str_eq(buf_str(&back), (struct str){(char *)all, len}));
	}
}

static void percent(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	percent_encode(&b, STR_LIT("az-AZ.09_~/ +\xc3\xa4"), true);
	assert_string_equal(buf_cstr(&b), "az-AZ.09_~/%20%2B%C3%A4");
	buf_reset(&b);
	percent_encode(&b, STR_LIT("a/b"), false);
	assert_string_equal(buf_cstr(&b), "a%2Fb");
	buf_reset(&b);
	assert_int_equal(percent_decode(&b, STR_LIT("a%2fb%2F+c"), true), 0);
	assert_string_equal(buf_cstr(&b), "a/b/ c");
	buf_reset(&b);
	assert_int_equal(percent_decode(&b, STR_LIT("a+b"), false), 0);
	assert_string_equal(buf_cstr(&b), "a+b");
	assert_int_equal(percent_decode(&b, STR_LIT("%"), false), -EINVAL);
	assert_int_equal(percent_decode(&b, STR_LIT("%4"), false), -EINVAL);
	assert_int_equal(percent_decode(&b, STR_LIT("%4x"), false), -EINVAL);
}

static void uuids(void **state)
{
	static const char text[] = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"; /* RFC 4122 section 3 */
	uint8_t id[16], other[16];
	char out[UUID_TEXT_LEN + 1];

	assert_int_equal(uuid_parse(str_of(text), id), 0);
	assert_int_equal(id[0], 0xf8);
	assert_int_equal(id[15], 0xf6);
	uuid_format(id, out);
	assert_string_equal(out, text);
	assert_int_equal(uuid_parse(STR_LIT("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"), other), 0);
	assert_memory_equal(id, other, 16);
	assert_int_equal(uuid_parse(STR_LIT("f81d4fae-7dec-11d0-a765-00a0c91e6bf"), id), -EINVAL);
	assert_int_equal(uuid_parse(STR_LIT("f81d4fae-7dec-11d0-a76-500a0c91e6bf6"), id), -EINVAL);
	assert_int_equal(uuid_parse(STR_LIT("g81d4fae-7dec-11d0-a765-00a0c91e6bf6"), id), -EINVAL);
	assert_memory_equal(id, other, 16);
	for (int i = 0; i < 100; i++) {
		uuid_random(id);
		assert_int_equal(id[6] >> 4, 4);
		assert_int_equal(id[8] >> 6, 2);
		assert_memory_not_equal(id, other, 16);
		memcpy(other, id, 16);
	}
	assert_int_not_equal(random_u64(), random_u64());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex),
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(every_byte_survives_the_codecs),
		cmocka_unit_test(percent),
		cmocka_unit_test(uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
