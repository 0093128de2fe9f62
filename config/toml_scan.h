/*
 * The lexical half of the TOML reader: a cursor over the source that knows blanks, comments, strings and
 * keys. Used by config/toml*.c only. All positions are bytes; everything that is returned lives in the scan's
 * arena.
 */
#ifndef CONFIG_TOML_SCAN_H
#define CONFIG_TOML_SCAN_H

#include "config/toml.h"

struct toml_scan {
	const char *name; /* in the arena */
	const char *at, *end;
	int line; /* of `at`, from 1 */
	size_t values;
	struct arena *arena;
	struct err *err;
};

struct toml_key {
	struct toml_text parts[TOML_DEPTH_MAX];
	size_t len;
	int line;
};

/* Sets "name:line: what" with the current line; returns -1. */
int toml_scan_fail(struct toml_scan *scan, const char *fmt, ...) PRINTF(2, 3) __attribute__((cold));
/* The same for "unexpected X", where X is what stands at the cursor. */
int toml_scan_unexpected(struct toml_scan *scan, const char *instead_of) __attribute__((cold));

/* Valid UTF-8 throughout, no control characters but tab and newlines, no lone CR. Skips a leading byte order
 * mark. */
int toml_scan_check(struct toml_scan *scan) MUST_CHECK;

/* The byte at the cursor (+ offset), or '\0' past the end (the source holds no NUL once checked). */
char toml_scan_peek(const struct toml_scan *scan, size_t offset);
bool toml_scan_skip(struct toml_scan *scan, char c); /* true if c stood there and was consumed */
bool toml_scan_newline(struct toml_scan *scan);      /* consumes LF or CRLF */
void toml_scan_blank(struct toml_scan *scan);        /* spaces and tabs */
void toml_scan_gap(struct toml_scan *scan);          /* blanks, comments and newlines */
/* Blanks, a comment, then a newline or the end. */
int toml_scan_line_end(struct toml_scan *scan) MUST_CHECK;

/* A quoted string of one of the four forms; the cursor is on the first quote. */
int toml_scan_string(struct toml_scan *scan, struct toml_text *ret) MUST_CHECK;
/* A bare, quoted or dotted key, with the blanks around it. */
int toml_scan_key(struct toml_scan *scan, struct toml_key *ret) MUST_CHECK;

/* A boolean, number or date and time (toml_scalar.c); the cursor is on its first byte. */
int toml_scan_scalar(struct toml_scan *scan, struct toml_value *ret) MUST_CHECK;

#endif
