/* The table is the whole truth about names; numbers are those of the kernel, in its own units. */
#include "config/ulimit.h"

#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/str.h"

static const struct {
	const char *name, *type;
	int resource;
} limits[] = {
	{ "as", "RLIMIT_AS", RLIMIT_AS },
	{ "core", "RLIMIT_CORE", RLIMIT_CORE },
	{ "cpu", "RLIMIT_CPU", RLIMIT_CPU },
	{ "data", "RLIMIT_DATA", RLIMIT_DATA },
	{ "fsize", "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "locks", "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "msgqueue", "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "nice", "RLIMIT_NICE", RLIMIT_NICE },
	{ "nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "nproc", "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "rss", "RLIMIT_RSS", RLIMIT_RSS },
	{ "rtprio", "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "rttime", "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "sigpending", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "stack", "RLIMIT_STACK", RLIMIT_STACK },
};

static bool parse_value(const char *text, uint64_t *ret)
{
	if (str_eq(text, "-1")) {
		*ret = RLIM_INFINITY;
		return true;
	}
	return parse_u64(text, INT64_MAX, ret);
}

const char *ulimit_parse(const char *text, struct ulimit *ret)
{
	static const char wrong[] = "is not NAME=SOFT:HARD, numbers or -1";
	size_t name = strcspn(text, "=");
	struct ulimit limit = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (strlen(limits[i].name) == name && memcmp(limits[i].name, text, name) == 0) {
			limit.type = limits[i].type;
			limit.resource = limits[i].resource;
		}
	if (!text[name])
		return wrong;
	if (!limit.type)
		return "is not a limit that there is, such as \"nofile\"";
	const char *values = text + name + 1;
	size_t len = strcspn(values, ":");
	CLEANUP(freep) char *soft = xstrndup(values, len);
	if (!parse_value(soft, &limit.soft) ||
	    !parse_value(values[len] ? values + len + 1 : soft, &limit.hard))
		return wrong;
	if (limit.soft > limit.hard)
		return "has a soft limit above the hard one";
	if (ret)
		*ret = limit;
	return NULL;
}
