/* floor: config
 *
 * A TOML document. What is accepted has sane lines and terminated texts, finds its own keys, and every text
 * in it survives being quoted and read again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "config/toml.h"
#include "fuzz.h"

static void check_text(struct toml_text text, struct arena *arena)
{
	CLEANUP(str_done) struct str quoted = STR_INIT;
	struct toml_value *root;
	struct err err;

	assert(text.data[text.len] == '\0');
	if (strlen(text.data) != text.len)
		return;
	toml_quote_key(&quoted, text.data);
	str_add(&quoted, " = ");
	toml_quote(&quoted, text.data);
	if (quoted.len > TOML_SIZE_MAX)
		return;
	struct toml_source source = { "quoted", str_get(&quoted), quoted.len };
	int parsed = toml_parse(&source, arena, &root, &err);
	assert(parsed == 0);
	assert(!strcmp(toml_find(root, text.data)->value->string.data, text.data));
}

static void check_value(const struct toml_value *value, struct arena *arena)
{
	assert(value->line >= 1 && !strcmp(value->file, "input"));
	if (value->type == TOML_STRING)
		check_text(value->string, arena);
	for (size_t i = 0; value->type == TOML_ARRAY && i < value->array.len; i++)
		check_value(value->array.items[i], arena);
	for (size_t i = 0; value->type == TOML_TABLE && i < value->table.len; i++) {
		const struct toml_entry *entry = &value->table.entries[i];
		assert(toml_find_text(value, entry->key) == entry);
		check_text(entry->key, arena);
		check_value(entry->value, arena);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *text = xmemdup(data, size);
	struct toml_source source = { "input", text, size };
	struct toml_value *root = NULL;
	struct err err = { 0 };

	if (toml_parse(&source, arena, &root, &err) < 0) {
		assert(!root && err.code == RPC_INVALID_ARGUMENT && !strncmp(err.text, "input:", 6));
		return 0;
	}
	check_value(root, arena);
	struct toml_value *merged = toml_new_table("merged", arena);
	toml_merge(merged, root, arena);
	toml_merge(merged, root, arena);
	assert(merged->table.len == root->table.len);
	return 0;
}
