/* floor: sandbox
 *
 * A CDI spec file: what is accepted has a kind, devices with names and edits that are within bounds.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "sandbox/cdi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const struct cdi_device *devices;
	const struct cdi_spec *spec = NULL;
	struct err err = { 0 };

	if (len > 64 * 1024)
		return 0;
	if (cdi_spec_parse((const char *)data, len, arena, &spec, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT && *err.text && !spec);
		return 0;
	}
	assert(cdi_kind_valid(spec->kind) && spec->devices.len > 0);
	devices = spec->devices.items;
	for (size_t i = 0; i < spec->devices.len; i++) {
		const struct cdi_node *nodes = devices[i].edits.nodes.items;
		const struct cdi_hook *hooks = devices[i].edits.hooks.items;

		assert(cdi_device_name_valid(devices[i].name));
		for (size_t j = 0; j < devices[i].edits.nodes.len; j++)
			assert(*nodes[j].path == '/' && !nodes[j].uid_json && nodes[j].uid >= CDI_ID_UNSET);
		for (size_t j = 0; j < devices[i].edits.hooks.len; j++)
			assert(hooks_stage_known(hooks[j].stage) && *hooks[j].entry.path == '/');
	}
	return 0;
}
