/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers: content, growth, the sticky error.
 */
#include "unit/base/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"

static void texts_add_up(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_add_c(&b, "one ");
	buf_add_str(&b, STR_LIT("two "));
	buf_add_char(&b, '3');
	buf_add(&b, NULL, 0);
	buf_addf(&b, " %s%c", "fou", 'r');
	buf_add_char(&b, ' ');
	buf_add_u64(&b, 0);
	buf_add_char(&b, ' ');
	buf_add_u64(&b, UINT64_MAX);
	assert_string_equal(buf_cstr(&b), "one two 3 four 0 18446744073709551615");
	assert_int_equal(buf_err(&b), 0);
	assert_int_equal(b.len, strlen(b.data));
}

static void integers_have_their_byte_order(void **state)
{
	static const unsigned char want[] = {
		0x02, 0x01, 0x04, 0x03, 0x02, 0x01, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
		0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0, 0,
	};
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_put_le16(&b, 0x0102);
	buf_put_le32(&b, 0x01020304);
	buf_put_le64(&b, 0x0102030405060708);
	buf_put_be64(&b, 0x0102030405060708);
	buf_pad(&b, 8);
	buf_pad(&b, 8);
	assert_int_equal(b.len, sizeof want);
	assert_memory_equal(b.data, want, sizeof want);
}

static void long_formats_grow_the_buffer(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	for (int width = 1; width < 2000; width++) {
		size_t before = b.len;

		buf_addf(&b, "%*d", width, 7);
		assert_int_equal(b.len - before, width);
		assert_int_equal(b.data[b.len - 1], '7');
	}
	assert_int_equal(buf_err(&b), 0);
}

static void reserve_then_commit(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *room = buf_reserve(&b, 100);

	assert_non_null(room);
	memcpy(room, "hello", 5);
	buf_commit(&b, 5);
	assert_true(str_eqc(buf_str(&b), "hello"));
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_cstr(&b), "");
}

static void too_much_sets_a_sticky_error(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t len = 7;

	buf_add_c(&b, "kept");
	assert_null(buf_reserve(&b, SIZE_MAX - 1));
	assert_int_equal(buf_err(&b), -ENOMEM);
	buf_add_c(&b, "dropped");
	buf_addf(&b, "%d", 1);
	buf_add_zero(&b, 3);
	buf_commit(&b, 0);
	assert_int_equal(b.len, 4);
	assert_string_equal(buf_cstr(&b), "");
	assert_null(buf_take(&b, &len));
	assert_int_equal(buf_err(&b), 0);
	assert_null(b.data);
}

static void take_hands_the_memory_over(void **state)
{
	struct buf b = BUF_INIT;
	size_t len;
	char *text;

	text = buf_take(&b, &len);
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
	free(text);
	buf_add(&b, "a\0b", 3);
	text = buf_take(&b, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(text, "a\0b\0", 4);
	assert_null(b.data);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_add_up),
		cmocka_unit_test(integers_have_their_byte_order),
		cmocka_unit_test(long_formats_grow_the_buffer),
		cmocka_unit_test(reserve_then_commit),
		cmocka_unit_test(too_much_sets_a_sticky_error),
		cmocka_unit_test(take_hands_the_memory_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
