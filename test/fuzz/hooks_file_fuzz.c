/* floor: sandbox
 *
 * A hook file: parsed, its conditions tried, and what comes of it is a hook the runtime can take.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "sandbox/hooks.h"
#include "sandbox/hooks_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp) json_t *hooks = json_object();
	Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
	struct hooks_facts facts = { .config = &config, .program = "/usr/sbin/init" };
	const struct hooks_file *file = NULL;
	struct err err = { 0 };

	if (len > 16 * 1024)
		return 0;
	if (hooks_file_parse((const char *)data, len, arena, &file, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT && *err.text && !file);
		return 0;
	}
	assert(file->stages.len > 0 && *file->entry.path == '/');
	(void)hooks_file_matches(file, &facts);
	for (size_t i = 0; i < file->stages.len; i++)
		hooks_entry_add(&file->entry, file->stages.items[i], hooks);
	assert(json_object_size(hooks) == file->stages.len);
	hooks_file_free(file);
	return 0;
}
