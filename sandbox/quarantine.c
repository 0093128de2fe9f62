/*
 * Objects that cannot be read at start are moved to <root>/quarantine/<kind>-<id>: nothing is known of them
 * that could be acted on, so what they run is left alone and said how to end by hand. A container there may
 * still run on its image's layers. As long as its folder is there, the layers that its config.json names are
 * kept; when that is what cannot be read and its root filesystem is mounted, all layers are.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "sandbox/record.h"
#include "sandbox/store.h"

static const char container_prefix[] = "container-", pod_prefix[] = "pod-";

static int open_quarantine(const struct sandboxes *owner, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/quarantine", owner->config->root);

	return dir_make(AT_FDCWD, path, 0700, err);
}

/* What a person has to do, as commands. */
static char *advice(const struct sandboxes *owner, const char *kind, const char *id)
{
	const struct handler *handler = handlers_find(owner->handlers, "");
	const char *root = owner->config->root, *run = owner->config->runroot;

	if (!id_valid(id))
		return xasprintf("`rm -r %s/quarantine/%s-%s`", root, kind, id);
	if (str_eq(kind, "pod"))
		return xasprintf("`kill $(pgrep -f \"crisp-pause .*%s\")`, `umount %s/ns/%s/* %s/pods/%s/*`, "
				 "`rm -r %s/quarantine/pod-%s`",
				 id, run, id, run, id, root, id);
	return xasprintf("`%s --root=%s delete --force %s` (or its own runtime handler's program), "
			 "`umount %s/quarantine/container-%s/rootfs`, `rm -r %s/quarantine/container-%s`",
			 handler && handler->path ? handler->path : "RUNTIME",
			 handler && handler->root ? handler->root : "ROOT", id, root, id, root, id);
}

void quarantine_put(struct sandboxes *owner, int dir, const char *kind, const char *id, const char *why)
{
	CLEANUP(freep) char *name = xasprintf("%s-%s", kind, id);
	CLEANUP(freep) char *clean = advice(owner, kind, id);
	struct err err;
	CLEANUP(fd_closep) int target = open_quarantine(owner, &err);

	if (target >= 0 && renameat(dir, id, target, name) == 0)
		store_warn(
			owner,
			xasprintf(
				"%s %s cannot be read and was moved to %s/quarantine/%s: %s; what it runs is left alone, "
				"to clean up by hand: %s",
				kind, id, owner->config->root, name, why, clean));
	else
		store_warn(owner,
			   xasprintf("%s %s cannot be read and could not be moved away: %s", kind, id, why));
}

static bool is_mounted(int dir)
{
	struct stat above, st;

	return fstat(dir, &above) == 0 && fstatat(dir, "rootfs", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_dev != above.st_dev;
}

/* The layers that config.json names, whatever else is wrong with it. */
static bool read_layers(int dir, struct strv *ret)
{
	CLEANUP(json_decrefp) json_t *document = NULL;
	CLEANUP(freep) char *text = NULL;
	size_t len = 0;
	const json_t *layers;

	if (file_read(dir, "config.json", RECORD_MAX, &text, &len, NULL) < 0 ||
	    json_parse(text, len, RECORD_MAX, &document, NULL) < 0)
		return false;
	layers = json_object_get(document, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++) {
		const char *layer = json_string_value(json_array_get(layers, i));

		if (!layer)
			return false;
		strv_add(ret, layer);
	}
	return json_is_array(layers);
}

/* One folder there; *ret_all when any layer may be in use by it. */
static void pin(int quarantine, const char *name, struct strv *layers, bool *ret_all)
{
	CLEANUP(fd_closep) int dir = dir_open(quarantine, name, NULL);

	if (dir >= 0 && !read_layers(dir, layers) && is_mounted(dir))
		*ret_all = true;
}

static void list(const struct sandboxes *sandboxes, struct strv *ret)
{
	CLEANUP(freep) char *path = xasprintf("%s/quarantine", sandboxes->config->root);

	if (dir_list(AT_FDCWD, path, ret, NULL) < 0) /* none: nothing has been put there */
		strv_done(ret);
}

void quarantine_names(struct sandboxes *sandboxes, struct strv *ret)
{
	list(sandboxes, ret);
}

void quarantine_pods(struct sandboxes *sandboxes, struct strv *ret)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	list(sandboxes, &names);
	for (size_t i = 0; i < names.len; i++)
		if (str_has_prefix(names.items[i], pod_prefix))
			strv_add(ret, names.items[i] + strlen(pod_prefix));
}

bool quarantine_uses_layer(struct sandboxes *sandboxes, const char *chain_id)
{
	CLEANUP(freep) char *path = xasprintf("%s/quarantine", sandboxes->config->root);
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, path, NULL);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(strv_done) struct strv layers = STRV_INIT;
	bool all = false;

	if (dir < 0 || dir_list(dir, ".", &names, NULL) < 0)
		return false;
	for (size_t i = 0; i < names.len; i++)
		if (str_has_prefix(names.items[i], container_prefix))
			pin(dir, names.items[i], &layers, &all);
	return all || strv_has(&layers, chain_id);
}
