/*
 * challenges := challenge { "," challenge };  challenge := scheme [ SP param { "," param } ];
 * param := token "=" ( token | quoted-string )
 *
 * A comma separates challenges and parameters alike, so after one the parser looks ahead: a token followed by
 * "=" goes on with parameters, anything else starts the next challenge. A "token68" credential behind a
 * scheme (RFC 9110 11.2) does not occur in the two schemes that are wanted and is skipped.
 */
#include "image/challenge.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_space(const char *text)
{
	while (*text == ' ' || *text == '\t')
		text++;
	return text;
}

static size_t token_len(const char *text)
{
	size_t len = 0;

	while (is_token_char(text[len]))
		len++;
	return len;
}

/* Parses a token or a quoted string at *text and moves behind it; NULL when there is none. malloc'd. */
static char *parse_value(const char **text)
{
	CLEANUP(str_done) struct str value = STR_INIT;
	const char *at = *text;

	if (*at != '"') {
		size_t len = token_len(at);

		*text = at + len;
		return len ? xstrndup(at, len) : NULL;
	}
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		str_addc(&value, *at);
	}
	if (*at != '"')
		return NULL;
	*text = at + 1;
	return str_take(&value);
}

static void keep(struct challenge *challenge, const char *name, size_t len, char *value_take)
{
	char **slot = NULL;

	if (len == 5 && strncasecmp(name, "realm", len) == 0)
		slot = &challenge->realm;
	else if (len == 7 && strncasecmp(name, "service", len) == 0)
		slot = &challenge->service;
	else if (len == 5 && strncasecmp(name, "scope", len) == 0)
		slot = &challenge->scope;
	if (!slot) {
		free(value_take);
		return;
	}
	free(*slot);
	*slot = value_take;
}

/* "name = value" at *text; false (and *text unmoved) when it is no parameter; *bad when it is a broken one.
 */
static bool parse_param(const char **text, struct challenge *challenge, bool *bad)
{
	const char *name = *text;
	size_t len = token_len(name);
	const char *at = skip_space(name + len);
	char *value;

	if (len == 0 || *at != '=')
		return false;
	at = skip_space(at + 1);
	if (*at == '\0' || *at == ',' || *at == '=') { /* the padding of a token68 */
		while (*at == '=')
			at++;
		*text = skip_space(at);
		return true;
	}
	value = parse_value(&at);
	if (!value) {
		*bad = true;
		return false;
	}
	keep(challenge, name, len, value);
	*text = skip_space(at);
	return true;
}

/* One challenge at *text into *one; false when malformed. */
static bool parse_one(const char **text, struct challenge *one)
{
	size_t len = token_len(*text);
	const char *at;
	bool bad = false;

	if (len == 0)
		return false;
	one->basic = len == 5 && strncasecmp(*text, "basic", len) == 0;
	one->bearer = len == 6 && strncasecmp(*text, "bearer", len) == 0;
	at = skip_space(*text + len);
	while (*at && *at != ',') {
		if (!parse_param(&at, one, &bad)) {
			if (bad)
				return false;
			at += strcspn(at, ", \t"); /* a token68 */
			at = skip_space(at);
			continue;
		}
		if (*at == ',') {
			const char *next = skip_space(at + 1);
			size_t next_len = token_len(next);

			if (next_len > 0 && *skip_space(next + next_len) == '=')
				at = next;
		} else if (*at) {
			return false;
		}
	}
	*text = at;
	return true;
}

static void merge(struct challenge *all, struct challenge *one)
{
	all->basic = all->basic || one->basic;
	if (!one->bearer || all->bearer)
		return;
	all->bearer = true;
	all->realm = TAKE(one->realm);
	all->service = TAKE(one->service);
	all->scope = TAKE(one->scope);
}

void challenge_done(struct challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
	*challenge = (struct challenge){ 0 };
}

bool challenge_add(struct challenge *challenge, const char *header)
{
	CLEANUP(challenge_done) struct challenge all = { 0 };
	const char *at = header;

	if (strlen(header) > CHALLENGE_TEXT_MAX)
		return false;
	for (;;) {
		CLEANUP(challenge_done) struct challenge one = { 0 };

		while (*at == ',' || *at == ' ' || *at == '\t')
			at++;
		if (*at == '\0')
			break;
		if (!parse_one(&at, &one))
			return false;
		merge(&all, &one);
	}
	merge(challenge, &all);
	return true;
}
