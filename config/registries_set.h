/*
 * The inside of a registries snapshot, shared by its loader (registries_load.c) and its lookups
 * (registries.c).
 */
#ifndef CONFIG_REGISTRIES_SET_H
#define CONFIG_REGISTRIES_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"
#include "config/toml.h"

enum registries_short_mode { SHORT_PERMISSIVE, SHORT_ENFORCING, SHORT_DISABLED };
enum registries_mirror_use { MIRROR_ALL, MIRROR_DIGEST_ONLY, MIRROR_TAG_ONLY };

struct registries_mirror {
	const char *location; /* host[:port][/path], no '/' at the end */
	bool insecure;
	enum registries_mirror_use use;
};

struct registries_rule {
	const char *prefix;   /* host[:port][/path][:tag|@digest] or *.domain */
	const char *location; /* "": the image's own name is not rewritten (wildcards only) */
	bool insecure;
	bool blocked;
	bool digest_only; /* mirror-by-digest-only */
	struct registries_mirror *mirrors;
	size_t mirrors_len;
	const char *file; /* where it stands, for messages */
	int line;
};

struct registries_alias {
	const char *target; /* a full name without tag and digest; "": the alias is removed */
	const char *file;
};

struct registries {
	atomic_uint refs;
	struct arena *arena;           /* of every string and mirror below */
	struct registries_rule *rules; /* malloc'd */
	size_t rules_len;
	struct map aliases; /* short name -> struct registries_alias in the arena */
	struct strv search; /* unqualified-search-registries */
	bool search_set;
	enum registries_short_mode short_mode;
	struct strv insecure; /* hosts */
	struct strv helpers;  /* credential-helpers */
	struct strv notes;
};

struct registries *registries_new(void);
/* Applies one file's content on top of what came before. */
int registries_apply(struct registries *registries, const struct toml_value *root,
		     struct err *err) MUST_CHECK;
/* "docker.io/nginx" -> "docker.io/library/nginx", index.docker.io -> docker.io; allocated in arena. */
const char *registries_normal_name(const char *name, struct arena *arena);

#endif
