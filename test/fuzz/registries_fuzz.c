/* floor: config
 *
 * A first line that is an image's name, then a registries.conf. Whatever the rules say, endpoints have a host
 * and a path, the location comes last, and a short name's candidates are full names.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/registries.h"
#include "config/registries_set.h"
#include "fuzz.h"

static void check_endpoints(const struct registries *registries, const char *name, const char *digest,
			    struct arena *arena)
{
	struct registries_query query = { name, "latest", digest };
	struct registry_endpoints endpoints = { 0 };
	struct err err = { 0 };

	if (registries_endpoints(registries, &query, arena, &endpoints, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT || err.code == RPC_PERMISSION_DENIED);
		return;
	}
	assert(endpoints.len >= 1 && endpoints.len <= REGISTRIES_ENDPOINTS_MAX);
	for (size_t i = 0; i < endpoints.len; i++) {
		assert(*endpoints.items[i].host && !strchr(endpoints.items[i].host, '/'));
		assert(*endpoints.items[i].repository && endpoints.items[i].repository[0] != '/');
		assert(endpoints.items[i].mirror == (i + 1 < endpoints.len));
	}
}

static void check_name(const struct registries *registries, const char *name, struct arena *arena)
{
	struct registries_names names = { 0 };
	struct err err = { 0 };

	if (registries_resolve(registries, name, arena, &names, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT || err.code == RPC_NOT_FOUND);
		return;
	}
	assert(names.len >= 1 && !names.items[names.len]);
	for (size_t i = 0; i < names.len; i++) {
		assert(!registries_is_short(names.items[i]));
		check_endpoints(registries, names.items[i], NULL, arena);
		check_endpoints(registries, names.items[i], "sha256:abc", arena);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *text = xmemdup(data, size);
	CLEANUP(registries_unrefp) struct registries *registries = registries_new();
	size_t line = strcspn(text, "\n");
	struct toml_value *root;
	struct err err = { 0 };

	if (line >= size)
		return 0;
	text[line] = '\0';
	struct toml_source source = { "input", text + line + 1, size - line - 1 };
	if (toml_parse(&source, arena, &root, &err) < 0 || registries_apply(registries, root, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT && !strncmp(err.text, "input:", 6));
		return 0;
	}
	check_name(registries, text, arena);
	return 0;
}
