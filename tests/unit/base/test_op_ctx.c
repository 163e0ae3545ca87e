/* SPDX-License-Identifier: Apache-2.0
 *
 * The operation context: detail of an error, lifetime of its arena.
 */
#include "unit/base/unit.h"

#include "base/err.h"
#include "base/op_ctx.h"

static void fail_notes_the_cause(void **state)
{
	struct op_ctx ctx;
	char wide[400];

	op_ctx_init(&ctx, OP_FUSE);
	assert_int_equal(ctx.origin, OP_FUSE);
	assert_string_equal(ctx.detail, "");
	assert_int_equal(op_fail(&ctx, -QE_CORRUPT, "cell %d", 3), -QE_CORRUPT);
	assert_string_equal(ctx.detail, "cell 3");
	memset(wide, 'w', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	op_fail(&ctx, -QE_CORRUPT, "%s", wide);
	assert_int_equal(strlen(ctx.detail), sizeof ctx.detail - 1);
	assert_int_equal(op_fail(NULL, -QE_BUSY, "nobody"), -QE_BUSY);
	arena_alloc(&ctx.arena, 100);
	op_ctx_done(&ctx);
}

static void request_ids_differ(void **state)
{
	struct op_ctx a, b;

	op_ctx_init(&a, OP_S3);
	op_ctx_init(&b, OP_S3);
	assert_int_not_equal(a.request_id, b.request_id);
	op_ctx_done(&a);
	op_ctx_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fail_notes_the_cause),
		cmocka_unit_test(request_ids_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
