/*
 * The table of keys: from it come parsing, validation, defaults, `crispd config` and the difference of two
 * snapshots. Used by config/config*.c only.
 *
 * A section is a TOML table whose keys fill fields of one struct. config_sections[] holds all of them,
 * "crisp" first; the section of one runtime is apart, since its table's name is the user's.
 */
#ifndef CONFIG_CONFIG_KEY_H
#define CONFIG_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "config/config_rule.h"
#include "config/toml.h"

enum {
	CONFIG_STRING_MAX = 32768, /* bytes of one string */
	CONFIG_LIST_MAX = 1024,    /* strings in one array */
};

enum config_type {
	CONFIG_STRING,   /* const char *; rule applies unless "" and may_be_empty */
	CONFIG_PATH,     /* the same; a '/' at the end is cut off */
	CONFIG_STRINGS,  /* struct config_strings; rule applies to each */
	CONFIG_PATHS,    /* the same, each cut like CONFIG_PATH */
	CONFIG_BOOL,     /* bool */
	CONFIG_INT,      /* int64_t in [min, max], or -1 if may_be_unlimited */
	CONFIG_SECONDS,  /* an integer of seconds in the file; int64_t ns; min and max in seconds */
	CONFIG_DURATION, /* "1m30s" in the file; int64_t ns; min and max in ns */
	CONFIG_SIZE,     /* "64MiB" in the file; int64_t bytes; min and max in bytes */
	CONFIG_CHOICE,   /* one of the choices; an enum */
};

struct config_choice {
	const char *text; /* NULL ends the list */
	int value;
};

struct config_key {
	const char *name;
	enum config_type type;
	size_t offset;
	const char *value; /* the default, as TOML */
	const char *doc;   /* what it means, lines separated by '\n' */
	bool live;         /* a reload applies it */
	bool may_be_empty;
	bool may_be_unlimited;
	int64_t min, max;
	const struct config_choice *choices;
	config_rule *rule;
};

struct config_section {
	const char *path; /* "crisp.api" */
	const char *doc;
	const struct config_key
		*keys; /* offsets are in struct config, for a runtime in struct config_runtime */
	size_t keys_len;
};

extern const struct config_section config_sections[];
extern const size_t config_sections_len;
extern const struct config_section config_runtime_section; /* of [crisp.runtime.runtimes.NAME] */

struct config_target {
	void *base;          /* the struct that the key's offset is in */
	const char *path;    /* the section's name, for messages */
	struct arena *arena; /* for what is copied */
};

/* Fills the key's field from value. */
int config_key_decode(const struct config_key *key, const struct toml_value *value,
		      const struct config_target *target, struct err *err) MUST_CHECK;
/* A snapshot from a merged tree; its list of files is empty. scratch is the arena that the tree lives in. */
struct config;
int config_from_tree(const struct toml_value *tree, struct arena *scratch, struct config **ret,
		     struct err *err) MUST_CHECK;
/* Appends the field's value as TOML. */
void config_key_print(const struct config_key *key, const void *base, struct str *out);

#endif
