/* floor: cni
 *
 * A file of the result cache, which other programs write to as well. What is accepted can be run: plugins
 * that are one path component, a result of the list's version.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "cni/cache.h"
#include "fuzz.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(cache_entry_done)
	struct cache_entry entry = { .container_id = xstrdup(ID), .ifname = xstrdup("eth0") };

	if (!cache_entry_parse((const char *)data, len, &entry)) {
		assert(!entry.list && !entry.netns && !entry.args && !entry.capabilities && !entry.result);
		return 0;
	}
	assert(entry.netns && entry.args && entry.list->plugins_len > 0);
	for (size_t i = 0; i < entry.list->plugins_len; i++)
		assert(!strchr(entry.list->plugins[i].type, '/'));
	const char *version = json_string_value(json_object_get(entry.result, "cniVersion"));
	assert(!version || !conflist_known_version(version) || str_eq(version, entry.list->version));
	return 0;
}
