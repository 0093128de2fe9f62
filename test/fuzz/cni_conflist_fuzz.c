/* floor: cni
 *
 * A file of the CNI configuration folder. What is accepted names only plugins that are one path component,
 * and its text parses to the same again, as the result cache needs it.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "cni/conflist.h"
#include "fuzz.h"

static void assert_component(const char *name)
{
	assert(*name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(conflist_unrefp) const struct conflist *again = NULL;
	struct err err = { 0 };

	if (conflist_parse("input", (const char *)data, len, &list, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT && str_has_prefix(err.text, "input: "));
		return 0;
	}
	assert(conflist_known_version(list->version) && list->plugins_len > 0);
	assert_component(list->name);
	for (size_t i = 0; i < list->plugins_len; i++) {
		assert_component(list->plugins[i].type);
		if (list->plugins[i].ipam)
			assert_component(list->plugins[i].ipam);
	}
	assert(conflist_parse("input", list->text, strlen(list->text), &again, &err) == 0);
	assert(str_eq(again->name, list->name) && again->plugins_len == list->plugins_len);
	return 0;
}
