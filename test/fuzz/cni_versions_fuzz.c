/* floor: cni
 *
 * What a plugin printed after VERSION. Only versions that we know come out of it, each once.
 */
#include <assert.h>
#include <string.h>

#include "cni/versions.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(strv_done) struct strv versions = STRV_INIT;
	struct err err = { 0 };

	if (versions_parse((const char *)data, len, &versions, &err) < 0) {
		assert(err.code == RPC_INTERNAL && versions.len == 0);
		return 0;
	}
	for (size_t i = 0; i < versions.len; i++) {
		assert(conflist_known_version(versions.items[i]));
		for (size_t j = 0; j < i; j++)
			assert(strcmp(versions.items[i], versions.items[j]) != 0);
	}
	return 0;
}
