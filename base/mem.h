/*
 * Memory and scope-bound ownership.
 *
 * Every local that owns something is declared CLEANUP(fn) with an initial value; ownership leaves only by
 * TAKE(x), which yields the value and leaves NULL behind (TAKE_FD leaves -1). Cleanup functions take the
 * address of the variable and accept NULL / -1 inside.
 *
 * The x* allocators end the process on exhaustion: there is no branch for it elsewhere. That is honest only
 * because every size that comes from outside is bounded before it reaches them.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define TAKE(x)                             \
	({                                  \
		__typeof__(x) taken_ = (x); \
		(x) = NULL;                 \
		taken_;                     \
	})
#define TAKE_FD(x)             \
	({                     \
		int fd_ = (x); \
		(x) = -1;      \
		fd_;           \
	})
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* Grows to count * size bytes; overflow of the product ends the process. */
void *xrealloc(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
void *xmemdup(const void *data, size_t len)
	__attribute__((returns_nonnull)); /* one more NUL byte behind it */
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrdup_null(const char *text); /* NULL stays NULL */
char *xstrndup(const char *text, size_t max) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) PRINTF(1, 2) __attribute__((malloc, returns_nonnull));
char *xvasprintf(const char *fmt, va_list args)
	__attribute__((format(printf, 1, 0), malloc, returns_nonnull));

#define xnew(type) ((type *)xcalloc(1, sizeof(type)))

/* For CLEANUP: free(*(void **)p). */
void freep(void *p);

#endif
