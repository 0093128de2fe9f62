/* floor: image
 *
 * A first line that is the Content-Type (may be empty), then a manifest. One that is accepted is within the
 * limits, and choosing a platform yields an entry of it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "image/manifest.h"

static void check_image(const struct manifest *manifest)
{
	assert(manifest->layers_len >= 1 && manifest->layers_len <= MANIFEST_LAYERS_MAX);
	assert(manifest->config.size >= 0 && manifest->config.size <= MANIFEST_CONFIG_MAX);
	for (size_t i = 0; i < manifest->layers_len; i++)
		assert(manifest->layers[i].size >= 0 && manifest->layers[i].size <= MANIFEST_BLOB_MAX);
}

static void check_index(const struct manifest *manifest)
{
	const struct descriptor *chosen = NULL;
	struct err err = { 0 };

	assert(manifest->entries_len <= MANIFEST_ENTRIES_MAX);
	if (manifest_choose(manifest, platform_host(), &chosen, &err) == 0)
		assert(chosen && chosen->size >= 0);
	else
		assert(err.code == RPC_NOT_FOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *text = xmemdup(data, len);
	size_t line = strcspn(text, "\n");
	struct manifest manifest;
	struct err err = { 0 };

	if (line >= len)
		return 0;
	text[line] = '\0';
	if (manifest_parse(text + line + 1, len - line - 1, line ? text : NULL, arena, &manifest, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT);
		return 0;
	}
	if (manifest.is_index)
		check_index(&manifest);
	else
		check_image(&manifest);
	return 0;
}
