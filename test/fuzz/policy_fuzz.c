/* floor: image
 *
 * A policy.json. What is refused says so in the kubelet's word; a policy without "insecureAcceptAnything"
 * anywhere in its text accepts nothing.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "image/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char tag[] = "v1";
	static const char *const names[] = { "r.io/team/app", "docker.io/library/x", "a.example.com:5000/x" };
	/* An escape may stand for any letter of it. */
	bool may_accept = memmem(data, len, "insecureAcceptAnything", 22) || memchr(data, '\\', len);
	CLEANUP(policy_freep) struct policy *policy = NULL;
	struct err err = { 0 };

	if (policy_parse((const char *)data, len, "policy", &policy, &err) < 0) {
		assert(!policy && err.code == RPC_UNKNOWN);
		assert(str_has_prefix(err.text, "SignatureValidationFailed"));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct reference reference = { .name = (char *)names[i], .tag = tag };

		if (policy_check(policy, names[i], &reference, &err) == 0)
			assert(may_accept);
		else
			assert(str_has_prefix(err.text, "SignatureValidationFailed"));
	}
	return 0;
}
