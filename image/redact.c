/*
 * Word by word. In a word that holds "://" everything before the last '@' of each authority goes, and
 * everything from the first '?' or '#' on; so it does in a path. "Basic" and "Bearer" take the word behind
 * them along.
 */
#include "image/redact.h"

#include <string.h>
#include <strings.h>

static const char spaces[] = " \t\r\n\"'";

static bool is_scheme(const char *word, size_t len)
{
	return (len == 5 && strncasecmp(word, "basic", len) == 0) ||
	       (len == 6 && strncasecmp(word, "bearer", len) == 0);
}

/* Where the authority that begins at `from` goes on behind its user info. */
static const char *skip_user(const char *from, const char *end)
{
	const char *host = from;

	for (const char *c = from; c < end && !strchr("/?#", *c); c++)
		if (*c == '@')
			host = c + 1;
	return host;
}

static void add_word(const char *word, size_t len, struct str *out)
{
	const char *end = word + len;
	bool is_url = memmem(word, len, "://", 3) != NULL || memchr(word, '/', len) != NULL;

	for (const char *c = word; c < end; c++) {
		if (is_url && (*c == '?' || *c == '#')) {
			str_addf(out, "%c...", *c);
			return;
		}
		str_addc(out, *c >= 0x20 && *c < 0x7f ? *c : '?');
		if (*c == '/' && c - word >= 2 && c[-1] == '/' && c[-2] == ':')
			c = skip_user(c + 1, end) - 1;
	}
}

void redact(const char *text, struct str *out)
{
	bool secret = false;

	while (*text) {
		size_t len = strcspn(text, spaces);

		if (secret && len > 0)
			str_add(out, "...");
		else
			add_word(text, len, out);
		if (len > 0)
			secret = is_scheme(text, len);
		text += len;
		if (*text)
			str_addc(out, *text >= 0x20 ? *text : ' ');
		text += *text != '\0';
	}
}
