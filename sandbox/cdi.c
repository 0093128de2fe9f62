/* Names and who has them. A request names few devices and a host has few files, so they are searched one by
 * one: no index has to be kept in step with the files. */
#include "sandbox/cdi.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox/doc_dir.h"

static const char annotation_prefix[] = "cdi.k8s.io/";

struct cdi {
	struct doc_dirs *dirs;
};

static int parse(const char *text, size_t len, struct arena *arena, const void **ret, struct err *err)
{
	const struct cdi_spec *spec;

	if (cdi_spec_parse(text, len, arena, &spec, err) < 0)
		return -1;
	*ret = spec;
	return 0;
}

static const char *const yaml[] = { ".yaml", ".yml", NULL };
static const struct doc_kind kind = { .what = "CDI spec", .parse = parse, .refused_suffixes = yaml };

struct cdi *cdi_new(const struct config *config)
{
	struct cdi *cdi = xnew(struct cdi);

	cdi->dirs = doc_dirs_new(&kind, &config->runtime.cdi_spec_dirs);
	doc_set_unref(doc_dirs_read(cdi->dirs)); /* what is wrong with them is told at the start */
	return cdi;
}

struct doc_set *cdi_docs(struct cdi *cdi)
{
	return doc_dirs_read(cdi->dirs);
}

struct cdi *cdi_free(struct cdi *cdi)
{
	if (cdi)
		doc_dirs_free(cdi->dirs);
	free(cdi);
	return NULL;
}

static int add_name(struct strv *names, const char *name, struct err *err)
{
	const char *equals = strchr(name, '=');
	CLEANUP(freep) char *kind_part = equals ? xstrndup(name, (size_t)(equals - name)) : NULL;

	if (!kind_part || !cdi_kind_valid(kind_part) || !cdi_device_name_valid(equals + 1))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "CDI device \"%.128s\" is not of the form vendor/class=device", name);
	if (strv_has(names, name))
		return 0;
	if (names->len >= CDI_REQUESTED_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d CDI devices", CDI_REQUESTED_MAX);
	strv_add(names, name);
	return 0;
}

static int add_annotation(struct strv *names, const char *value, struct err *err)
{
	struct strv parts CLEANUP(strv_done) = STRV_INIT;

	strv_split(&parts, value, ',');
	for (size_t i = 0; i < parts.len; i++)
		if (add_name(names, parts.items[i], err) < 0)
			return -1;
	return 0;
}

int cdi_requested(const Cri__ContainerConfig *config, struct strv *ret, struct err *err)
{
	for (size_t i = 0; i < config->n_cdi_devices; i++)
		if (add_name(ret, config->cdi_devices[i]->name, err) < 0)
			return err_prefix(err, "CDI_devices[%zu]", i);
	for (size_t i = 0; i < config->n_annotations; i++)
		if (str_has_prefix(config->annotations[i]->key, annotation_prefix) &&
		    add_annotation(ret, config->annotations[i]->value, err) < 0)
			return err_prefix(err, "annotation %.128s", config->annotations[i]->key);
	return 0;
}

void cdi_found_done(struct cdi_found *found)
{
	doc_set_unref(found->set);
	free(found->edits);
}

static const struct cdi_device *device_of(const struct cdi_spec *spec, const char *name)
{
	const struct cdi_device *devices = spec->devices.items;
	size_t len = strlen(spec->kind);

	if (!str_has_prefix(name, spec->kind) || name[len] != '=')
		return NULL;
	for (size_t i = 0; i < spec->devices.len; i++)
		if (str_eq(devices[i].name, name + len + 1))
			return &devices[i];
	return NULL;
}

struct match {
	const struct cdi_spec *spec;
	const struct cdi_device *device;
};

/* Files that were refused may be where the device was to be: the first of them is told of. */
static int not_found(const struct doc_set *set, const char *name, struct err *err)
{
	const struct doc *doc;

	for (size_t i = 0; set && (doc = doc_set_at(set, i)); i++)
		if (doc->problem)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "no CDI spec has the device %s; not everything could be read: %s: %s",
				       name, doc->path, doc->problem);
	return err_set(err, RPC_INVALID_ARGUMENT, "no CDI spec has the device %s", name);
}

static int find_device(const struct doc_set *set, const char *name, struct match *ret, struct err *err)
{
	const struct doc *best = NULL, *conflict = NULL, *doc;

	for (size_t i = 0; set && (doc = doc_set_at(set, i)); i++) {
		const struct cdi_device *device = doc->parsed ? device_of(doc->parsed, name) : NULL;

		if (!device)
			continue;
		conflict = best && best->priority == doc->priority ? best : NULL;
		best = doc;
		*ret = (struct match){ doc->parsed, device };
	}
	if (!best)
		return not_found(set, name, err);
	if (conflict)
		return err_set(err, RPC_INVALID_ARGUMENT, "CDI device %s is both in %s and in %s", name,
			       conflict->path, best->path);
	return 0;
}

static void add_edits(struct cdi_found *found, const struct cdi_edits *edits)
{
	for (size_t i = 0; i < found->len; i++)
		if (found->edits[i] == edits)
			return;
	found->edits[found->len++] = edits;
}

int cdi_find(struct cdi *cdi, const struct strv *names, struct cdi_found *ret, struct err *err)
{
	struct cdi_found found CLEANUP(cdi_found_done) = { 0 };
	struct match match;

	if (names->len && cdi)
		found.set = doc_dirs_read(cdi->dirs);
	found.edits = xcalloc(2 * names->len + 1, sizeof(*found.edits));
	for (size_t i = 0; i < names->len; i++) {
		if (find_device(found.set, names->items[i], &match, err) < 0)
			return -1;
		add_edits(&found, &match.spec->edits);
		add_edits(&found, &match.device->edits);
	}
	*ret = found;
	found = (struct cdi_found){ 0 };
	return 0;
}
