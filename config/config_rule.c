/*
 * The rules are about syntax and about what is dangerous whoever wrote it (a sysctl that reaches the host, a
 * path that climbs). Whether a path exists is not asked here: a configuration must be readable on a host that
 * is still being set up; `crispd check` looks at the host.
 */
#include "config/config_rule.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/un.h>

#include "base/str.h"
#include "config/metric_group.h"
#include "config/ulimit.h"

const char *rule_path(const char *text)
{
	if (text[0] != '/')
		return "is not an absolute path";
	if (strlen(text) >= PATH_MAX)
		return "is longer than a path may be";
	for (const char *at = text; *at;) {
		size_t len = strcspn(++at, "/"); /* at stood on a '/' */
		if (len == 0 && at[0] == '/')
			return "holds an empty path component";
		if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return "holds a \".\" or \"..\" component";
		at += len;
	}
	return NULL;
}

const char *rule_socket(const char *text)
{
	struct sockaddr_un address;

	if (strlen(text) >= sizeof(address.sun_path))
		return "is longer than the 107 bytes of a unix socket's path";
	return rule_path(text);
}

const char *rule_address(const char *text)
{
	struct in6_addr address; /* room for both kinds */

	if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1)
		return NULL;
	return "is not an IP address";
}

const char *rule_regex(const char *text)
{
	regex_t compiled;

	if (regcomp(&compiled, text, REG_EXTENDED | REG_NOSUB) != 0)
		return "is not a POSIX extended regular expression";
	regfree(&compiled);
	return NULL;
}

const char *rule_env(const char *text)
{
	const char *equals = strchr(text, '=');

	return equals && equals != text ? NULL : "is not KEY=VALUE";
}

const char *rule_ulimit(const char *text)
{
	return ulimit_parse(text, NULL);
}

const char *rule_timezone(const char *text)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/";

	if (!isalpha((unsigned char)*text) || text[strspn(text, chars)] || strlen(text) > 255 ||
	    strstr(text, "//") || str_has_suffix(text, "/"))
		return "is not \"local\" or a time zone's name such as \"Europe/Berlin\"";
	return NULL;
}

/* The sysctls that belong to the IPC and network namespaces (namespaces(7)); all others are the host's. */
static bool is_namespaced(const char *key, size_t len)
{
	static const char *const exact[] = { "kernel.sem",    "kernel.shmall",          "kernel.shmmax",
					     "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.msgmax",
					     "kernel.msgmnb", "kernel.msgmni" };

	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (strlen(exact[i]) == len && !memcmp(exact[i], key, len))
			return true;
	return (len > 10 && !memcmp(key, "fs.mqueue.", 10)) || (len > 4 && !memcmp(key, "net.", 4));
}

const char *rule_sysctl(const char *text)
{
	static const char key_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
	size_t len = strspn(text, key_chars);

	if (len == 0 || text[len] != '=' || !text[len + 1])
		return "is not KEY=VALUE";
	if (memmem(text, len, "..", 2) || memmem(text, len, "//", 2))
		return "holds an empty component";
	if (!is_namespaced(text, len))
		return "is not a sysctl of the IPC or network namespace";
	if (!str_is_printable(text + len + 1))
		return "holds a character that is not printable";
	return NULL;
}

const char *rule_capability(const char *text)
{
	static const char wrong[] = "is not a capability such as \"CHOWN\"";
	char name[64];
	cap_value_t value;

	for (const char *at = text; *at; at++)
		if (!isupper((unsigned char)*at) && *at != '_')
			return wrong;
	if (snprintf(name, sizeof(name), "cap_%s", text) >= (int)sizeof(name))
		return wrong;
	for (char *at = name; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	return cap_from_name(name, &value) < 0 ? wrong : NULL;
}

const char *rule_cipher_suite(const char *text)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return strncmp(text, "TLS_", 4) == 0 && !text[strspn(text, chars)] ? NULL
									   : "is not a cipher suite's name";
}

const char *rule_annotation(const char *text)
{
	return *text && str_is_printable(text) && !strchr(text, ' ') ? NULL : "is not an annotation's key";
}

const char *rule_cgroup(const char *text)
{
	if (*text != '/' && !str_has_suffix(text, ".slice"))
		return "is neither a cgroup's path nor a slice";
	return *text == '/' ? rule_path(text) : NULL;
}

const char *rule_metric_group(const char *text)
{
	return metric_group_set(text) ? NULL
				      : "is none of all, cpu, disk, diskIO, hugetlb, memory, misc, network, "
					"oom, pressure, process and spec";
}

const char *rule_registry(const char *text)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:[]";

	if (!*text || text[strspn(text, chars)])
		return "is not a registry's host[:port]";
	return NULL;
}

const char *rule_image_pattern(const char *text)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:[]/@*";

	return *text && !text[strspn(text, chars)] ? NULL : "is not an image's name or pattern";
}

const char *rule_profile(const char *text)
{
	return *text && str_is_printable(text) ? NULL : "is not a profile's name";
}

const char *rule_handler(const char *text)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	if (!isalnum((unsigned char)*text) || text[strspn(text, chars)] || strlen(text) > 63)
		return "is not a runtime's name: at most 63 of a-z A-Z 0-9 . _ -, the first a letter or digit";
	return NULL;
}

const char *rule_network(const char *text)
{
	return str_is_printable(text) && !strchr(text, '/') ? NULL : "is not a network's name";
}

const char *rule_runtime_type(const char *text)
{
	return str_eq(text, "oci") ? NULL : "is not supported: only \"oci\" runtimes are";
}

const char *rule_collector(const char *text)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

	return *text && !text[strspn(text, chars)] ? NULL : "is not a metric's name";
}

const char *rule_endpoint(const char *text)
{
	if (str_has_prefix(text, "http://"))
		text += strlen("http://");
	else if (str_has_prefix(text, "https://"))
		text += strlen("https://");
	else if (strchr(text, '/'))
		return "is neither HOST:PORT nor an http:// or https:// URL";
	return *text && *text != '/' && *text != ':' && str_is_printable(text) && !strpbrk(text, " @")
		       ? NULL
		       : "is neither HOST:PORT nor an http:// or https:// URL";
}

const char *rule_no_classes(const char *text)
{
	return *text ? "is not done by crisp: it has no blockio and RDT classes" : NULL;
}
