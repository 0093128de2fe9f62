/* Order, removal while iterating, and removing twice. */
#include "test/base/check.h"

#include "base/list.h"

struct item {
	int value;
	struct list node;
};

static void check(const struct list *head, const char *expected)
{
	char text[32];
	size_t len = 0;

	list_for_each (node, head)
		text[len++] = (char)('0' + list_entry(node, struct item, node)->value);
	text[len] = '\0';
	assert_string_equal(text, expected);
	len = 0;
	for (const struct list *node = head->prev; node != head; node = node->prev)
		len++;
	assert_int_equal(len, strlen(expected));
}

static void order(void **state)
{
	struct list head = LIST_HEAD(head);
	struct item items[4] = { { 0 }, { 1 }, { 2 }, { 3 } };

	(void)state;
	assert_true(list_empty(&head));
	check(&head, "");
	list_add_tail(&head, &items[1].node);
	list_add_tail(&head, &items[2].node);
	list_add_head(&head, &items[0].node);
	list_add_tail(&head, &items[3].node);
	check(&head, "0123");
	assert_false(list_empty(&head));
	list_del(&items[1].node);
	check(&head, "023");
	list_del(&items[1].node);
	check(&head, "023");
	list_del(&items[0].node);
	list_del(&items[3].node);
	list_del(&items[2].node);
	assert_true(list_empty(&head));
}

static void removal_while_iterating(void **state)
{
	struct list head;
	struct item items[5] = { { 0 }, { 1 }, { 2 }, { 3 }, { 4 } };

	(void)state;
	list_init(&head);
	for (int i = 0; i < 5; i++)
		list_add_tail(&head, &items[i].node);
	list_for_each_safe (node, &head)
		if (list_entry(node, struct item, node)->value % 2 == 0)
			list_del(node);
	check(&head, "13");
	list_for_each_safe (node, &head)
		list_del(node);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),
		cmocka_unit_test(removal_while_iterating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
