/*
 * Text from a snapshot: the commented file of `crispd config`, and what a reload changes. Both walk the same
 * table as the decoder, and compare values by their printed form, so a key of a new type needs no third
 * place.
 */
#include "config/config.h"

#include <string.h>

#include "config/config_key.h"

static void print_comment(const char *text, struct str *out)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		str_add(out, "# ");
		str_addn(out, text, len);
		str_addc(out, '\n');
		text += len + (text[len] == '\n');
	}
}

static void print_keys(const struct config_section *section, const void *base, struct str *out)
{
	for (size_t i = 0; i < section->keys_len; i++) {
		const struct config_key *key = &section->keys[i];

		print_comment(key->doc, out);
		str_addf(out, "# Default: %s%s\n", key->value,
			 key->live ? "" : " (a change needs a restart)");
		str_addf(out, "%s = ", key->name);
		config_key_print(key, base, out);
		str_add(out, "\n\n");
	}
}

void config_print(const struct config *config, struct str *out)
{
	for (size_t i = 0; i < config_sections_len; i++) {
		print_comment(config_sections[i].doc, out);
		str_addf(out, "[%s]\n\n", config_sections[i].path);
		print_keys(&config_sections[i], config, out);
	}
	for (size_t i = 0; i < config->runtime.runtimes_len; i++) {
		const struct config_runtime *runtime = &config->runtime.runtimes[i];

		print_comment(config_runtime_section.doc, out);
		str_addf(out, "[%s.", config_runtime_section.path);
		toml_quote_key(out, runtime->name);
		str_add(out, "]\n\n");
		print_keys(&config_runtime_section, runtime, out);
	}
}

struct diff {
	void (*fn)(const struct config_change *change, void *data);
	void *data;
	size_t count;
};

static void report(struct diff *diff, const struct config_change *change)
{
	diff->count++;
	if (diff->fn)
		diff->fn(change, diff->data);
}

static void diff_keys(struct diff *diff, const struct config_section *section, const char *path,
		      const void *old, const void *next)
{
	for (size_t i = 0; i < section->keys_len; i++) {
		const struct config_key *key = &section->keys[i];
		CLEANUP(str_done) struct str before = STR_INIT, after = STR_INIT;
		CLEANUP(freep) char *name = xasprintf("%s.%s", path, key->name);

		config_key_print(key, old, &before);
		config_key_print(key, next, &after);
		if (!str_eq(str_get(&before), str_get(&after)))
			report(diff,
			       &(struct config_change){ name, str_get(&before), str_get(&after), key->live });
	}
}

/* A runtime that came or went is reported as its table: { path } stands for what it has. */
static void diff_runtime(struct diff *diff, const char *name, const struct config_runtime *old,
			 const struct config_runtime *next)
{
	CLEANUP(freep) char *path = xasprintf("%s.%s", config_runtime_section.path, name);
	const struct config_runtime *one = old ? old : next;
	CLEANUP(str_done) struct str text = STR_INIT;

	if (old && next) {
		diff_keys(diff, &config_runtime_section, path, old, next);
		return;
	}
	str_add(&text, "{ runtime_path = ");
	toml_quote(&text, one->runtime_path);
	str_add(&text, " }");
	report(diff,
	       &(struct config_change){ path, old ? str_get(&text) : "", next ? str_get(&text) : "", false });
}

size_t config_diff(const struct config *old, const struct config *next,
		   void (*fn)(const struct config_change *change, void *data), void *data)
{
	struct diff diff = { fn, data, 0 };

	for (size_t i = 0; i < config_sections_len; i++)
		diff_keys(&diff, &config_sections[i], config_sections[i].path, old, next);
	for (size_t i = 0; i < old->runtime.runtimes_len; i++) {
		const struct config_runtime *runtime = &old->runtime.runtimes[i];
		diff_runtime(&diff, runtime->name, runtime, config_find_runtime(next, runtime->name));
	}
	for (size_t i = 0; i < next->runtime.runtimes_len; i++) {
		const struct config_runtime *runtime = &next->runtime.runtimes[i];
		if (!config_find_runtime(old, runtime->name))
			diff_runtime(&diff, runtime->name, NULL, runtime);
	}
	return diff.count;
}
