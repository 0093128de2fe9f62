/*
 * The source is checked once from end to end for encoding and control characters, so everything after that
 * looks at single bytes: no function below need think about UTF-8 again, and '\0' can stand for the end.
 * Lines are counted wherever a newline is consumed, which is in two places only: toml_scan_newline() and
 * comments (which stop before it).
 */
#include "config/toml_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int toml_scan_fail(struct toml_scan *scan, const char *fmt, ...)
{
	char what[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return err_set(scan->err, RPC_INVALID_ARGUMENT, "%s:%d: %s", scan->name, scan->line, what);
}

int toml_scan_unexpected(struct toml_scan *scan, const char *instead_of)
{
	unsigned char c = (unsigned char)toml_scan_peek(scan, 0);

	if (scan->at >= scan->end)
		return toml_scan_fail(scan, "%s expected, the file ends here", instead_of);
	if (c == '\n' || c == '\r')
		return toml_scan_fail(scan, "%s expected, the line ends here", instead_of);
	if (c >= 0x80)
		return toml_scan_fail(scan, "%s expected, not a character outside ASCII", instead_of);
	return toml_scan_fail(scan, "%s expected, not '%c'", instead_of, c);
}

int toml_scan_check(struct toml_scan *scan)
{
	if (scan->end - scan->at >= 3 && !memcmp(scan->at, "\xef\xbb\xbf", 3))
		scan->at += 3;
	for (const char *at = scan->at; at < scan->end;) {
		unsigned char c = (unsigned char)*at;
		size_t len = utf8_len(at);

		if (c == '\r' && (at + 1 == scan->end || at[1] != '\n'))
			return toml_scan_fail(scan, "a carriage return without a newline");
		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return toml_scan_fail(scan, "control character 0x%02x", c);
		if (len == 0)
			return toml_scan_fail(scan, "byte 0x%02x is not valid UTF-8", c);
		if (c == '\n')
			scan->line++;
		at += len;
	}
	scan->line = 1;
	return 0;
}

char toml_scan_peek(const struct toml_scan *scan, size_t offset)
{
	return offset < (size_t)(scan->end - scan->at) ? scan->at[offset] : '\0';
}

bool toml_scan_skip(struct toml_scan *scan, char c)
{
	if (scan->at >= scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

bool toml_scan_newline(struct toml_scan *scan)
{
	if (toml_scan_peek(scan, 0) == '\r')
		scan->at++;
	if (!toml_scan_skip(scan, '\n'))
		return false;
	scan->line++;
	return true;
}

void toml_scan_blank(struct toml_scan *scan)
{
	while (toml_scan_peek(scan, 0) == ' ' || toml_scan_peek(scan, 0) == '\t')
		scan->at++;
}

static void skip_comment(struct toml_scan *scan)
{
	if (toml_scan_peek(scan, 0) != '#')
		return;
	while (scan->at < scan->end && *scan->at != '\n' && *scan->at != '\r')
		scan->at++;
}

void toml_scan_gap(struct toml_scan *scan)
{
	do {
		toml_scan_blank(scan);
		skip_comment(scan);
	} while (toml_scan_newline(scan));
}

int toml_scan_line_end(struct toml_scan *scan)
{
	toml_scan_blank(scan);
	skip_comment(scan);
	if (scan->at < scan->end && !toml_scan_newline(scan))
		return toml_scan_unexpected(scan, "the end of the line");
	return 0;
}

static void add_utf8(struct str *out, uint32_t code)
{
	if (code < 0x80) {
		str_addc(out, (char)code);
		return;
	}
	int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };

	str_addc(out, (char)(lead[more] | code >> 6 * more));
	while (more-- > 0)
		str_addc(out, (char)(0x80 | (code >> 6 * more & 0x3f)));
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* \uXXXX and \UXXXXXXXX; the cursor is behind the letter. */
static int scan_code_point(struct toml_scan *scan, int digits, struct str *out)
{
	uint32_t code = 0;

	for (int i = 0; i < digits; i++) {
		int value = hex_value(toml_scan_peek(scan, 0));
		if (value < 0)
			return toml_scan_fail(scan, "\\%c needs %d hexadecimal digits",
					      digits == 4 ? 'u' : 'U', digits);
		code = code << 4 | (uint32_t)value;
		scan->at++;
	}
	if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return toml_scan_fail(scan, "U+%04X is not a Unicode scalar value", code);
	add_utf8(out, code);
	return 0;
}

/* The cursor is behind the backslash. */
static int scan_escape(struct toml_scan *scan, struct str *out)
{
	static const char letters[] = "btnfr\"\\";
	static const char bytes[] = "\b\t\n\f\r\"\\";
	char c = toml_scan_peek(scan, 0);
	const char *found = c ? strchr(letters, c) : NULL;

	if (found) {
		scan->at++;
		str_addc(out, bytes[found - letters]);
		return 0;
	}
	if (toml_scan_skip(scan, 'u'))
		return scan_code_point(scan, 4, out);
	if (toml_scan_skip(scan, 'U'))
		return scan_code_point(scan, 8, out);
	return toml_scan_unexpected(scan, "an escape (one of b t n f r \" \\ u U)");
}

/* "..." and '...' on one line; the cursor is behind the opening quote. */
static int scan_line_string(struct toml_scan *scan, char quote, struct str *out)
{
	while (!toml_scan_skip(scan, quote)) {
		char c = toml_scan_peek(scan, 0);

		if (c == '\0' || c == '\n' || c == '\r')
			return toml_scan_fail(scan, "a string is not closed on its line");
		scan->at++;
		if (c == '\\' && quote == '"') {
			if (scan_escape(scan, out) < 0)
				return -1;
		} else {
			str_addc(out, c);
		}
	}
	return 0;
}

/* A backslash at the end of a line of a """ string: swallows it and all blank that follows. False: not that.
 */
static bool skip_folded_line(struct toml_scan *scan)
{
	struct toml_scan ahead = *scan;

	toml_scan_blank(&ahead);
	if (!toml_scan_newline(&ahead))
		return false;
	do
		toml_scan_blank(&ahead);
	while (toml_scan_newline(&ahead));
	*scan = ahead;
	return true;
}

/* Quotes inside a multi-line string: one or two are content; three to five close it, those before the last
 * three being content. Returns true when the string is closed. */
static bool scan_quotes(struct toml_scan *scan, char quote, struct str *out)
{
	size_t run = 0;

	while (run < 5 && toml_scan_peek(scan, run) == quote)
		run++;
	scan->at += run;
	for (size_t i = 0; i < (run >= 3 ? run - 3 : run); i++)
		str_addc(out, quote);
	return run >= 3;
}

/* """...""" and '''...'''; the cursor is behind the three opening quotes. */
static int scan_block_string(struct toml_scan *scan, char quote, struct str *out)
{
	int opened = scan->line;

	toml_scan_newline(scan); /* one right after the quotes is not content */
	for (;;) {
		char c = toml_scan_peek(scan, 0);

		if (c == '\0')
			return toml_scan_fail(scan, "the string opened on line %d is not closed", opened);
		if (c == quote) {
			if (scan_quotes(scan, quote, out))
				return 0;
		} else if (toml_scan_newline(scan)) {
			str_addc(out, '\n');
		} else {
			scan->at++;
			if (c != '\\' || quote != '"')
				str_addc(out, c);
			else if (!skip_folded_line(scan) && scan_escape(scan, out) < 0)
				return -1;
		}
	}
}

static struct toml_text keep(struct toml_scan *scan, const char *data, size_t len)
{
	return (struct toml_text){ arena_memdup(scan->arena, data, len), len };
}

int toml_scan_string(struct toml_scan *scan, struct toml_text *ret)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	char quote = *scan->at;
	bool block = toml_scan_peek(scan, 1) == quote && toml_scan_peek(scan, 2) == quote;

	scan->at += block ? 3 : 1;
	if ((block ? scan_block_string(scan, quote, &out) : scan_line_string(scan, quote, &out)) < 0)
		return -1;
	*ret = keep(scan, str_get(&out), out.len);
	return 0;
}

static bool is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-';
}

static int scan_key_part(struct toml_scan *scan, struct toml_text *ret)
{
	char c = toml_scan_peek(scan, 0);
	size_t len = 0;

	if (c == '"' || c == '\'') {
		if (toml_scan_peek(scan, 1) == c && toml_scan_peek(scan, 2) == c)
			return toml_scan_fail(scan, "a multi-line string can't be a key");
		return toml_scan_string(scan, ret);
	}
	while (is_bare(toml_scan_peek(scan, len)))
		len++;
	if (len == 0)
		return toml_scan_unexpected(scan, "a key");
	*ret = keep(scan, scan->at, len);
	scan->at += len;
	return 0;
}

int toml_scan_key(struct toml_scan *scan, struct toml_key *ret)
{
	ret->len = 0;
	ret->line = scan->line;
	do {
		if (ret->len == TOML_DEPTH_MAX)
			return toml_scan_fail(scan, "a key of more than %d parts", TOML_DEPTH_MAX);
		toml_scan_blank(scan);
		if (scan_key_part(scan, &ret->parts[ret->len++]) < 0)
			return -1;
		toml_scan_blank(scan);
	} while (toml_scan_skip(scan, '.'));
	return 0;
}
