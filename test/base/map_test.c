/* Against a plain model with many operations, and the small rules: order, free function, iteration with
 * removal. */
#include "test/base/check.h"

#include "base/map.h"

static int freed;

static void count_free(void *value)
{
	freed++;
	free(value);
}

static void put_get_take(void **state)
{
	struct map map;
	int a = 1, b = 2;

	(void)state;
	map_init(&map, NULL);
	assert_null(map_get(&map, "x"));
	assert_null(map_take(&map, "x"));
	assert_false(map_del(&map, "x"));
	map_put(&map, "x", &a);
	map_put(&map, "", &b);
	assert_ptr_equal(map_get(&map, "x"), &a);
	assert_ptr_equal(map_get(&map, ""), &b);
	map_put(&map, "x", &b);
	assert_ptr_equal(map_get(&map, "x"), &b);
	assert_int_equal(map_len(&map), 2);
	assert_ptr_equal(map_take(&map, "x"), &b);
	assert_null(map_get(&map, "x"));
	assert_int_equal(map_len(&map), 1);
	map_done(&map);
	assert_int_equal(map_len(&map), 0);
	map_done(&map);
}

static void values_are_freed_once(void **state)
{
	struct map map;

	(void)state;
	freed = 0;
	map_init(&map, count_free);
	map_put(&map, "a", xstrdup("1"));
	map_put(&map, "a", xstrdup("2"));
	assert_int_equal(freed, 1);
	map_put(&map, "a", map_get(&map, "a"));
	assert_int_equal(freed, 1);
	map_put(&map, "b", xstrdup("3"));
	map_put(&map, "c", xstrdup("4"));
	assert_true(map_del(&map, "b"));
	assert_int_equal(freed, 2);
	free(map_take(&map, "c"));
	assert_int_equal(freed, 2);
	map_done(&map);
	assert_int_equal(freed, 3);
}

static void iteration_in_order_of_insertion(void **state)
{
	struct map map;
	int value = 0, seen = 0;
	char key[16];

	(void)state;
	map_init(&map, NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		map_put(&map, key, &value);
	}
	map_del(&map, "k50");
	map_put(&map, "k50", &value);
	map_for_each (slot, &map) {
		int number = seen < 50 ? seen : seen == 99 ? 50 : seen + 1;
		snprintf(key, sizeof(key), "k%d", number);
		assert_string_equal(slot->key, key);
		seen++;
	}
	assert_int_equal(seen, 100);
	map_for_each (slot, &map)
		map_del(&map, slot->key);
	assert_int_equal(map_len(&map), 0);
	assert_null(map_next(&map, NULL));
	map_done(&map);
}

/* 200k random operations on 500 keys against an array. */
static void behaves_like_a_model(void **state)
{
	static char values[500];
	bool present[500] = { false };
	struct map map;
	unsigned int random = 1;
	size_t len = 0;

	(void)state;
	map_init(&map, NULL);
	for (int i = 0; i < 200000; i++) {
		char key[16];
		random = random * 1103515245 + 12345;
		size_t number = (random >> 8) % ARRAY_LEN(values);
		snprintf(key, sizeof(key), "key-%zu", number);
		assert_int_equal(map_get(&map, key) != NULL, present[number]);
		if ((random >> 20) % 2) {
			map_put(&map, key, &values[number]);
			len += !present[number];
			present[number] = true;
		} else {
			assert_int_equal(map_del(&map, key), present[number]);
			len -= present[number];
			present[number] = false;
		}
		assert_int_equal(map_len(&map), len);
	}
	map_for_each (slot, &map)
		assert_true(present[(char *)slot->value - values]);
	assert_true(map.size <= 4096); /* holes are reused, not piled up */
	map_done(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_get_take),
		cmocka_unit_test(values_are_freed_once),
		cmocka_unit_test(iteration_in_order_of_insertion),
		cmocka_unit_test(behaves_like_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
