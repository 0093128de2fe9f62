/*
 * One pass over number-unit pairs. Fractions are carried as an integer below a power of ten, so that "0.1s"
 * is exactly 100 ms; digits past the ninth are dropped.
 */
#include "config/duration.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

struct unit {
	const char *name;
	int64_t ns;
};

/* Longest names first among those with a common beginning: "ms" before "m". */
static const struct unit units[] = {
	{ "ns", 1 },         { "us", NS_PER_US },      { "ms", NS_PER_MS },
	{ "s", NS_PER_SEC }, { "m", 60 * NS_PER_SEC }, { "h", 3600 * NS_PER_SEC },
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const struct unit *take_unit(const char **at)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (str_has_prefix(*at, units[i].name)) {
			*at += strlen(units[i].name);
			return &units[i];
		}
	}
	return NULL;
}

/* One "1.5h": adds it to *total. */
static bool take_part(const char **at, int64_t *total)
{
	int64_t whole = 0, fraction = 0, scale = 1;

	if (!is_digit(**at))
		return false;
	for (; is_digit(**at); (*at)++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, **at - '0', &whole))
			return false;
	if (**at == '.') {
		(*at)++;
		if (!is_digit(**at))
			return false;
		for (; is_digit(**at); (*at)++) {
			if (scale < NS_PER_SEC) {
				fraction = fraction * 10 + (**at - '0');
				scale *= 10;
			}
		}
	}
	const struct unit *unit = take_unit(at);
	if (!unit || __builtin_mul_overflow(whole, unit->ns, &whole))
		return false;
	/* unit->ns is at most 3.6e12 and fraction below 1e9: the product passes 64 bits for hours */
	int64_t part = (int64_t)((__int128)fraction * unit->ns / scale);
	return !__builtin_add_overflow(whole, part, &whole) && !__builtin_add_overflow(*total, whole, total);
}

bool duration_parse(const char *text, int64_t *ret)
{
	int64_t total = 0;

	if (!strcmp(text, "0")) {
		*ret = 0;
		return true;
	}
	do {
		if (!take_part(&text, &total))
			return false;
	} while (*text);
	*ret = total;
	return true;
}

void duration_print(struct str *out, int64_t ns)
{
	static const struct unit order[] = {
		{ "h", 3600 * NS_PER_SEC }, { "m", 60 * NS_PER_SEC }, { "s", NS_PER_SEC },
		{ "ms", NS_PER_MS },        { "us", NS_PER_US },      { "ns", 1 },
	};

	assert(ns >= 0);
	if (ns == 0)
		str_add(out, "0s");
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		if (ns >= order[i].ns)
			str_addf(out, "%lld%s", (long long)(ns / order[i].ns), order[i].name);
		ns %= order[i].ns;
	}
}
