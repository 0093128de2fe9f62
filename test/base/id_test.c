/* Shape and uniqueness of ids. */
#include "test/base/check.h"

#include "base/id.h"
#include "base/map.h"

static void ids_are_valid_and_differ(void **state)
{
	struct map seen;
	char id[ID_SIZE];
	int value = 0;

	(void)state;
	map_init(&seen, NULL);
	for (int i = 0; i < 2000; i++) {
		id_new(id);
		assert_int_equal(strlen(id), ID_LEN);
		assert_true(id_valid(id));
		assert_true(id_plausible(id));
		map_put(&seen, id, &value);
	}
	assert_int_equal(map_len(&seen), 2000);
	map_done(&seen);
}

static void foreign_ids(void **state)
{
	char id[ID_SIZE + 1];

	(void)state;
	memset(id, 'a', sizeof(id));
	id[ID_LEN + 1] = '\0';
	assert_false(id_plausible(id));
	assert_false(id_valid(id));
	id[ID_LEN] = '\0';
	assert_true(id_valid(id));
	id[ID_LEN - 1] = '\0';
	assert_false(id_valid(id));
	assert_true(id_plausible(id));
	assert_false(id_plausible(""));
	assert_false(id_plausible("A"));
	assert_false(id_plausible("g"));
	assert_false(id_plausible("../a"));
	assert_false(id_plausible("a\n"));
}

static void hex(void **state)
{
	char text[9];

	(void)state;
	hex_encode("\x00\xff\x0a\xf0", 4, text);
	assert_string_equal(text, "00ff0af0");
	hex_encode("", 0, text);
	assert_string_equal(text, "");
}

static void randomness(void **state)
{
	static unsigned char a[100000], b[100000];
	unsigned int counts[256] = { 0 };

	(void)state;
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, 64);
	random_bytes(a, 0);
	for (size_t i = 0; i < sizeof(a); i++)
		counts[a[i]]++;
	for (int i = 0; i < 256; i++)
		assert_between(counts[i], 250, 550); /* 390 expected, sigma 20 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_valid_and_differ),
		cmocka_unit_test(foreign_ids),
		cmocka_unit_test(hex),
		cmocka_unit_test(randomness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
