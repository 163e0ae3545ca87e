/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists: order, removal while walking, splicing.
 */
#include "unit/base/unit.h"

#include "base/list.h"

struct item {
	struct list node;
	int v;
};

static int number(struct list *head)
{
	int n = 0;

	LIST_FOREACH(it, head)
		n = n * 10 + LIST_ENTRY(it, struct item, node)->v;
	return n;
}

static void order_and_removal(void **state)
{
	struct item a = {.v = 1}, b = {.v = 2}, c = {.v = 3};
	struct list head = LIST_INIT(head);

	assert_true(list_empty(&head));
	assert_null(list_pop(&head));
	list_add_tail(&head, &b.node);
	list_add_tail(&head, &c.node);
	list_add_head(&head, &a.node);
	assert_int_equal(number(&head), 123);
	list_del(&b.node);
	assert_true(list_empty(&b.node));
	assert_int_equal(number(&head), 13);
	LIST_FOREACH_SAFE(it, &head)
		list_del(it);
	assert_true(list_empty(&head));
}

static void splice_moves_all(void **state)
{
	struct item items[5] = {{.v = 1}, {.v = 2}, {.v = 3}, {.v = 4}, {.v = 5}};
	struct list x = LIST_INIT(x), y = LIST_INIT(y);

	for (int i = 0; i < 5; i++)
		list_add_tail(i < 2 ? &x : &y, &items[i].node);
	list_splice_tail(&x, &y);
	assert_true(list_empty(&y));
	assert_int_equal(number(&x), 12345);
	list_splice_tail(&x, &y);
	assert_int_equal(number(&x), 12345);
	list_splice_tail(&y, &x);
	assert_int_equal(number(&y), 12345);
	assert_ptr_equal(list_pop(&y), &items[0].node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_and_removal),
		cmocka_unit_test(splice_moves_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
