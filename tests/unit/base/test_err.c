/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors: rows of the table, plain errno values, and numbers that are neither.
 */
#include "unit/base/unit.h"

#include "base/err.h"
#include "base/macros.h"

static void every_row_is_found(void **state)
{
	static const struct {
		int code;
		int eno;
		int http;
		const char *s3;
	} all[] = {
#define X(sym, num, eno, s3, http, cls, text) {num, eno, http, s3},
		QUOIN_ERRTAB(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct err_info *row = err_lookup(-all[i].code);

		assert_int_equal(row->code, all[i].code);
		assert_int_equal(row->sys_errno, all[i].eno);
		assert_int_equal(row->http_status, all[i].http);
		assert_string_equal(row->s3_code, all[i].s3);
		assert_true(row->sys_errno > 0 && row->sys_errno < 200);
		assert_ptr_equal(err_text(-all[i].code), row->text);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(all[k].code, all[i].code);
	}
}

static void symbols_and_classes(void **state)
{
	assert_string_equal(err_lookup(-QE_NO_SUCH_KEY)->symbol, "QE_NO_SUCH_KEY");
	assert_true(err_is(-QE_NO_SUCH_KEY, ERR_CLIENT));
	assert_true(err_is(-QE_BUSY, ERR_RETRY));
	assert_true(err_is(-QE_CORRUPT, ERR_CORRUPT));
	assert_true(err_is(-QE_INTERNAL, ERR_INTERNAL));
	assert_false(err_is(0, ERR_INTERNAL));
}

static void plain_errno_values_keep_their_number(void **state)
{
	assert_string_equal(err_lookup(-ENOENT)->s3_code, "NoSuchKey");
	assert_string_equal(err_lookup(-ENOSPC)->s3_code, "XQuoinStorageFull");
	assert_int_equal(err_lookup(-EROFS)->http_status, 503);
	assert_string_equal(err_lookup(-EBADF)->s3_code, "InternalError");
	for (int eno = 1; eno < 134; eno++) {
		assert_int_equal(err_errno(-eno), eno);
		assert_int_equal(err_lookup(-eno)->code, eno);
	}
	assert_string_equal(err_lookup(-EBADF)->symbol, "EBADF");
	assert_string_equal(err_text(-EBADF), "Bad file descriptor");
	assert_non_null(err_text(-41)); /* unassigned */
}

static void unknown_numbers_are_internal(void **state)
{
	static const int odd[] = {0, 1, -256, -1000, -1010, -1089, -5000, -2147483647 - 1, 2147483647};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_int_equal(err_lookup(odd[i])->code, QE_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_found),
		cmocka_unit_test(symbols_and_classes),
		cmocka_unit_test(plain_errno_values_keep_their_number),
		cmocka_unit_test(unknown_numbers_are_internal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
