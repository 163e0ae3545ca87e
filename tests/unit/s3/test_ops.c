/* SPDX-License-Identifier: Apache-2.0
 *
 * The operation table: every row is reached by the request that it describes, and by no other row's; what is not in it is
 * refused. Ranges.
 */
#include "unit/base/unit.h"

#include "s3/request.h"

static unsigned add_markers(const struct s3_op *op, struct uri_param *q)
{
	struct str rest = str_of(op->query), marker;
	unsigned n = 0;

	while (rest.len && str_split(&rest, '&', &marker)) {
		ptrdiff_t eq = str_find(marker, '=', 0);
		q[n].name = eq < 0 ? marker : str_sub(marker, 0, (size_t)eq);
		q[n++].value = eq < 0 ? STR_LIT("") : str_sub(marker, (size_t)eq + 1, marker.len - (size_t)eq - 1);
	}
	return n;
}

static const struct s3_op *find(const struct s3_op *op, const char *extra_param, const char *extra_header)
{
	struct uri_param q[8];
	struct http_header h[4];
	unsigned nq = add_markers(op, q), nh = 0;

	if (extra_param)
		q[nq++] = (struct uri_param){str_of(extra_param), STR_LIT("x")};
	if (op->header)
		h[nh++] = (struct http_header){str_of(op->header), STR_LIT("v")};
	if (extra_header)
		h[nh++] = (struct http_header){str_of(extra_header), STR_LIT("v")};
	return s3_op_find(str_of(op->method), op->scope, q, nq, h, nh);
}

static void no_row_shadows_another(void **state)
{
	for (size_t i = 0; i < s3_ops_count; i++) {
		const struct s3_op *op = &s3_ops[i];

		assert_ptr_equal(find(op, NULL, NULL), op);
		/* Parameters and headers that mean nothing here change nothing. */
		assert_ptr_equal(find(op, "x-id", NULL), op);
		assert_ptr_equal(find(op, "versionId", "Range"), op);
		for (size_t k = 0; k < s3_ops_count; k++)
			if (k != i && str_eqc(str_of(op->name), s3_ops[k].name))
				fail_msg("%s is there twice", op->name);
	}
}

static void rows_are_complete(void **state)
{
	for (size_t i = 0; i < s3_ops_count; i++) {
		const struct s3_op *op = &s3_ops[i];

		assert_non_null(op->run);
		assert_true(str_starts(str_of(op->action), STR_LIT("s3:")));
		assert_true(op->body != S3_BODY_STREAM || op->begin != NULL);
	}
}

static void markers_decide(void **state)
{
	struct uri_param q[2] = {{STR_LIT("list-type"), STR_LIT("2")}, {STR_LIT("uploadId"), STR_LIT("1")}};
	struct http_header h = {STR_LIT("X-Amz-Copy-Source"), STR_LIT("a/b")};

	assert_string_equal(s3_op_find(STR_LIT("GET"), S3_BUCKET, q, 1, NULL, 0)->name, "ListObjectsV2");
	q[0].value = STR_LIT("3");
	assert_string_equal(s3_op_find(STR_LIT("GET"), S3_BUCKET, q, 1, NULL, 0)->name, "ListObjects");
	assert_string_equal(s3_op_find(STR_LIT("PUT"), S3_OBJECT, NULL, 0, &h, 1)->name, "CopyObject");
	assert_string_equal(s3_op_find(STR_LIT("PUT"), S3_OBJECT, NULL, 0, NULL, 0)->name, "PutObject");
	q[0] = (struct uri_param){STR_LIT("partNumber"), STR_LIT("1")};
	assert_string_equal(s3_op_find(STR_LIT("PUT"), S3_OBJECT, q, 2, NULL, 0)->name, "UploadPart");
	assert_string_equal(s3_op_find(STR_LIT("PUT"), S3_OBJECT, q, 2, &h, 1)->name, "UploadPartCopy");
	assert_null(s3_op_find(STR_LIT("PATCH"), S3_OBJECT, NULL, 0, NULL, 0));
	assert_null(s3_op_find(STR_LIT("POST"), S3_SERVICE, NULL, 0, NULL, 0));
	assert_null(s3_op_find(STR_LIT("put"), S3_OBJECT, NULL, 0, NULL, 0));
}

struct range_case {
	const char *text;
	uint64_t size;
	enum s3_range_kind kind;
	uint64_t off, len;
};

static void ranges(void **state)
{
	static const struct range_case cases[] = {
		{"bytes=0-0", 10, S3_RANGE_OK, 0, 1},
		{"bytes=0-9", 10, S3_RANGE_OK, 0, 10},
		{"bytes=5-", 10, S3_RANGE_OK, 5, 5},
		{"bytes=5-100", 10, S3_RANGE_OK, 5, 5},
		{"bytes=-3", 10, S3_RANGE_OK, 7, 3},
		{"bytes=-30", 10, S3_RANGE_OK, 0, 10},
		{" bytes=1-2 ", 10, S3_RANGE_OK, 1, 2},
		{"BYTES=1-2", 10, S3_RANGE_OK, 1, 2},
		{"bytes=9-18446744073709551615", 10, S3_RANGE_OK, 9, 1},
		{"bytes=0-4398046511103", 1ull << 42, S3_RANGE_OK, 0, 1ull << 42},
		{"bytes=10-", 10, S3_RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=10-12", 10, S3_RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-0", 10, S3_RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=0-", 0, S3_RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=-5", 0, S3_RANGE_UNSATISFIABLE, 0, 0},
		{"bytes=5-4", 10, S3_RANGE_NONE, 0, 0},
		{"bytes=0-1,3-4", 10, S3_RANGE_NONE, 0, 0},
		{"bytes=a-b", 10, S3_RANGE_NONE, 0, 0},
		{"bytes=-", 10, S3_RANGE_NONE, 0, 0},
		{"bytes=", 10, S3_RANGE_NONE, 0, 0},
		{"bytes=+1-2", 10, S3_RANGE_NONE, 0, 0},
		{"bytes=99999999999999999999-", 10, S3_RANGE_NONE, 0, 0},
		{"items=0-1", 10, S3_RANGE_NONE, 0, 0},
		{"", 10, S3_RANGE_NONE, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t off = 0, len = 0;

		assert_int_equal(s3_range_parse(str_of(cases[i].text), cases[i].size, &off, &len), cases[i].kind);
		if (cases[i].kind != S3_RANGE_OK)
			continue;
		assert_int_equal(off, cases[i].off);
		assert_int_equal(len, cases[i].len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_row_shadows_another),
		cmocka_unit_test(rows_are_complete),
		cmocka_unit_test(markers_decide),
		cmocka_unit_test(ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
