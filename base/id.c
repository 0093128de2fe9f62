/* Randomness comes from getrandom(2): unique across restarts and hosts, and not to be guessed. */
#include "base/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *data, size_t len)
{
	unsigned char *at = data;

	while (len) {
		ssize_t n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fputs("crispd: getrandom failed\n", stderr);
			abort();
		}
		at += n;
		len -= (size_t)n;
	}
}

void hex_encode(const void *data, size_t len, char *text)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
}

void id_new(char id[ID_SIZE])
{
	unsigned char bytes[ID_LEN / 2];

	random_bytes(bytes, sizeof(bytes));
	hex_encode(bytes, sizeof(bytes), id);
}

bool id_plausible(const char *id)
{
	size_t len = strnlen(id, ID_LEN + 1);

	return len > 0 && len <= ID_LEN && strspn(id, "0123456789abcdef") == len;
}

bool id_valid(const char *id)
{
	return id_plausible(id) && strlen(id) == ID_LEN;
}
