/*
 * Whole numbers only: up to 19 significant digits as an integer, the rest as a power of ten, then multiplied
 * (by a power of two, of ten) or divided by ten, rounding up, so that nothing is lost in between. 19 digits
 * and 60 bits fit into 128.
 */
#include "cni/quantity.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

typedef unsigned __int128 wide;

enum { DIGITS_MAX = 19, POWER_MAX = 100 };

struct suffix {
	const char *text;
	int ten, two; /* powers */
};

static const struct suffix suffixes[] = {
	{ "", 0, 0 },    { "n", -9, 0 },  { "u", -6, 0 },  { "m", -3, 0 },  { "k", 3, 0 },   { "M", 6, 0 },
	{ "G", 9, 0 },   { "T", 12, 0 },  { "P", 15, 0 },  { "E", 18, 0 },  { "Ki", 0, 10 }, { "Mi", 0, 20 },
	{ "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 }, { "Ei", 0, 60 },
};

/* "e3", "E+3", "e-3" */
static bool parse_exponent(const char *text, int *ret)
{
	uint64_t power;
	bool negative = text[1] == '-';

	if ((*text != 'e' && *text != 'E') ||
	    !parse_u64(text + 1 + (negative || text[1] == '+'), POWER_MAX, &power))
		return false;
	*ret = negative ? -(int)power : (int)power;
	return true;
}

static bool parse_suffix(const char *text, int *ret_ten, int *ret_two)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (strcmp(text, suffixes[i].text) == 0) {
			*ret_ten = suffixes[i].ten;
			*ret_two = suffixes[i].two;
			return true;
		}
	*ret_two = 0;
	return parse_exponent(text, ret_ten);
}

/* Digits with at most one point in them; *ret_ten is what the value has to be multiplied with, as a power. */
static const char *parse_digits(const char *text, wide *ret, int *ret_ten)
{
	bool point = false, any = false;
	int kept = 0;

	for (*ret = 0, *ret_ten = 0;; text++) {
		if (*text == '.' && !point) {
			point = true;
			continue;
		}
		if (*text < '0' || *text > '9')
			return any ? text : NULL;
		any = true;
		if (kept < DIGITS_MAX) {
			*ret = *ret * 10 + (wide)(*text - '0');
			kept += *ret > 0;
			*ret_ten -= point;
		} else {
			*ret_ten += !point;
		}
	}
}

static int64_t scale(wide value, int ten, int two)
{
	value <<= two;
	for (; ten < 0 && value > 0; ten++)
		value = (value + 9) / 10;
	for (; ten > 0 && value > 0 && value <= INT64_MAX; ten--)
		value *= 10;
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

int quantity_parse(const char *text, int64_t *ret, struct err *err)
{
	bool negative = *text == '-';
	int ten, two, point;
	wide value;

	const char *rest = strlen(text) > QUANTITY_TEXT_MAX
				   ? NULL
				   : parse_digits(text + (negative || *text == '+'), &value, &point);
	if (!rest || !parse_suffix(rest, &ten, &two))
		return err_set(err, RPC_INVALID_ARGUMENT, "\"%.64s\" is no quantity", text);
	int64_t magnitude = scale(value, ten + point, two);
	*ret = negative ? -magnitude : magnitude;
	return 0;
}
