/*
 * A reader of TOML 1.0 (https://toml.io/en/v1.0.0) into a tree of values.
 *
 * Ownership: the whole tree, keys and strings included, lives in the arena given to the parser; nothing is
 * freed one by one. The input is borrowed for the call; source names are copied. Strings and keys are UTF-8,
 * NUL-terminated for convenience, and may hold NUL bytes ("\u0000" is legal TOML), hence the lengths. Tables
 * keep the order of their keys.
 *
 * Bounds: files of TOML_SIZE_MAX bytes, TOML_DEPTH_MAX levels, TOML_VALUES_MAX values. Integers are 64 bits,
 * floats are doubles (one that overflows is an error), fractions of seconds keep nine digits. CRLF in
 * multi-line strings becomes LF.
 *
 * Errors are INVALID_ARGUMENT, "source:line: what". Threads: a tree belongs to whoever owns its arena.
 */
#ifndef CONFIG_TOML_H
#define CONFIG_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum {
	TOML_SIZE_MAX = 1024 * 1024,
	TOML_DEPTH_MAX = 64,
	TOML_VALUES_MAX = 65536,
	TOML_DROPINS_MAX = 256,
};

enum toml_type {
	TOML_STRING,
	TOML_INT,
	TOML_FLOAT,
	TOML_BOOL,
	TOML_DATETIME, /* with an offset from UTC */
	TOML_LOCAL_DATETIME,
	TOML_LOCAL_DATE,
	TOML_LOCAL_TIME,
	TOML_ARRAY,
	TOML_TABLE,
};

struct toml_text {
	const char *data; /* NUL-terminated */
	size_t len;
};

struct toml_time { /* parts that the type lacks are 0 */
	int year, month, day;
	int hour, minute, second; /* second may be 60 */
	int nanosecond;
	int offset; /* minutes east of UTC */
};

/* How a table came to be, which decides what may still be added to it (toml.c). */
enum toml_origin {
	TOML_BY_PATH,   /* [a.b] made a: may still get a header of its own */
	TOML_BY_HEADER, /* [a], or an element of [[a]] */
	TOML_BY_DOTS,   /* a.b = 1 made a: grows by more dotted keys of the same section */
	TOML_INLINE,    /* { }: complete */
};

struct toml_entry {
	struct toml_text key;
	struct toml_value *value;
};

struct toml_table {
	struct toml_entry *entries; /* in order of appearance */
	size_t len, size;
	uint32_t *index; /* open addressing: entry number + 1, 0 empty; NULL while the table is small */
	size_t index_size;
	enum toml_origin origin;
};

struct toml_array {
	struct toml_value **items;
	size_t len, size;
	bool of_tables; /* made by [[header]]: grows by more of them */
};

struct toml_value {
	enum toml_type type;
	int line;
	const char *file; /* the source's name */
	union {
		struct toml_text string;
		int64_t integer;
		double number;
		bool boolean;
		struct toml_time time;
		struct toml_array array;
		struct toml_table table;
	};
};

struct toml_source {
	const char *name; /* for messages: the path */
	const char *data; /* NUL-terminated at len */
	size_t len;
};

/* *ret is the document's root table. */
int toml_parse(const struct toml_source *source, struct arena *arena, struct toml_value **ret,
	       struct err *err) MUST_CHECK;
/*
 * Reads and parses a file. Symlinks are followed (configuration management and ConfigMaps use them), but the
 * file itself must be regular, at most TOML_SIZE_MAX bytes, and writable by nobody but its owner, who is root
 * or ourselves. NOT_FOUND when it does not exist.
 */
int toml_read(const char *path, struct arena *arena, struct toml_value **ret, struct err *err) MUST_CHECK;

/*
 * Appends the paths of a directory's files whose names end in suffix, sorted by name; hidden ones are left
 * out. A missing directory has none. RESOURCE_EXHAUSTED beyond TOML_DROPINS_MAX.
 */
int toml_dropins(const char *dir, const char *suffix, struct strv *ret, struct err *err) MUST_CHECK;

/* An empty table, to merge into. */
struct toml_value *toml_new_table(const char *file, struct arena *arena);
/* NULL when the key is absent. table must be a table. */
struct toml_entry *toml_find(const struct toml_value *table, const char *key);
struct toml_entry *toml_find_text(const struct toml_value *table, struct toml_text key);
/* Adds a key that is not there yet. */
struct toml_entry *toml_add(struct toml_value *table, struct toml_text key, struct toml_value *value,
			    struct arena *arena);
void toml_push(struct toml_array *array, struct toml_value *item, struct arena *arena);
/* Puts every key of `from` into `into`: tables merge level by level, anything else replaces. Nodes of `from`
 * are reused. */
void toml_merge(struct toml_value *into, const struct toml_value *from, struct arena *arena);

/* "a string", "a table": for messages. */
const char *toml_type_name(enum toml_type type);
/* INVALID_ARGUMENT "file:line: key: what"; returns -1. key may be NULL. */
int toml_fail(const struct toml_value *at, const char *key, struct err *err, const char *fmt, ...)
	PRINTF(4, 5) __attribute__((cold));

/* Appends text as a TOML basic string, quotes included; or as a key, quoted only where it must be. */
void toml_quote(struct str *out, const char *text);
void toml_quote_key(struct str *out, const char *text);

#endif
