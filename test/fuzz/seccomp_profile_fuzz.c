/* floor: sandbox
 *
 * A seccomp profile: parsed, made into the OCI form, and, when it is small, compiled.
 */
#include <assert.h>
#include <jansson.h>
#include <linux/filter.h>
#include <string.h>

#include "base/json.h"
#include "fuzz.h"
#include "sandbox/seccomp_profile.h"

enum { ARENA_MAX = 16 * 1024 * 1024, RULES_COMPILED = 4, NAMES_COMPILED = 256 };

static bool is_small(const struct seccomp_profile *profile)
{
	size_t bytes = 0;

	for (size_t i = 0; i < profile->rules_len; i++)
		bytes += strlen(profile->rules[i].names);
	return profile->rules_len <= RULES_COMPILED && bytes <= NAMES_COMPILED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_MAX);
	CLEANUP(json_decrefp) json_t *oci = NULL;
	struct str bpf CLEANUP(str_done) = STR_INIT;
	struct seccomp_profile profile;
	struct err err = { 0 };

	if (len > 64 * 1024)
		return 0;
	if (seccomp_profile_parse((const char *)data, len, arena, &profile, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT && *err.text);
		return 0;
	}
	oci = seccomp_profile_oci(&profile, 0);
	assert(json_is_string(json_object_get(oci, "defaultAction")) &&
	       json_is_array(json_object_get(oci, "syscalls")));
	if (!is_small(&profile))
		return 0;
	if (seccomp_profile_compile(&profile, seccomp_profile_capabilities(&profile), &bpf, &err) < 0)
		assert(err.code == RPC_INVALID_ARGUMENT);
	else
		assert(bpf.len > 0 && bpf.len % sizeof(struct sock_filter) == 0);
	return 0;
}
