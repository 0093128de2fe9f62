/*
 * Text: a growing string whose failure sticks (struct str), a NULL-terminated vector of strings for argv and
 * environments (struct strv), and the few string questions and number parsers that C lacks.
 *
 * struct str: zero-initialised storage is a valid empty string (`struct str s = STR_INIT`). Every append past
 * the limit sets `failed` and appends nothing more; the reader checks once at the end. str_take() hands the
 * buffer over (never NULL). Not thread-safe.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

struct str {
	char *data; /* NULL until the first append, else NUL-terminated; binary content is fine */
	size_t len;
	size_t size;
	size_t limit; /* 0: 1 GiB */
	bool failed;
};

#define STR_INIT  \
	{         \
		0 \
	}
#define STR_LIMIT(bytes)         \
	{                        \
		.limit = (bytes) \
	}

void str_done(struct str *str);  /* also for CLEANUP */
void str_clear(struct str *str); /* empty again, keeps memory */
void str_add(struct str *str, const char *text);
void str_addn(struct str *str, const void *data, size_t len);
void str_addc(struct str *str, char c);
void str_addf(struct str *str, const char *fmt, ...) PRINTF(2, 3);
/* Room for at least len more bytes; NULL when past the limit. Tell what was written with str_grown(). */
char *str_room(struct str *str, size_t len);
void str_grown(struct str *str, size_t len);
const char *str_get(const struct str *str); /* "" when empty */
char *str_take(struct str *str);            /* owned by the caller; leaves str empty */

struct strv {
	char **items; /* NULL-terminated once the first is added */
	size_t len;
	size_t size;
};

#define STRV_INIT \
	{         \
		0 \
	}

void strv_done(struct strv *strv); /* also for CLEANUP */
void strv_add(struct strv *strv, const char *text);
void strv_addf(struct strv *strv, const char *fmt, ...) PRINTF(2, 3);
void strv_add_take(struct strv *strv, char *text);
void strv_add_all(struct strv *strv, const char *const *items, size_t count);
bool strv_has(const struct strv *strv, const char *text);
/* Splits at each `separator`; empty parts are kept. */
void strv_split(struct strv *strv, const char *text, char separator);
char *strv_join(const struct strv *strv, const char *separator);

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_empty(const char *text);          /* NULL or "" */
bool str_has_prefix(const char *text, const char *prefix);
bool str_has_suffix(const char *text, const char *suffix);
/* Only bytes 0x20..0x7e: fit for a header, a log field, a line of a file. */
bool str_is_printable(const char *text);

/* Bytes of the valid UTF-8 sequence (RFC 3629: shortest form, no surrogates) that text starts with; 0 when it
 * starts with none, or with NUL. */
size_t utf8_len(const char *text);

/* Decimal digits only (no sign, no space, no 0x), at most max; false otherwise. */
bool parse_u64(const char *text, uint64_t max, uint64_t *ret) MUST_CHECK;
/* An optional '-' and digits, within [min, max]. */
bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret) MUST_CHECK;

#endif
