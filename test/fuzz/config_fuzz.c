/* floor: config
 *
 * A crisp.toml. What is accepted is printed, and what is printed is accepted and the same configuration.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "config/config.h"
#include "config/config_key.h"
#include "fuzz.h"

static struct config *parse(const char *text, size_t len, struct err *err)
{
	CLEANUP(arena_freep) struct arena *scratch = arena_new(0);
	struct toml_source source = { "input", text, len };
	struct toml_value *root;
	struct config *config = NULL;

	if (toml_parse(&source, scratch, &root, err) < 0 ||
	    config_from_tree(root, scratch, &config, err) < 0) {
		assert(err->code == RPC_INVALID_ARGUMENT && !strncmp(err->text, "input:", 6));
		return NULL;
	}
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *text = xmemdup(data, size);
	CLEANUP(str_done) struct str printed = STR_INIT;
	struct err err = { 0 };
	CLEANUP(config_unrefp) struct config *config = parse(text, size, &err);

	if (!config)
		return 0;
	config_print(config, &printed);
	if (printed.len > TOML_SIZE_MAX) /* many short runtimes print as much */
		return 0;
	CLEANUP(config_unrefp) struct config *again = parse(str_get(&printed), printed.len, &err);
	assert(again);
	assert(config_diff(config, again, NULL, NULL) == 0);
	return 0;
}
