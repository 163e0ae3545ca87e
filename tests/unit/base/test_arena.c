/* SPDX-License-Identifier: Apache-2.0
 *
 * Arenas: alignment, survival of earlier pieces, reset.
 */
#include "unit/base/unit.h"

#include "base/arena.h"

static void pieces_are_aligned_and_keep_their_bytes(void **state)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;
	unsigned char *pieces[500];
	size_t sizes[500];

	for (unsigned i = 0; i < 500; i++) {
		sizes[i] = (i * 37) % (i % 50 == 0 ? 20000 : 300);
		pieces[i] = arena_alloc(&a, sizes[i]);
		assert_int_equal((uintptr_t)pieces[i] % 16, 0);
		memset(pieces[i], (int)i & 0xff, sizes[i]);
	}
	for (unsigned i = 0; i < 500; i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i & 0xff);
}

static void zalloc_is_zero_after_reset(void **state)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;
	unsigned char *p;

	memset(arena_alloc(&a, 1000), 0xff, 1000);
	memset(arena_alloc(&a, 100000), 0xff, 100000);
	arena_reset(&a);
	p = arena_zalloc(&a, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
}

static void reset_keeps_one_block(void **state)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;
	void *head;

	for (int i = 0; i < 100; i++)
		arena_alloc(&a, 1500);
	arena_reset(&a);
	head = a.head;
	assert_non_null(head);
	arena_alloc(&a, 1500);
	assert_ptr_equal(a.head, head);
}

static void reset_of_only_large_pieces(void **state)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;

	arena_alloc(&a, 50000);
	arena_reset(&a);
	assert_null(a.head);
	memset(arena_alloc(&a, 16), 1, 16);
}

static void copies(void **state)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;
	struct str s = arena_str(&a, (struct str){"abcdef", 3});

	assert_int_equal(s.len, 3);
	assert_string_equal(s.p, "abc");
	assert_string_equal(arena_str(&a, (struct str){NULL, 0}).p, "");
	assert_memory_equal(arena_dup(&a, "xyz", 3), "xyz", 3);
	assert_non_null(arena_dup(&a, NULL, 0));
	assert_string_equal(arena_printf(&a, "%s-%d", "n", 42), "n-42");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_and_keep_their_bytes),
		cmocka_unit_test(zalloc_is_zero_after_reset),
		cmocka_unit_test(reset_keeps_one_block),
		cmocka_unit_test(reset_of_only_large_pieces),
		cmocka_unit_test(copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
