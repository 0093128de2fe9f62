/* floor: image
 *
 * An image config with one layer. One that is accepted has no env entry without a name and no volume that
 * leaves the root.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "image/image_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	CLEANUP(diff_ids_done) struct diff_ids diff_ids = { 0 };
	struct err err = { 0 };

	if (image_config_parse((const char *)data, len, 1, &config, &diff_ids, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT);
		return 0;
	}
	assert(diff_ids.len == 1 && config.user && config.working_dir && config.stop_signal);
	for (size_t i = 0; i < config.env.len; i++)
		assert(strchr(config.env.items[i], '=') > config.env.items[i]);
	for (size_t i = 0; i < config.volumes.len; i++) {
		CLEANUP(freep) char *volume = xasprintf("%s/", config.volumes.items[i]);

		assert(volume[0] == '/' && !strstr(volume, "/../") && !strstr(volume, "//"));
	}
	return 0;
}
