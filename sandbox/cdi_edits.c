/*
 * CDI edits applied to the parts of a config.json, as the CDI project's own library does: a variable, device
 * or mount replaces what was at the same name or place; groups and hooks are added. A device's number is
 * read from the host where the file does not tell it; its owner is, unless told, the container's user.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sandbox/cdi.h"
#include "sandbox/spec_parts.h"

int spec_cdi_check(const struct spec_input *input, struct err *err)
{
	struct strv names CLEANUP(strv_done) = STRV_INIT;
	struct cdi_found found CLEANUP(cdi_found_done) = { 0 };

	if (input->config->n_cdi_devices > CDI_REQUESTED_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d CDI devices", CDI_REQUESTED_MAX);
	return cdi_requested(input->config, &names, err) < 0 ? -1 : cdi_find(input->cdi, &names, &found, err);
}

/* Removes what has this text under the key. */
static void remove_at(json_t *array, const char *key, const char *text)
{
	for (size_t i = json_array_size(array); i-- > 0;)
		if (str_eq(json_string_value(json_object_get(json_array_get(array, i), key)), text))
			json_array_remove(array, i);
}

static void set_env(struct spec_context *context, json_t *env, const char *entry)
{
	size_t name = strcspn(entry, "=") + 1;
	json_t *item;
	size_t i;

	json_array_foreach(env, i, item)
	{
		if (strncmp(json_string_value(item), entry, name) == 0) {
			json_array_set_new(env, i, spec_text(context, entry));
			return;
		}
	}
	json_array_append_new(env, spec_text(context, entry));
}

static void add_group(json_t *groups, uint32_t gid)
{
	json_t *item;
	size_t i;

	json_array_foreach(groups, i, item) if (json_integer_value(item) == gid) return;
	json_array_append_new(groups, json_integer(gid));
}

struct device {
	char type;
	int64_t major, minor;
};

/* What the file does not say is looked up on the host. */
static int look_up(const struct cdi_node *node, struct device *ret, struct err *err)
{
	const char *path = str_empty(node->host_path) ? node->path : node->host_path;
	struct device device = { str_empty(node->type) ? '\0' : *node->type, node->major, node->minor };
	struct stat st;
	char type;

	if (device.type == 'u') /* mknod(1)'s unbuffered: the same */
		device.type = 'c';
	if (device.type && (device.major || device.type == 'p')) {
		*ret = device;
		return 0;
	}
	if (stat(path, &st) < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "CDI device node %s: %m", path);
	type = S_ISCHR(st.st_mode) ? 'c' : S_ISBLK(st.st_mode) ? 'b' : S_ISFIFO(st.st_mode) ? 'p' : '\0';
	if (!type || (device.type && device.type != type))
		return err_set(err, RPC_INVALID_ARGUMENT, "CDI device node %s is not a device%s%s", path,
			       device.type ? " of type " : "", device.type ? node->type : "");
	device.type = type;
	if (!device.major && type != 'p') {
		device.major = major(st.st_rdev);
		device.minor = minor(st.st_rdev);
	}
	*ret = device;
	return 0;
}

static int64_t owner(int64_t told, uint32_t users)
{
	return told == CDI_ID_UNSET ? users : told;
}

static int add_node(struct spec_context *context, const struct cdi_node *node, json_t *linux_part,
		    struct err *err)
{
	const struct user *user = context->input->user;
	json_t *devices = json_object_get(linux_part, "devices");
	json_t *rules = json_object_get(json_object_get(linux_part, "resources"), "devices");
	const char *access = str_empty(node->permissions) ? "rwm" : node->permissions;
	CLEANUP(freep) char *path = NULL;
	struct device device;

	if (spec_path_clean(node->path, "CDI device node", &path, err) < 0 || look_up(node, &device, err) < 0)
		return -1;
	const char type[] = { device.type, '\0' };
	json_t *json = json_pack("{s:o, s:s, s:I, s:I}", "path", spec_text(context, path), "type", type,
				 "uid", (json_int_t)owner(node->uid, user->uid), "gid",
				 (json_int_t)owner(node->gid, user->gid));
	if (device.type != 'p') {
		json_object_set_new(json, "major", json_integer(device.major));
		json_object_set_new(json, "minor", json_integer(device.minor));
	}
	if (node->mode != CDI_ID_UNSET)
		json_object_set_new(json, "fileMode", json_integer(node->mode & 07777));
	remove_at(devices, "path", path);
	json_array_append_new(devices, json);
	if (rules && device.type != 'p' && !str_eq(access, "none"))
		json_array_append_new(rules, json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type", type,
						       "major", (json_int_t)device.major, "minor",
						       (json_int_t)device.minor, "access", access));
	return 0;
}

static bool binds(const struct cdi_mount *mount)
{
	for (size_t i = 0; i < mount->options.len; i++)
		if (str_eq(mount->options.items[i], "bind") || str_eq(mount->options.items[i], "rbind"))
			return true;
	return str_empty(mount->type) || str_eq(mount->type, "bind") || str_eq(mount->type, "none");
}

static int add_mount(struct spec_context *context, const struct cdi_mount *mount, json_t *mounts,
		     struct err *err)
{
	const bool bind = binds(mount);
	CLEANUP(freep) char *destination = NULL;
	json_t *options = json_array();
	bool says_bind = false;
	struct stat st;

	for (size_t i = 0; i < mount->options.len; i++) {
		says_bind = says_bind || str_has_suffix(mount->options.items[i], "bind");
		json_array_append_new(options, spec_text(context, mount->options.items[i]));
	}
	if (bind && !says_bind)
		json_array_append_new(options, json_string("rbind"));
	CLEANUP(json_decrefp)
	json_t *json = json_pack("{s:o, s:s, s:o}", "source", spec_text(context, mount->host_path), "type",
				 bind ? "bind" : mount->type, "options", options);
	if (spec_path_clean(mount->container_path, "CDI mount's containerPath", &destination, err) < 0)
		return -1;
	if (bind && stat(mount->host_path, &st) < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "CDI mount %s: %m", mount->host_path);
	json_object_set_new(json, "destination", spec_text(context, destination));
	remove_at(mounts, "destination", destination);
	json_array_append(mounts, json);
	return 0;
}

static int apply(struct spec_context *context, const struct cdi_edits *edits, struct spec_parts *parts,
		 struct err *err)
{
	const struct cdi_node *nodes = edits->nodes.items;
	const struct cdi_mount *mounts = edits->mounts.items;
	const struct cdi_hook *hooks = edits->hooks.items;
	json_t *groups = json_object_get(json_object_get(parts->process, "user"), "additionalGids");

	for (size_t i = 0; i < edits->env.len; i++)
		set_env(context, json_object_get(parts->process, "env"), edits->env.items[i]);
	for (size_t i = 0; i < edits->nodes.len; i++)
		if (add_node(context, &nodes[i], parts->linux_part, err) < 0)
			return -1;
	for (size_t i = 0; i < edits->mounts.len; i++)
		if (add_mount(context, &mounts[i], parts->mounts, err) < 0)
			return -1;
	for (size_t i = 0; i < edits->hooks.len; i++)
		hooks_entry_add(&hooks[i].entry, hooks[i].stage, parts->hooks);
	for (size_t i = 0; i < edits->gids_len; i++)
		add_group(groups, edits->gids[i]);
	return 0;
}

int spec_cdi(struct spec_context *context, struct spec_parts *parts, struct err *err)
{
	struct strv names CLEANUP(strv_done) = STRV_INIT;
	struct cdi_found found CLEANUP(cdi_found_done) = { 0 };

	if (cdi_requested(context->input->config, &names, err) < 0)
		return -1;
	if (!names.len)
		return 0;
	if (cdi_find(context->input->cdi, &names, &found, err) < 0)
		return -1;
	for (size_t i = 0; i < found.len; i++)
		if (apply(context, found.edits[i], parts, err) < 0)
			return -1;
	spec_mounts_order(&parts->mounts);
	return 0;
}
