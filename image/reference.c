/*
 * The grammar is walked by hand over bounded text, without regular expressions:
 *
 *   reference  := name [ ":" tag ] [ "@" digest ]
 *   name       := [ domain "/" ] component { "/" component }
 *   domain     := ( label { "." label } | "[" ipv6 "]" ) [ ":" port ]
 *   component  := alnum { separator alnum },  separator := "." | "_" | "__" | "-" { "-" },  lower case only
 *   tag        := word [ word | "." | "-" ]{0,127}
 *
 * The first '@' starts the digest; the last ':' behind the last '/' starts the tag. ".." and "." can't be
 * components, so a valid name is also safe as a path of a URL.
 */
#include "image/reference.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c);
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* One '.', one or two '_' or any number of '-'; 0 for something else. */
static size_t separator_len(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] == text[0])
		n++;
	if (text[0] == '-' || (text[0] == '.' && n == 1) || (text[0] == '_' && n <= 2))
		return n;
	return 0;
}

static bool component_valid(const char *text, size_t len)
{
	size_t i = 0;

	if (len == 0 || !is_lower_alnum(text[0]))
		return false;
	while (i < len) {
		size_t n;

		if (is_lower_alnum(text[i])) {
			i++;
			continue;
		}
		n = separator_len(text + i, len - i);
		if (n == 0 || i + n >= len || !is_lower_alnum(text[i + n]))
			return false;
		i += n;
	}
	return true;
}

static bool path_valid(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (!component_valid(path, len))
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

static bool label_valid(const char *text, size_t len)
{
	if (len == 0 || len > 63 || !is_alnum(text[0]) || !is_alnum(text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(text[i]) && text[i] != '-')
			return false;
	return true;
}

static bool host_valid(const char *host)
{
	for (;;) {
		size_t len = strcspn(host, ".");

		if (!label_valid(host, len))
			return false;
		if (host[len] == '\0')
			return true;
		host += len + 1;
	}
}

static bool port_valid(const char *port)
{
	uint64_t number;

	return strlen(port) <= 5 && parse_u64(port, 65535, &number) && number > 0;
}

static bool bracketed_valid(const char *domain)
{
	const char *end = strchr(domain, ']');
	CLEANUP(freep) char *address = NULL;
	struct in6_addr in6;

	if (!end || (end[1] != '\0' && (end[1] != ':' || !port_valid(end + 2))))
		return false;
	address = xstrndup(domain + 1, (size_t)(end - domain - 1));
	return inet_pton(AF_INET6, address, &in6) == 1;
}

static bool domain_valid(const char *domain)
{
	const char *colon;
	CLEANUP(freep) char *host = NULL;

	if (domain[0] == '[')
		return bracketed_valid(domain);
	colon = strchr(domain, ':');
	if (colon && !port_valid(colon + 1))
		return false;
	host = xstrndup(domain, colon ? (size_t)(colon - domain) : strlen(domain));
	return host_valid(host);
}

bool reference_has_domain(const char *name)
{
	size_t len = strcspn(name, "/");

	if (name[len] == '\0')
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '.' || name[i] == ':')
			return true;
	return len == strlen("localhost") && strncmp(name, "localhost", len) == 0;
}

bool reference_name_valid(const char *name)
{
	CLEANUP(freep) char *domain = NULL;
	const char *slash;

	if (strlen(name) > REFERENCE_NAME_MAX)
		return false;
	if (!reference_has_domain(name))
		return path_valid(name) && !id_valid(name);
	slash = strchr(name, '/');
	domain = xstrndup(name, (size_t)(slash - name));
	return domain_valid(domain) && path_valid(slash + 1);
}

bool reference_tag_valid(const char *tag)
{
	size_t len = strlen(tag);

	if (len == 0 || len > REFERENCE_TAG_MAX || tag[0] == '.' || tag[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(tag[i]) && tag[i] != '_' && tag[i] != '.' && tag[i] != '-')
			return false;
	return true;
}

/* text is a private copy that is cut into its parts in place. */
static int parse_parts(char *text, struct reference *reference, struct err *err)
{
	char *at = strchr(text, '@');
	char *slash, *colon;

	if (at) {
		*at = '\0';
		if (digest_parse(at + 1, &reference->digest, err) < 0)
			return -1;
		reference->has_digest = true;
	}
	slash = strrchr(text, '/');
	colon = strrchr(slash ? slash : text, ':');
	if (colon) {
		*colon = '\0';
		if (!reference_tag_valid(colon + 1))
			return err_set(err, RPC_INVALID_ARGUMENT, "malformed tag");
		reference->tag = xstrdup(colon + 1);
	}
	if (strlen(text) > REFERENCE_NAME_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "name is longer than %d bytes", REFERENCE_NAME_MAX);
	if (!reference_name_valid(text))
		return err_set(err, RPC_INVALID_ARGUMENT, "malformed name");
	reference->name = xstrdup(text);
	return 0;
}

int reference_parse(const char *text, struct reference *ret, struct err *err)
{
	CLEANUP(reference_done) struct reference reference = { 0 };
	CLEANUP(freep) char *copy = NULL;

	if (text[0] == '\0')
		return err_set(err, RPC_INVALID_ARGUMENT, "image reference is empty");
	if (strlen(text) > REFERENCE_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "image reference is longer than %d bytes",
			       REFERENCE_MAX);
	if (!str_is_printable(text))
		return err_set(err, RPC_INVALID_ARGUMENT, "image reference has unprintable bytes");
	copy = xstrdup(text);
	if (parse_parts(copy, &reference, err) < 0)
		return err_prefix(err, "image reference \"%s\"", text);
	*ret = reference;
	reference = (struct reference){ 0 };
	return 0;
}

void reference_done(struct reference *reference)
{
	free(reference->name);
	free(reference->tag);
	*reference = (struct reference){ 0 };
}

char *reference_normalise(const char *name)
{
	const char *path = name;

	if (reference_has_domain(name)) {
		if (str_has_prefix(name, "docker.io/"))
			path = name + strlen("docker.io/");
		else if (str_has_prefix(name, "index.docker.io/"))
			path = name + strlen("index.docker.io/");
		else
			return xstrdup(name);
	}
	return xasprintf("docker.io/%s%s", strchr(path, '/') ? "" : "library/", path);
}

const char *reference_tag(const struct reference *reference)
{
	return reference->tag ? reference->tag : "latest";
}

char *reference_text(const struct reference *reference, const char *repository)
{
	char digest[DIGEST_TEXT_SIZE];

	if (!reference->has_digest)
		return xasprintf("%s:%s", repository, reference_tag(reference));
	digest_text(&reference->digest, digest);
	return xasprintf("%s@%s", repository, digest);
}
