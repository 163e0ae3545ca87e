/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffer pools: alignment, reuse, the limit.
 */
#include "unit/base/unit.h"

#include "base/macros.h"
#include "base/pool.h"
#include "base/thread.h"

static void buffers_are_aligned_and_reused(void **state)
{
	struct pool *p = pool_new(10000, 1, 0);
	void *a = pool_get(p), *b = pool_get(p);

	assert_int_equal(pool_size(p), 10000);
	assert_int_equal((uintptr_t)a % POOL_ALIGN, 0);
	assert_int_equal((uintptr_t)b % POOL_ALIGN, 0);
	memset(a, 1, 10000);
	pool_put(p, a);
	pool_put(p, b);
	assert_ptr_equal(pool_get(p), a);
	pool_put(p, a);
	pool_put(p, NULL);
	assert_null(pool_free(p));
	assert_null(pool_free(NULL));
}

static void no_more_than_max_are_out(void **state)
{
	struct pool *p = pool_new(1, 4, 2);
	void *a = pool_get(p), *b = pool_get(p);

	assert_non_null(b);
	assert_null(pool_get(p));
	pool_put(p, a);
	a = pool_get(p);
	assert_non_null(a);
	pool_put(p, a);
	pool_put(p, b);
	pool_free(p);
}

static void *churn(void *arg)
{
	for (int i = 0; i < 2000; i++) {
		char *b = pool_get(arg);

		if (b)
			*b = (char)i;
		pool_put(arg, b);
	}
	return NULL;
}

static void threads_share_a_pool(void **state)
{
	struct pool *p = pool_new(4096, 2, 3);
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(thread_start(&t[i], "qn-churn", churn, p), 0);
	for (int i = 0; i < 4; i++)
		thread_join(t[i]);
	pool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_are_aligned_and_reused),
		cmocka_unit_test(no_more_than_max_are_out),
		cmocka_unit_test(threads_share_a_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
