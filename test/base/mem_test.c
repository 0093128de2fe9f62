/* Allocators, ownership macros, and the end of the process when memory or arithmetic runs out. */
#include "test/base/check.h"

#include "base/mem.h"

static volatile size_t huge = SIZE_MAX; /* volatile: the compiler must not see that it is too large */

static void zero_sizes_are_real_pointers(void **state)
{
	(void)state;
	void *a = xmalloc(0);
	void *b = xcalloc(0, 8);
	void *c = xrealloc(NULL, 0, 8);
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	free(a);
	free(b);
	free(c);
}

static void calloc_zeroes_and_realloc_keeps(void **state)
{
	(void)state;
	unsigned char *mem = xcalloc(4, 4);
	for (int i = 0; i < 16; i++)
		assert_int_equal(mem[i], 0);
	mem[15] = 7;
	mem = xrealloc(mem, 1000, 4);
	assert_int_equal(mem[15], 7);
	free(mem);
}

static void copies(void **state)
{
	(void)state;
	CLEANUP(freep) char *a = xstrdup("abc");
	CLEANUP(freep) char *b = xstrndup("abcdef", 3);
	CLEANUP(freep) char *c = xstrndup("ab", 30);
	CLEANUP(freep) char *d = xmemdup("a\0b", 3);
	CLEANUP(freep) char *e = xmemdup(NULL, 0);
	CLEANUP(freep) char *f = xasprintf("%d-%s", 5, "x");
	assert_string_equal(a, "abc");
	assert_string_equal(b, "abc");
	assert_string_equal(c, "ab");
	assert_memory_equal(d, "a\0b\0", 4);
	assert_string_equal(e, "");
	assert_string_equal(f, "5-x");
	assert_null(xstrdup_null(NULL));
	CLEANUP(freep) char *g = xstrdup_null("g");
	assert_string_equal(g, "g");
}

static void take_leaves_nothing_behind(void **state)
{
	(void)state;
	CLEANUP(freep) char *from = xstrdup("x");
	CLEANUP(freep) char *to = TAKE(from);
	int fd = 5;
	int taken = TAKE_FD(fd);
	assert_null(from);
	assert_string_equal(to, "x");
	assert_int_equal(taken, 5);
	assert_int_equal(fd, -1);
}

static void exhaustion_ends_the_process(void **state)
{
	(void)state;
	assert_aborts("overflow", "out of memory");
	assert_aborts("memdup", "out of memory");
}

static int scenario(const char *name)
{
	void *mem = NULL;

	if (strcmp(name, "overflow") == 0)
		mem = xrealloc(NULL, huge / 2, 3);
	else if (strcmp(name, "memdup") == 0)
		mem = xmemdup("", huge);
	free(mem);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_sizes_are_real_pointers),
		cmocka_unit_test(calloc_zeroes_and_realloc_keeps),
		cmocka_unit_test(copies),
		cmocka_unit_test(take_leaves_nothing_behind),
		cmocka_unit_test(exhaustion_ends_the_process),
	};

	if (argc > 1)
		return scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
