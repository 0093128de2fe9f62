/*
 * One function knows the rules: sequence() gives the length of the valid sequence at a position, or 0. The
 * range of the second byte depends on the first (the table of RFC 3629 section 4), all others are 80..BF.
 * Eight ASCII bytes at a time are skipped, since nearly all text here is ASCII.
 */
#include "proto/utf8.h"

#include <stdint.h>
#include <string.h>

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

static bool second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return is_tail(second);
	}
}

static size_t sequence(const unsigned char *at, size_t len)
{
	size_t need;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] <= 0xdf)
		need = 2;
	else if (at[0] >= 0xe0 && at[0] <= 0xef)
		need = 3;
	else if (at[0] >= 0xf0 && at[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (len < need || !second_fits(at[0], at[1]))
		return 0;
	for (size_t i = 2; i < need; i++) {
		if (!is_tail(at[i]))
			return 0;
	}
	return need;
}

size_t utf8_prefix(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint64_t eight;

		if (len - at >= sizeof(eight)) {
			memcpy(&eight, text + at, sizeof(eight));
			if (!(eight & UINT64_C(0x8080808080808080))) {
				at += sizeof(eight);
				continue;
			}
		}
		size_t step = sequence((const unsigned char *)text + at, len - at);
		if (!step)
			break;
		at += step;
	}
	return at;
}

bool utf8_valid(const char *text, size_t len)
{
	return utf8_prefix(text, len) == len;
}

void utf8_mend(struct str *out, const char *text, size_t len)
{
	while (len > 0) {
		size_t good = utf8_prefix(text, len);

		str_addn(out, text, good);
		text += good;
		len -= good;
		if (len > 0) {
			str_add(out, "\xef\xbf\xbd");
			text++;
			len--;
		}
	}
}
