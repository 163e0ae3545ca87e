/* SPDX-License-Identifier: Apache-2.0
 *
 * Hash table and hash function.
 */
#include "unit/base/unit.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/macros.h"

#define COUNT 5000

struct item {
	struct hash_node node;
	unsigned key;
};

static struct item items[COUNT];

static struct item *lookup(const struct hash *h, unsigned key)
{
	for (struct hash_node *n = hash_first(h, hash_u64(key)); n; n = hash_next(n)) {
		struct item *it = CONTAINER_OF(n, struct item, node);

		if (it->key == key)
			return it;
	}
	return NULL;
}

static void fill(struct hash *h)
{
	hash_init(h);
	for (unsigned i = 0; i < COUNT; i++) {
		items[i].key = i;
		hash_insert(h, hash_u64(i), &items[i].node);
	}
}

static void finds_what_was_inserted_and_not_removed(void **state)
{
	CLEANUP(hash_done) struct hash h;

	fill(&h);
	assert_int_equal(h.count, COUNT);
	for (unsigned i = 0; i < COUNT; i += 2)
		hash_remove(&h, &items[i].node);
	assert_int_equal(h.count, COUNT / 2);
	for (unsigned i = 0; i < COUNT; i++)
		assert_ptr_equal(lookup(&h, i), i % 2 ? &items[i] : NULL);
	assert_null(lookup(&h, COUNT));
}

static void equal_hashes_are_all_visited(void **state)
{
	CLEANUP(hash_done) struct hash h;
	unsigned seen = 0;

	hash_init(&h);
	assert_null(hash_first(&h, 42));
	for (unsigned i = 0; i < 100; i++) {
		items[i].key = i;
		hash_insert(&h, i % 4, &items[i].node);
	}
	for (struct hash_node *n = hash_first(&h, 2); n; n = hash_next(n), seen++)
		assert_int_equal(CONTAINER_OF(n, struct item, node)->key % 4, 2);
	assert_int_equal(seen, 25);
}

struct walk {
	struct hash *h;
	unsigned seen;
	unsigned stop_at;
};

static bool remove_odd(struct hash_node *n, void *arg)
{
	struct walk *w = arg;

	if (CONTAINER_OF(n, struct item, node)->key % 2)
		hash_remove(w->h, n);
	return ++w->seen == w->stop_at;
}

static void each_allows_removal_and_stops(void **state)
{
	CLEANUP(hash_done) struct hash h;
	struct walk w = {.h = &h};

	fill(&h);
	hash_each(&h, remove_odd, &w);
	assert_int_equal(w.seen, COUNT);
	assert_int_equal(h.count, COUNT / 2);
	w = (struct walk){.h = &h, .stop_at = 7};
	hash_each(&h, remove_odd, &w);
	assert_int_equal(w.seen, 7);
}

/* Every bit of the input moves about half of the output, for each way that the function loads its input. */
static void input_bits_spread(void **state)
{
	unsigned char in[67];

	for (size_t len = 1; len <= sizeof in; len++) {
		for (size_t i = 0; i < len; i++)
			in[i] = (unsigned char)rand();
		for (size_t bit = 0; bit < 8 * len; bit++) {
			uint64_t before = hash_bytes(in, len), after;

			in[bit / 8] ^= (unsigned char)(1 << bit % 8);
			after = hash_bytes(in, len);
			assert_in_range(__builtin_popcountll(before ^ after), 6, 58);
		}
	}
}

static void length_counts(void **state)
{
	static const unsigned char zeros[64];

	for (size_t a = 0; a < sizeof zeros; a++)
		for (size_t b = 0; b < a; b++)
			assert_int_not_equal(hash_bytes(zeros, a), hash_bytes(zeros, b));
	assert_int_equal(hash_bytes(NULL, 0), hash_bytes(zeros, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_inserted_and_not_removed),
		cmocka_unit_test(equal_hashes_are_all_visited),
		cmocka_unit_test(each_allows_removal_and_stops),
		cmocka_unit_test(input_bits_spread),
		cmocka_unit_test(length_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
