/*
 * containers-registries.conf(5), version 2: which hosts are asked for an image, in which order.
 *
 * Read are the main file (/etc/containers/registries.conf), every *.conf of the drop-in directory in lexical
 * order and the file of recorded short-name aliases (/var/cache/containers/short-name-aliases.conf), as far
 * as they exist. In a later file a [[registry]] with the same prefix replaces the earlier one whole,
 * unqualified-search-registries and short-name-mode replace, [aliases] merge ("" removes an alias). Errors
 * are "file:line: key: what"; unknown keys are errors too, since a misspelt "blocked" must not pass, and so
 * is the version 1 format ([registries.search] and the like).
 *
 * Where the manual leaves a choice:
 * - Without unqualified-search-registries in any file a short name means docker.io/NAME
 * (docker.io/library/NAME without a slash), as in containerd; an empty list forbids short names.
 * - A prefix that is a host covers that host at that port: "example.com" does not match example.com:5000. A
 * wildcard prefix covers all ports. Among wildcards the longest wins, any other match beats them.
 * - A location names no tag and no digest: an image keeps its own.
 *
 * Ownership and threads: an immutable, reference-counted snapshot like struct config.
 */
#ifndef CONFIG_REGISTRIES_H
#define CONFIG_REGISTRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"

#define REGISTRIES_FILE "/etc/containers/registries.conf"
#define REGISTRIES_DROPINS "/etc/containers/registries.conf.d"
#define REGISTRIES_ALIASES "/var/cache/containers/short-name-aliases.conf"

enum {
	REGISTRIES_REFERENCE_MAX = 1024, /* bytes of a reference given to the functions below */
	REGISTRIES_ENDPOINTS_MAX = 64,   /* mirrors of one registry, and itself */
};

struct registries;

struct registries_paths {
	const char *file;    /* NULL: REGISTRIES_FILE */
	const char *dropins; /* NULL: `file` with ".d" behind */
	const char *aliases; /* NULL: REGISTRIES_ALIASES */
	/* host[:port] names that count as insecure in addition (crisp.image.insecure_registries);
	 * NULL-terminated, or NULL */
	const char *const *insecure;
};

/* paths may be NULL. Missing files are no error. INVALID_ARGUMENT for bad content; *ret has one reference. */
int registries_load(const struct registries_paths *paths, struct registries **ret,
		    struct err *err) MUST_CHECK;
struct registries *registries_ref(struct registries *registries);
struct registries *registries_unref(struct registries *registries); /* returns NULL */
void registries_unrefp(struct registries **registries);

/* What the files ask for and crisp does not do, one line each, for the log: "file:line: key: what".
 * NULL-terminated. */
const char *const *registries_notes(const struct registries *registries);

/* credential-helpers, in order: "containers-auth.json" for the auth files, else the NAME of a program
 * docker-credential-NAME. NULL-terminated and borrowed; NULL when no file has any. */
const char *const *registries_credential_helpers(const struct registries *registries);

struct registry_endpoint {
	const char *host; /* "registry.local:5000": the name for credentials, certs.d and, docker.io apart,
			     the URL */
	const char *repository; /* the path below it, rewritten: "mirror/library/nginx" */
	bool insecure;          /* plain HTTP and unverified TLS are allowed */
	bool mirror;            /* false: the location itself, always the last */
};

struct registry_endpoints {
	const struct registry_endpoint *items;
	size_t len; /* at least 1 */
};

/*
 * The endpoints to try, in order, for a repository "host[:port]/path" without tag and digest (full, not
 * short). The longest matching prefix decides; a "*.domain" prefix matches every subdomain's host. Everything
 * is allocated in the arena and independent of the snapshot's life. PERMISSION_DENIED when the registry is
 * blocked, INVALID_ARGUMENT when repository has no host or is too long, or a rewritten one is not a valid
 * name.
 *
 * tag is the reference's tag or NULL: prefixes may name one ("host/path:tag"). digest likewise
 * ("host/path@sha256:...").
 */
struct registries_query {
	const char *repository;
	const char *tag;    /* NULL: none */
	const char *digest; /* NULL: none. With one, mirrors for digests are used, else those for tags */
};
int registries_endpoints(const struct registries *registries, const struct registries_query *query,
			 struct arena *arena, struct registry_endpoints *ret, struct err *err) MUST_CHECK;

/* True when name (no tag, no digest) does not begin with a host: a component with '.', ':' or "localhost",
 * then '/'. */
bool registries_is_short(const char *name);

struct registries_names {
	const char *const *items; /* full repository names, NULL-terminated */
	size_t len;               /* at least 1 */
	const char *origin; /* for messages: "alias of FILE", "unqualified-search registries", "docker.io" */
};

/*
 * The full names to try, in order, for a short name (no tag, no digest). An alias gives exactly one; else the
 * search list gives one for each registry. With short-name-mode "enforcing" and more than one candidate the
 * name is ambiguous (there is no terminal to ask at): INVALID_ARGUMENT; "permissive", the default, and
 * "disabled" yield them all. NOT_FOUND when the search list was set to be empty. A full name yields itself;
 * docker.io/nginx and index.docker.io/nginx are docker.io/library/nginx.
 */
int registries_resolve(const struct registries *registries, const char *name, struct arena *arena,
		       struct registries_names *ret, struct err *err) MUST_CHECK;

#endif
