/*
 * One hook of the OCI runtime specification (1.0.2, config.md "POSIX-platform Hooks") as CDI specs and hook
 * files write it, and the stages at which runtimes run hooks.
 *
 * A hook without an environment of its own gets HOOK_PATH and nothing else: some runtimes would hand it
 * their own otherwise, and none may see what an image's or a pod's environment says (CVE-2025-23266).
 */
#ifndef SANDBOX_HOOKS_ENTRY_H
#define SANDBOX_HOOKS_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define HOOK_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct hooks_entry {
	char *path; /* absolute */
	struct json_strings args, env;
	json_t *timeout_json; /* only while it is decoded */
	int64_t timeout;      /* seconds; 0: none */
};

extern const struct json_field hooks_entry_fields[];

/* After decoding: takes over what the JSON document holds and checks it. INVALID_ARGUMENT. */
int hooks_entry_check(struct hooks_entry *entry, struct err *err) MUST_CHECK;
bool hooks_stage_known(const char *stage);
/* Appends the hook to hooks (an OCI "hooks" object) at a stage. */
void hooks_entry_add(const struct hooks_entry *entry, const char *stage, json_t *hooks);

/* INVALID_ARGUMENT with the key when an object of the document, or of one below it, has one that its table
 * does not have. */
int hooks_known_keys(const json_t *json, const struct json_field *fields, struct err *err) MUST_CHECK;

#endif
