/* A hook is checked for what every runtime needs of it; whether its program exists is the runtime's to say,
 * since for some stages it is a path inside the container. */
#include "sandbox/hooks_entry.h"

#include <string.h>

#include "base/str.h"

enum { TIMEOUT_MAX = 24 * 60 * 60 };

const struct json_field hooks_entry_fields[] = {
	{ "path", JSON_FIELD_STRING, offsetof(struct hooks_entry, path), JSON_NEEDED, NULL, 0 },
	{ "args", JSON_FIELD_STRINGS, offsetof(struct hooks_entry, args), 0, NULL, 0 },
	{ "env", JSON_FIELD_STRINGS, offsetof(struct hooks_entry, env), 0, NULL, 0 },
	{ "timeout", JSON_FIELD_RAW, offsetof(struct hooks_entry, timeout_json), 0, NULL, 0 },
	{ NULL, JSON_FIELD_STRING, 0, 0, NULL, 0 },
};

bool hooks_stage_known(const char *stage)
{
	static const char *const stages[] = { "prestart",       "createRuntime", "createContainer",
					      "startContainer", "poststart",     "poststop" };

	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		if (str_eq(stage, stages[i]))
			return true;
	return false;
}

int hooks_entry_check(struct hooks_entry *entry, struct err *err)
{
	const json_t *timeout = TAKE(entry->timeout_json);

	if (str_empty(entry->path) || *entry->path != '/')
		return err_set(err, RPC_INVALID_ARGUMENT, "hook: path is not absolute");
	for (size_t i = 0; i < entry->env.len; i++) {
		const char *equals = strchr(entry->env.items[i], '=');

		if (!equals || equals == entry->env.items[i])
			return err_set(err, RPC_INVALID_ARGUMENT, "hook %.128s: env[%zu] is not KEY=VALUE",
				       entry->path, i);
	}
	if (!timeout || json_is_null(timeout))
		return 0;
	if (!json_is_integer(timeout) || json_integer_value(timeout) < 1 ||
	    json_integer_value(timeout) > TIMEOUT_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "hook %.128s: timeout is not 1 to %d seconds",
			       entry->path, TIMEOUT_MAX);
	entry->timeout = json_integer_value(timeout);
	return 0;
}

static json_t *strings_json(const struct json_strings *strings)
{
	json_t *array = json_array();

	for (size_t i = 0; i < strings->len; i++)
		json_array_append_new(array, json_string(strings->items[i]));
	return array;
}

void hooks_entry_add(const struct hooks_entry *entry, const char *stage, json_t *hooks)
{
	json_t *list = json_object_get(hooks, stage);
	json_t *hook = json_pack("{s:s}", "path", entry->path);

	if (entry->args.len)
		json_object_set_new(hook, "args", strings_json(&entry->args));
	json_object_set_new(hook, "env",
			    entry->env.len ? strings_json(&entry->env) : json_pack("[s]", HOOK_PATH));
	if (entry->timeout)
		json_object_set_new(hook, "timeout", json_integer(entry->timeout));
	if (!list) {
		list = json_array();
		json_object_set_new(hooks, stage, list);
	}
	json_array_append_new(list, hook);
}

static const struct json_field *find_field(const struct json_field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (str_eq(fields->key, key))
			return fields;
	return NULL;
}

/* The depth is that of the tables, not of the document. */
int hooks_known_keys(const json_t *json, const struct json_field *fields, struct err *err)
{
	json_t *value, *item;
	const char *key;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		const struct json_field *field = find_field(fields, key);

		if (!field)
			return err_set(err, RPC_INVALID_ARGUMENT, "unknown key \"%.64s\"", key);
		if (!field->sub)
			continue;
		if (json_is_object(value) && hooks_known_keys(value, field->sub, err) < 0)
			return err_prefix(err, "%s", key);
		json_array_foreach(value, i, item) if (hooks_known_keys(item, field->sub, err) <
						       0) return err_prefix(err, "%s[%zu]", key, i);
	}
	return 0;
}
