/*
 * Six bits a character, gathered in an accumulator and given out as bytes when eight are there. What is left
 * over at the end must be zero bits; padding, when present, must fill the last group of four exactly.
 */
#include "proto/base64.h"

void base64_encode(struct str *out, const void *data, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *bytes = data;
	size_t size = (len + 2) / 3 * 4;
	char *to = str_room(out, size);

	if (!to)
		return;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)bytes[i + 1] << 8;
		if (i + 2 < len)
			group |= bytes[i + 2];
		*to++ = alphabet[group >> 18];
		*to++ = alphabet[group >> 12 & 63];
		*to++ = i + 1 < len ? alphabet[group >> 6 & 63] : '=';
		*to++ = i + 2 < len ? alphabet[group & 63] : '=';
	}
	str_grown(out, size);
}

size_t base64_room(size_t len)
{
	return len / 4 * 3 + 3;
}

static int six_bits(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

/* The characters that carry bits; false when the padding behind them is wrong. */
static bool strip_padding(const char *text, size_t *len)
{
	size_t padded = *len;

	while (*len > 0 && padded - *len < 2 && text[*len - 1] == '=')
		(*len)--;
	return padded == *len || padded % 4 == 0;
}

bool base64_decode(const char *text, size_t len, uint8_t *out, size_t *ret_len)
{
	uint32_t bits = 0;
	int held = 0;
	size_t made = 0;

	if (!strip_padding(text, &len) || len % 4 == 1)
		return false;
	for (size_t i = 0; i < len; i++) {
		int six = six_bits(text[i]);

		if (six < 0)
			return false;
		bits = bits << 6 | (uint32_t)six;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[made++] = (uint8_t)(bits >> held);
			bits &= (1U << held) - 1;
		}
	}
	if (bits)
		return false;
	*ret_len = made;
	return true;
}
