/* Alignment, limits, chunk growth and copies. */
#include "test/base/check.h"

#include <stdalign.h>

#include "base/arena.h"

static volatile size_t huge = SIZE_MAX;

static void aligned_and_separate(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	unsigned char *parts[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		parts[i] = arena_alloc(arena, i + 1);
		assert_int_equal((uintptr_t)parts[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k <= i; k++)
			assert_int_equal(parts[i][k], 0);
		memset(parts[i], (int)i, i + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		for (size_t k = 0; k <= i; k++)
			assert_int_equal(parts[i][k], i);
}

static void large_requests_leave_the_chunk_in_use(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);

	(void)state;
	char *a = arena_alloc(arena, 16);
	char *big = arena_alloc(arena, 3 * 1024 * 1024);
	char *b = arena_alloc(arena, 16);
	memset(big, 1, 3 * 1024 * 1024);
	assert_ptr_equal(b, a + 16);
}

static void limit_is_exact(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(64);

	(void)state;
	assert_non_null(arena_try(arena, 48));
	assert_int_equal(arena_used(arena), 48);
	assert_null(arena_try(arena, 17));
	assert_non_null(arena_try(arena, 16));
	assert_null(arena_try(arena, 1));
	assert_null(arena_try(arena, huge));
	assert_int_equal(arena_used(arena), 64);
}

static void copies(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);

	(void)state;
	assert_string_equal(arena_strdup(arena, "abc"), "abc");
	assert_string_equal(arena_strndup(arena, "abcdef", 2), "ab");
	assert_string_equal(arena_strndup(arena, "ab", 20), "ab");
	assert_memory_equal(arena_memdup(arena, "a\0c", 3), "a\0c\0", 4);
	assert_string_equal(arena_fmt(arena, "%s-%d", "n", 3), "n-3");
	assert_non_null(arena_array(arena, 0, 8));
	assert_null(arena_free(NULL));
}

static void what_is_adopted_stays(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(128);
	struct arena *small = arena_new(0), *large = arena_new(0);
	char *ours, *first, *second;

	(void)state;
	first = arena_strdup(small, "small");
	arena_adopt(arena, small); /* by one that has nothing yet */
	ours = arena_strdup(arena, "ours");
	for (int i = 0; i < 1000; i++)
		second = arena_fmt(large, "%d of many that are in several chunks", i);
	arena_adopt(arena, large);
	arena_adopt(arena, arena_new(0)); /* one that has nothing */
	assert_string_equal(first, "small");
	assert_string_equal(ours, "ours");
	assert_string_equal(second, "999 of many that are in several chunks");
	assert_true(arena_used(arena) > 1000 * sizeof("of many that are in several chunks"));
	/* The limit is for its own. */
	assert_non_null(arena_try(arena, 112));
	assert_null(arena_try(arena, 16));
}

static void passing_the_limit_ends_the_process(void **state)
{
	(void)state;
	assert_aborts("limit", "arena limit");
	assert_aborts("overflow", "arena limit");
}

static int scenario(const char *name)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(100);

	if (strcmp(name, "limit") == 0)
		arena_alloc(arena, 101);
	else
		arena_array(arena, huge / 2, 4);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligned_and_separate),
		cmocka_unit_test(large_requests_leave_the_chunk_in_use),
		cmocka_unit_test(limit_is_exact),
		cmocka_unit_test(copies),
		cmocka_unit_test(what_is_adopted_stays),
		cmocka_unit_test(passing_the_limit_ends_the_process),
	};

	if (argc > 1)
		return scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
