/*
 * JSON on jansson: bounded parsing, and structs decoded from and encoded to JSON by static tables, so that
 * one table is the whole truth about a document's shape.
 *
 * Parsing refuses duplicate keys, trailing bytes, NUL bytes and NUL in strings, documents over the given size
 * and deeper than JSON_DEPTH_MAX. Decoded strings and arrays are allocated in the caller's arena. Errors name
 * the path: "plugins[2].type".
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { JSON_DEPTH_MAX = 64 };

/* For CLEANUP there is jansson's own json_decrefp(). */

/* *ret is a new reference. INVALID_ARGUMENT with line and column on failure. */
int json_parse(const char *data, size_t len, size_t max, json_t **ret, struct err *err) MUST_CHECK;
/* Compact text, keys in insertion order; malloc'd. */
char *json_text(const json_t *json);

enum json_type {
	JSON_FIELD_STRING,     /* char * in the arena; absent: unchanged */
	JSON_FIELD_BOOL,       /* bool */
	JSON_FIELD_INT,        /* int64_t */
	JSON_FIELD_UINT,       /* uint64_t; negative refused */
	JSON_FIELD_STRINGS,    /* struct json_strings: array of strings */
	JSON_FIELD_STRING_MAP, /* struct json_string_map: object of strings */
	JSON_FIELD_OBJECT,     /* embedded struct described by sub */
	JSON_FIELD_OBJECT_PTR, /* pointer to struct described by sub, in the arena; NULL when absent or null
				*/
	JSON_FIELD_ARRAY,      /* struct json_array of structs described by sub */
	JSON_FIELD_RAW,        /* json_t *: borrowed from the document when decoding, encoded as it is */
};

enum json_flags {
	JSON_NEEDED = 1,     /* decoding fails without it */
	JSON_OMIT_EMPTY = 2, /* left out when encoding a zero, empty or NULL value */
};

struct json_field {
	const char *key; /* NULL ends a table */
	enum json_type type;
	size_t offset;
	unsigned int flags;
	const struct json_field *sub;
	size_t size; /* of the struct that sub describes */
};

struct json_strings {
	char **items; /* NULL-terminated */
	size_t len;
};
struct json_string_pair {
	char *key, *value;
};
struct json_string_map {
	struct json_string_pair *items;
	size_t len;
};
struct json_array {
	void *items; /* len structs of field->size bytes each */
	size_t len;
};

/* Fills *out (caller-zeroed or with defaults). Unknown keys are ignored; null counts as absent; a wrong type
 * is INVALID_ARGUMENT. Null values in a string map are left out; null elements of an array are wrong. */
int json_decode(const json_t *json, const struct json_field *fields, void *out, struct arena *arena,
		struct err *err) MUST_CHECK;
/* A new reference. A NULL string or pointer becomes null; bytes that are no UTF-8 become U+FFFD; unsigned
 * numbers beyond INT64_MAX, which JSON integers here cannot hold, become INT64_MAX. */
json_t *json_encode(const struct json_field *fields, const void *in);

#endif
