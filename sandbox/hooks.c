/* The files of hooks_dir, put in their order for each container: a host has a handful of them at most. */
#include "sandbox/hooks.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "sandbox/doc_dir.h"
#include "sandbox/hooks_read.h"

struct hooks {
	struct doc_dirs *dirs;
};

static int parse(const char *text, size_t len, struct arena *arena, const void **ret, struct err *err)
{
	const struct hooks_file *file;

	if (hooks_file_parse(text, len, arena, &file, err) < 0)
		return -1;
	*ret = file;
	return 0;
}

static void release(const void *parsed)
{
	hooks_file_free(parsed);
}

static const struct doc_kind kind = { .what = "hook file", .parse = parse, .release = release };

struct hooks *hooks_new(const struct config *config)
{
	struct hooks *hooks = xnew(struct hooks);

	hooks->dirs = doc_dirs_new(&kind, &config->runtime.hooks_dir);
	doc_set_unref(doc_dirs_read(hooks->dirs)); /* what is wrong with them is told at the start */
	return hooks;
}

struct doc_set *hooks_docs(struct hooks *hooks)
{
	return doc_dirs_read(hooks->dirs);
}

struct hooks *hooks_free(struct hooks *hooks)
{
	if (hooks)
		doc_dirs_free(hooks->dirs);
	free(hooks);
	return NULL;
}

/* A file that is refused does not let one of an earlier directory stand in for it. */
static bool is_masked(const struct doc_set *set, const struct doc *doc)
{
	const struct doc *other;

	for (size_t i = 0; (other = doc_set_at(set, i)); i++)
		if (other->priority > doc->priority && str_eq(other->name, doc->name))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct doc *left = *(const struct doc *const *)a, *right = *(const struct doc *const *)b;
	int order = strcasecmp(left->name, right->name);

	return order ? order : strcmp(left->path, right->path);
}

void hooks_add(struct hooks *hooks, const struct hooks_facts *facts, json_t *oci_hooks)
{
	CLEANUP(doc_set_unrefp) struct doc_set *set = hooks ? doc_dirs_read(hooks->dirs) : NULL;
	const struct doc *doc;
	size_t len = 0;

	if (!set || !doc_set_at(set, 0))
		return;
	CLEANUP(freep) const struct doc **docs = xcalloc(DOCS_MAX, sizeof(*docs));
	for (size_t i = 0; (doc = doc_set_at(set, i)); i++)
		if (doc->parsed && len < DOCS_MAX && !is_masked(set, doc))
			docs[len++] = doc;
	qsort(docs, len, sizeof(*docs), compare);
	for (size_t i = 0; i < len; i++) {
		const struct hooks_file *file = docs[i]->parsed;

		if (!hooks_file_matches(file, facts))
			continue;
		for (size_t j = 0; j < file->stages.len; j++)
			hooks_entry_add(&file->entry, file->stages.items[j], oci_hooks);
	}
}
