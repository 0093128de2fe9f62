/* A hook file as read, for sandbox/hooks*.c only. */
#ifndef SANDBOX_HOOKS_READ_H
#define SANDBOX_HOOKS_READ_H

#include <regex.h>
#include <stdbool.h>

#include "base/json.h"
#include "sandbox/hooks_entry.h"

struct hooks_when {
	json_t *always_json, *bind_mounts_json; /* only while it is decoded */
	bool has_always, always, has_bind_mounts, bind_mounts;
	struct json_string_map annotations; /* of patterns */
	struct json_strings commands;
	regex_t *patterns; /* of each annotation's key and value, then of the commands */
	size_t patterns_len;
};

struct hooks_file {
	char *version;
	struct hooks_entry entry;
	struct hooks_when when;
	struct json_strings stages;
};

#endif
