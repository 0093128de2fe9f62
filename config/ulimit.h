/*
 * A resource limit as default_ulimits writes it: "nofile=1024:2048", soft and hard, or "nofile=1024" for
 * both;
 * "-1" is no limit. Names are those of setrlimit(2) in lower case, as in CRI-O and Docker. A pure function.
 */
#ifndef CONFIG_ULIMIT_H
#define CONFIG_ULIMIT_H

#include <stdint.h>

struct ulimit {
	const char *type;    /* "RLIMIT_NOFILE", static */
	int resource;        /* RLIMIT_NOFILE */
	uint64_t soft, hard; /* RLIM_INFINITY: no limit */
};

/* NULL, and *ret is filled; else what is wrong, to stand behind the quoted text. ret may be NULL. */
const char *ulimit_parse(const char *text, struct ulimit *ret);

#endif
