/*
 * Scalars that are not quoted: a run of the bytes they may hold is cut out and recognised as a whole. A date
 * followed by one space and a digit takes the time behind it as well, the only scalar with a blank inside.
 * What the grammar forbids (leading zeros, a stray '_', "1." and ".5") is refused before strtod sees it;
 * strtod is safe to use since the daemon never leaves the C locale.
 */
#include "config/toml_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_MAX = 256 };

struct token {
	char text[TOKEN_MAX]; /* NUL-terminated */
	size_t len;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_token(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("+-._:", c));
}

static bool looks_like_date(const char *text, size_t len)
{
	return len >= 5 && is_digit(text[0]) && is_digit(text[1]) && is_digit(text[2]) && is_digit(text[3]) &&
	       text[4] == '-';
}

static bool looks_like_time(const char *text, size_t len)
{
	return len >= 3 && is_digit(text[0]) && is_digit(text[1]) && text[2] == ':';
}

static int cut_token(struct toml_scan *scan, struct token *ret)
{
	size_t len = 0;

	while (is_token(toml_scan_peek(scan, len)))
		len++;
	if (len == 10 && looks_like_date(scan->at, len) && toml_scan_peek(scan, len) == ' ' &&
	    is_digit(toml_scan_peek(scan, len + 1))) {
		len++;
		while (is_token(toml_scan_peek(scan, len)))
			len++;
	}
	if (len == 0)
		return toml_scan_unexpected(scan, "a value");
	if (len >= sizeof(ret->text))
		return toml_scan_fail(scan, "a value of more than %d characters", TOKEN_MAX - 1);
	memcpy(ret->text, scan->at, len);
	ret->text[len] = '\0';
	ret->len = len;
	return 0;
}

/* Exactly `count` digits, moving *at; false leaves it anywhere. */
static bool fixed_digits(const char **at, int count, int *ret)
{
	int value = 0;

	for (int i = 0; i < count; i++, (*at)++) {
		if (!is_digit(**at))
			return false;
		value = value * 10 + (**at - '0');
	}
	*ret = value;
	return true;
}

static bool one_of(const char **at, const char *set)
{
	if (!**at || !strchr(set, **at))
		return false;
	(*at)++;
	return true;
}

static int days_of(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool parse_date(const char **at, struct toml_time *ret)
{
	return fixed_digits(at, 4, &ret->year) && one_of(at, "-") && fixed_digits(at, 2, &ret->month) &&
	       one_of(at, "-") && fixed_digits(at, 2, &ret->day) && ret->month >= 1 && ret->month <= 12 &&
	       ret->day >= 1 && ret->day <= days_of(ret->year, ret->month);
}

static bool parse_time(const char **at, struct toml_time *ret)
{
	if (!fixed_digits(at, 2, &ret->hour) || !one_of(at, ":") || !fixed_digits(at, 2, &ret->minute) ||
	    !one_of(at, ":") || !fixed_digits(at, 2, &ret->second))
		return false;
	if (ret->hour > 23 || ret->minute > 59 || ret->second > 60)
		return false;
	if (!one_of(at, "."))
		return true;
	if (!is_digit(**at))
		return false;
	for (int scale = 100000000; is_digit(**at); (*at)++, scale /= 10)
		ret->nanosecond += (**at - '0') * scale;
	return true;
}

static bool parse_offset(const char **at, struct toml_time *ret)
{
	int hours, minutes;
	bool west = **at == '-';

	if (one_of(at, "Zz"))
		return true;
	if (!one_of(at, "+-") || !fixed_digits(at, 2, &hours) || !one_of(at, ":") ||
	    !fixed_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	ret->offset = (hours * 60 + minutes) * (west ? -1 : 1);
	return true;
}

static bool parse_moment(const char *at, struct toml_value *ret)
{
	struct toml_time *time = &ret->time;

	*time = (struct toml_time){ 0 };
	if (looks_like_time(at, strlen(at))) {
		ret->type = TOML_LOCAL_TIME;
		return parse_time(&at, time) && !*at;
	}
	ret->type = TOML_LOCAL_DATE;
	if (!parse_date(&at, time))
		return false;
	if (!*at)
		return true;
	ret->type = TOML_LOCAL_DATETIME;
	if (!one_of(&at, "Tt ") || !parse_time(&at, time))
		return false;
	if (!*at)
		return true;
	ret->type = TOML_DATETIME;
	return parse_offset(&at, time) && !*at;
}

static bool is_digit_of(char c, int base)
{
	if (base == 16)
		return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
	return c >= '0' && c < '0' + base;
}

/* Moves a run of digits of the base from *at to *to without its underscores; each '_' stands between two
 * digits. */
static bool digits(const char **at, int base, char **to)
{
	const char *from = *at;

	if (!is_digit_of(*from, base))
		return false;
	for (; is_digit_of(*from, base) || *from == '_'; from++) {
		if (*from != '_')
			*(*to)++ = *from;
		else if (!is_digit_of(from[1], base))
			return false;
	}
	*at = from;
	return true;
}

static int parse_int(struct toml_scan *scan, const char *clean, int base, int64_t *ret)
{
	errno = 0;
	long long value = strtoll(clean, NULL, base);
	if (errno == ERANGE)
		return toml_scan_fail(scan, "an integer outside 64 bits");
	*ret = value;
	return 0;
}

static int bad(struct toml_scan *scan, const struct token *token)
{
	return toml_scan_fail(scan, "\"%.64s\" is not a value", token->text);
}

/* 0x.., 0o.., 0b.. */
static int scan_based(struct toml_scan *scan, const struct token *token, struct toml_value *ret)
{
	char clean[TOKEN_MAX], *to = clean;
	const char *at = token->text + 2;
	int base = token->text[1] == 'x' ? 16 : token->text[1] == 'o' ? 8 : 2;

	if (!digits(&at, base, &to) || *at)
		return bad(scan, token);
	*to = '\0';
	ret->type = TOML_INT;
	return parse_int(scan, clean, base, &ret->integer);
}

/* The part of a float behind its integer: [.digits][e[+-]digits]; false when malformed. */
static bool fraction(const char **at, char **to)
{
	if (**at == '.') {
		*(*to)++ = *(*at)++;
		if (!digits(at, 10, to))
			return false;
	}
	if (**at == 'e' || **at == 'E') {
		*(*to)++ = *(*at)++;
		if (**at == '+' || **at == '-')
			*(*to)++ = *(*at)++;
		if (!digits(at, 10, to))
			return false;
	}
	return !**at;
}

static int scan_number(struct toml_scan *scan, const struct token *token, struct toml_value *ret)
{
	char clean[TOKEN_MAX], *to = clean;
	const char *at = token->text;

	if (*at == '+' || *at == '-')
		*to++ = *at++;
	if (!strcmp(at, "inf") || !strcmp(at, "nan")) {
		double number = *at == 'i' ? (double)INFINITY : (double)NAN;
		ret->type = TOML_FLOAT;
		ret->number = token->text[0] == '-' ? -number : number;
		return 0;
	}
	if ((at[0] == '0' && (is_digit(at[1]) || at[1] == '_')) || !digits(&at, 10, &to))
		return bad(scan, token);
	if (!*at) {
		*to = '\0';
		ret->type = TOML_INT;
		return parse_int(scan, clean, 10, &ret->integer);
	}
	if (!fraction(&at, &to))
		return bad(scan, token);
	*to = '\0';
	ret->type = TOML_FLOAT;
	ret->number = strtod(clean, NULL);
	if (isinf(ret->number))
		return toml_scan_fail(scan, "a float outside the range of doubles");
	return 0;
}

int toml_scan_scalar(struct toml_scan *scan, struct toml_value *ret)
{
	struct token token;

	if (cut_token(scan, &token) < 0)
		return -1;
	if (!strcmp(token.text, "true") || !strcmp(token.text, "false")) {
		ret->type = TOML_BOOL;
		ret->boolean = token.text[0] == 't';
	} else if (looks_like_date(token.text, token.len) || looks_like_time(token.text, token.len)) {
		if (!parse_moment(token.text, ret))
			return toml_scan_fail(scan, "\"%.64s\" is not a date or time", token.text);
	} else if (token.text[0] == '0' && token.len > 1 && strchr("xob", token.text[1])) {
		if (scan_based(scan, &token, ret) < 0)
			return -1;
	} else if (scan_number(scan, &token, ret) < 0) {
		return -1;
	}
	scan->at += token.len;
	return 0;
}
