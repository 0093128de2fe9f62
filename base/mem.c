/* The only place that decides what happens when memory runs out: one line on stderr, then abort(). */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
	static const char text[] = "crispd: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored; /* nothing more can be done on the way out */
	abort();
}

void *xmalloc(size_t size)
{
	void *mem = malloc(size ? size : 1);

	if (!mem)
		out_of_memory();
	return mem;
}

void *xcalloc(size_t count, size_t size)
{
	void *mem = calloc(count ? count : 1, size ? size : 1);

	if (!mem)
		out_of_memory();
	return mem;
}

void *xrealloc(void *old, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		out_of_memory();
	void *mem = realloc(old, total ? total : 1);
	if (!mem)
		out_of_memory();
	return mem;
}

void *xmemdup(const void *data, size_t len)
{
	if (len == SIZE_MAX)
		out_of_memory();
	char *copy = xmalloc(len + 1);
	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

char *xstrdup(const char *text)
{
	return xmemdup(text, strlen(text));
}

char *xstrdup_null(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

char *xstrndup(const char *text, size_t max)
{
	return xmemdup(text, strnlen(text, max));
}

char *xvasprintf(const char *fmt, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, args) < 0)
		out_of_memory();
	return text;
}

char *xasprintf(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	char *text = xvasprintf(fmt, args);
	va_end(args);
	return text;
}

void freep(void *p)
{
	free(*(void **)p);
}
