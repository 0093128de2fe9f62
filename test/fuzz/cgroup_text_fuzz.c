/* floor: sandbox
 *
 * Any cgroup file's text, read as each kind of file: nothing outside it is touched, nothing it says is out of
 * bounds.
 */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "fuzz.h"
#include "sandbox/cgroup_usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(freep) char *text = xstrndup((const char *)data, len);

	for (enum cgroup_item i = 0; i < CGROUP_ITEMS; i++) {
		for (int v2 = 0; v2 < 2; v2++) {
			struct cgroup_usage usage = { 0 };
			uint64_t available;

			cgroup_usage_take(&usage, i, v2, text);
			cgroup_usage_take(&usage, i, v2, text);
			assert(usage.io.len <= CGROUP_DEVICES_MAX);
			assert(cgroup_usage_working_set(&usage) <= usage.memory);
			if (cgroup_usage_available(&usage, &available))
				assert(available <= usage.memory_max);
		}
	}
	assert(cgroup_text_lines(text) <= len);
	return 0;
}
