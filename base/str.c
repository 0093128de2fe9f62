/*
 * str grows by doubling and never past its limit; the first append that would do so sets `failed`, after
 * which appends do nothing. strv keeps its terminating NULL at all times, so items can be handed to exec as
 * it is.
 */
#include "base/str.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STR_DEFAULT_LIMIT = 1 << 30 };

void str_done(struct str *str)
{
	free(str->data);
	*str = (struct str)STR_LIMIT(str->limit);
}

void str_clear(struct str *str)
{
	str->len = 0;
	str->failed = false;
	if (str->data)
		str->data[0] = '\0';
}

char *str_room(struct str *str, size_t len)
{
	size_t limit = str->limit ? str->limit : STR_DEFAULT_LIMIT;

	if (str->failed || len > limit - str->len) {
		str->failed = true;
		return NULL;
	}
	size_t need = str->len + len + 1;
	if (need > str->size) {
		size_t size = str->size ? str->size : 64;
		while (size < need)
			size *= 2;
		str->data = xrealloc(str->data, size, 1);
		str->size = size;
		str->data[str->len] = '\0';
	}
	return str->data + str->len;
}

void str_grown(struct str *str, size_t len)
{
	assert(str->len + len < str->size);
	str->len += len;
	str->data[str->len] = '\0';
}

void str_addn(struct str *str, const void *data, size_t len)
{
	char *room = str_room(str, len);

	if (!room)
		return;
	if (len)
		memcpy(room, data, len);
	str_grown(str, len);
}

void str_add(struct str *str, const char *text)
{
	str_addn(str, text, strlen(text));
}

void str_addc(struct str *str, char c)
{
	str_addn(str, &c, 1);
}

void str_addf(struct str *str, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	assert(n >= 0);
	char *room = str_room(str, (size_t)n);
	if (!room)
		return;
	va_start(args, fmt);
	vsnprintf(room, (size_t)n + 1, fmt, args);
	va_end(args);
	str_grown(str, (size_t)n);
}

const char *str_get(const struct str *str)
{
	return str->data ? str->data : "";
}

char *str_take(struct str *str)
{
	char *data = str->data ? str->data : xstrdup("");

	*str = (struct str)STR_LIMIT(str->limit);
	return data;
}

void strv_done(struct strv *strv)
{
	for (size_t i = 0; i < strv->len; i++)
		free(strv->items[i]);
	free(strv->items);
	*strv = (struct strv)STRV_INIT;
}

void strv_add_take(struct strv *strv, char *text)
{
	if (strv->len + 2 > strv->size) {
		strv->size = strv->size ? strv->size * 2 : 8;
		strv->items = xrealloc(strv->items, strv->size, sizeof(char *));
	}
	strv->items[strv->len++] = text;
	strv->items[strv->len] = NULL;
}

void strv_add(struct strv *strv, const char *text)
{
	strv_add_take(strv, xstrdup(text));
}

void strv_addf(struct strv *strv, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	strv_add_take(strv, xvasprintf(fmt, args));
	va_end(args);
}

void strv_add_all(struct strv *strv, const char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		strv_add(strv, items[i]);
}

bool strv_has(const struct strv *strv, const char *text)
{
	for (size_t i = 0; i < strv->len; i++)
		if (strcmp(strv->items[i], text) == 0)
			return true;
	return false;
}

void strv_split(struct strv *strv, const char *text, char separator)
{
	for (;;) {
		const char *end = strchrnul(text, separator);

		strv_add_take(strv, xstrndup(text, (size_t)(end - text)));
		if (!*end)
			return;
		text = end + 1;
	}
}

char *strv_join(const struct strv *strv, const char *separator)
{
	struct str joined = STR_INIT;

	for (size_t i = 0; i < strv->len; i++) {
		if (i)
			str_add(&joined, separator);
		str_add(&joined, strv->items[i]);
	}
	return str_take(&joined);
}

bool str_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_empty(const char *text)
{
	return !text || !*text;
}

bool str_has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *text, const char *suffix)
{
	size_t len = strlen(text), suffix_len = strlen(suffix);

	return len >= suffix_len && memcmp(text + len - suffix_len, suffix, suffix_len) == 0;
}

bool str_is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
			return false;
	return true;
}

size_t utf8_len(const char *bytes)
{
	const unsigned char *text = (const unsigned char *)bytes;
	static const struct {
		unsigned char first, last, second_first, second_last, len;
	} rows[] = {
		{ 0x01, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (text[0] < rows[i].first || text[0] > rows[i].last)
			continue;
		if (rows[i].len > 1 && (text[1] < rows[i].second_first || text[1] > rows[i].second_last))
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((text[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

bool parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!text || !*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	if (value > max)
		return false;
	*ret = value;
	return true;
}

bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	uint64_t magnitude;
	bool negative = text && *text == '-';

	if (!parse_u64(negative ? text + 1 : text, (uint64_t)INT64_MAX + negative, &magnitude))
		return false;
	int64_t value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	if (value < min || value > max)
		return false;
	*ret = value;
	return true;
}
