/*
 * The mounts: what every container has, the pod's files, then the request's.
 *
 * A mount of the request replaces a built-in one at the same place. The whole list is ordered by depth, so
 * that no mount hides one made before it; equal depths keep their order. Destinations are resolved by the OCI
 * runtime inside the root filesystem; here they only must be absolute and without "..".
 */
#include "sandbox/spec_parts.h"

#include "base/file.h"
#include "sandbox/image_mounts.h"
#include "sandbox/selinux.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOUNTS_MAX = 1024, OPTIONS_MAX = 32, MAPPINGS_MAX = 340 };

/* mount_options of the request: what may be said about a volume beside read-only and propagation. */
static const char *const allowed_options[] = { "nosuid",     "suid",        "nodev",    "dev",
					       "noexec",     "exec",        "noatime",  "atime",
					       "nodiratime", "diratime",    "relatime", "strictatime",
					       "lazytime",   "nosymfollow", "sync" };

static int check_options(const Cri__Mount *mount, struct err *err)
{
	if (mount->n_mount_options > OPTIONS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d mount_options", OPTIONS_MAX);
	for (size_t i = 0; i < mount->n_mount_options; i++) {
		bool known = false;

		for (size_t j = 0; j < ARRAY_LEN(allowed_options); j++)
			known = known || str_eq(mount->mount_options[i], allowed_options[j]);
		if (!known)
			return err_set(err, RPC_INVALID_ARGUMENT, "unknown mount option \"%.32s\"",
				       mount->mount_options[i]);
	}
	return 0;
}

static int check_recursive_read_only(const Cri__Mount *mount, const struct spec_input *input, struct err *err)
{
	if (!mount->recursive_read_only)
		return 0;
	if (!mount->readonly)
		return err_set(err, RPC_INVALID_ARGUMENT, "recursive_read_only without readonly");
	if (mount->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE)
		return err_set(err, RPC_INVALID_ARGUMENT, "recursive_read_only needs private propagation");
	if (!input->handler->recursive_read_only_mounts || !input->host->rro_mounts)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "recursive_read_only: not supported by the runtime %s or this kernel",
			       input->handler->name);
	return 0;
}

static int check_mapping_list(Cri__IDMapping *const *items, size_t len, const char *what, struct err *err)
{
	const uint64_t end = UINT64_C(1) << 32;

	if (len == 0 || len > MAPPINGS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s has %zu ranges, not 1 to %d", what, len,
			       MAPPINGS_MAX);
	for (size_t i = 0; i < len; i++)
		if (items[i]->length == 0 || (uint64_t)items[i]->host_id + items[i]->length > end ||
		    (uint64_t)items[i]->container_id + items[i]->length > end)
			return err_set(err, RPC_INVALID_ARGUMENT, "%s %u:%u of length %u is out of range",
				       what, items[i]->container_id, items[i]->host_id, items[i]->length);
	return 0;
}

static int check_mappings(const Cri__Mount *mount, const struct spec_input *input, struct err *err)
{
	if (!mount->n_uidmappings && !mount->n_gidmappings)
		return 0;
	if (!input->handler->idmap_mounts)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "idmapped mounts are not supported by the runtime %s", input->handler->name);
	if (check_mapping_list(mount->uidmappings, mount->n_uidmappings, "uidMappings", err) < 0)
		return -1;
	return check_mapping_list(mount->gidmappings, mount->n_gidmappings, "gidMappings", err);
}

static int check_mount(const Cri__Mount *mount, const struct spec_input *input, struct err *err)
{
	CLEANUP(freep) char *path = NULL;

	if (spec_path_clean(mount->container_path, "container_path", &path, err) < 0)
		return -1;
	if (str_eq(path, "/"))
		return err_set(err, RPC_INVALID_ARGUMENT, "container_path is the root");
	if (image_mount_wanted(mount))
		return image_mount_check(mount, err);
	if (check_mappings(mount, input, err) < 0)
		return -1;
	if (spec_path_clean(mount->host_path, "host_path", NULL, err) < 0)
		return -1;
	if (mount->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE &&
	    mount->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER &&
	    mount->propagation != CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL)
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown propagation %d", (int)mount->propagation);
	if (check_recursive_read_only(mount, input, err) < 0)
		return -1;
	return check_options(mount, err);
}

int spec_mounts_check(const struct spec_input *input, struct err *err)
{
	const Cri__ContainerConfig *config = input->config;

	if (config->n_mounts > MOUNTS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d mounts", MOUNTS_MAX);
	for (size_t i = 0; i < config->n_mounts; i++)
		if (check_mount(config->mounts[i], input, err) < 0)
			return err_prefix(
				err, "%smounts[%zu]",
				image_mount_wanted(config->mounts[i]) ? "ImageVolumeMountFailed: " : "", i);
	return 0;
}

static const char *destination_of(const json_t *mount)
{
	return json_string_value(json_object_get(mount, "destination"));
}

bool spec_mounts_cover(const json_t *mounts, const char *path)
{
	json_t *mount;
	size_t i;

	json_array_foreach(mounts, i, mount)
	{
		if (path_is_within(path, destination_of(mount)))
			return true;
	}
	return false;
}

static bool requested_at(const struct spec_input *input, const char *destination)
{
	for (size_t i = 0; i < input->config->n_mounts; i++) {
		CLEANUP(freep) char *path = NULL;

		if (spec_path_clean(input->config->mounts[i]->container_path, "", &path, NULL) == 0 &&
		    str_eq(path, destination))
			return true;
	}
	return false;
}

/* A mount nobody asked for; options are one string, cut at commas. */
struct built_in {
	const char *destination, *type, *source, *options;
};

static void add_built_in(struct spec_context *context, json_t *mounts, const struct built_in *mount)
{
	struct strv options CLEANUP(strv_done) = STRV_INIT;
	json_t *list = json_array();

	if (requested_at(context->input, mount->destination)) {
		json_decref(list);
		return;
	}
	strv_split(&options, mount->options, ',');
	for (size_t i = 0; i < options.len; i++)
		json_array_append_new(list, json_string(options.items[i]));
	json_array_append_new(mounts, json_pack("{s:s, s:s, s:o, s:o}", "destination", mount->destination,
						"type", mount->type, "source",
						spec_text(context, mount->source), "options", list));
}

/* sysfs shows a network namespace; only who owns that may mount it. */
static void add_sysfs(struct spec_context *context, json_t *mounts)
{
	const bool rw = context->privileged;
	const struct built_in own = { "/sys", "sysfs", "sysfs",
				      rw ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro" };
	const struct built_in host = { "/sys", "bind", "/sys",
				       rw ? "rbind,rprivate,nosuid,noexec,nodev,rw"
					  : "rbind,rprivate,nosuid,noexec,nodev,ro" };

	add_built_in(context, mounts, context->input->user_ns && !context->input->net_ns ? &host : &own);
}

static void add_file_systems(struct spec_context *context, json_t *mounts)
{
	const bool rw = context->privileged;
	const struct built_in list[] = {
		{ "/proc", "proc", "proc", "nosuid,noexec,nodev" },
		{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
		{ "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
		{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
		{ "/sys/fs/cgroup", "cgroup", "cgroup",
		  rw ? "nosuid,noexec,nodev,relatime,rw" : "nosuid,noexec,nodev,relatime,ro" },
	};

	add_sysfs(context, mounts);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		add_built_in(context, mounts, &list[i]);
}

static void add_pod_files(struct spec_context *context, json_t *mounts)
{
	const struct spec_input *input = context->input;
	const char *file = context->readonly_rootfs ? "bind,rprivate,nosuid,nodev,noexec,ro"
						    : "bind,rprivate,nosuid,nodev,noexec";
	const struct built_in list[] = {
		{ "/dev/shm", "bind", input->shm, "rbind,rprivate,nosuid,nodev,noexec" },
		{ "/etc/hosts", "bind", input->hosts, file },
		{ "/etc/hostname", "bind", input->hostname_file, file },
		{ "/etc/resolv.conf", "bind", input->resolv_conf, file },
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (list[i].source)
			add_built_in(context, mounts, &list[i]);
}

static const char *propagation_option(const Cri__Mount *mount)
{
	switch (mount->propagation) {
	case CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER:
		return "rslave";
	case CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL:
		return "rshared";
	default:
		return "rprivate";
	}
}

static json_t *mappings_json(Cri__IDMapping *const *items, size_t len)
{
	json_t *array = json_array();

	for (size_t i = 0; i < len; i++)
		json_array_append_new(
			array, spec_mapping(items[i]->container_id, items[i]->host_id, items[i]->length));
	return array;
}

/* As Kubernetes promises: nothing of it can be written or run. */
static int add_image(struct spec_context *context, const Cri__Mount *mount, const char *source,
		     json_t *mounts, struct err *err)
{
	CLEANUP(freep) char *destination = NULL;

	if (spec_path_clean(mount->container_path, "container_path", &destination, err) < 0)
		return -1;
	json_array_append_new(mounts, json_pack("{s:o, s:s, s:o, s:[s,s,s,s,s,s]}", "destination",
						spec_text(context, destination), "type", "bind", "source",
						spec_text(context, source), "options", "bind", "rprivate",
						"ro", "noexec", "nosuid", "nodev"));
	return 0;
}

/* As the container's other files, so that nobody else has the volume: its pod's containers share the level.
 */
static int relabel(const struct spec_context *context, const Cri__Mount *mount, const char *source,
		   struct err *err)
{
	const struct spec_input *input = context->input;
	const struct selinux_request request = { input->settings, input->pod_config, input->config,
						 input->selinux_level };
	struct selinux_labels labels CLEANUP(selinux_labels_done) = { 0 };

	if (!mount->selinux_relabel || !input->host->selinux)
		return 0;
	selinux_labels(&request, &labels);
	return labels.mount ? selinux_relabel(source, labels.mount, err) : 0;
}

static int add_requested(struct spec_context *context, const Cri__Mount *mount, json_t *mounts,
			 struct err *err)
{
	CLEANUP(freep) char *source = NULL, *destination = NULL;
	json_t *options;

	if (spec_path_clean(mount->container_path, "container_path", &destination, err) < 0 ||
	    spec_source(mount, &source, err) < 0 || relabel(context, mount, source, err) < 0)
		return -1;
	options = json_pack("[s, s, s]", "rbind", propagation_option(mount),
			    !mount->readonly             ? "rw"
			    : mount->recursive_read_only ? "rro"
							 : "ro");
	for (size_t i = 0; i < mount->n_mount_options; i++)
		json_array_append_new(options, json_string(mount->mount_options[i]));
	json_t *json = json_pack("{s:o, s:s, s:o, s:o}", "destination", spec_text(context, destination),
				 "type", "bind", "source", spec_text(context, source), "options", options);
	if (mount->n_uidmappings) {
		json_object_set_new(json, "uidMappings",
				    mappings_json(mount->uidmappings, mount->n_uidmappings));
		json_object_set_new(json, "gidMappings",
				    mappings_json(mount->gidmappings, mount->n_gidmappings));
	}
	json_array_append_new(mounts, json);
	return 0;
}

struct place {
	json_t *mount;
	size_t depth, order;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *left = a, *right = b;

	if (left->depth != right->depth)
		return left->depth < right->depth ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

void spec_mounts_order(json_t **mounts)
{
	size_t len = json_array_size(*mounts);
	CLEANUP(freep) struct place *places = xcalloc(len + 1, sizeof(*places));
	json_t *array = json_array();

	for (size_t i = 0; i < len; i++) {
		places[i].mount = json_array_get(*mounts, i);
		places[i].order = i;
		for (const char *c = destination_of(places[i].mount); *c; c++)
			places[i].depth += *c == '/';
	}
	qsort(places, len, sizeof(*places), compare_places);
	for (size_t i = 0; i < len; i++)
		json_array_append(array, places[i].mount);
	json_decref(*mounts);
	*mounts = array;
}

/* The root must pass on at least what the widest of its mounts is to pass on. */
static const char *root_propagation(const Cri__ContainerConfig *config)
{
	const char *widest = NULL;

	for (size_t i = 0; i < config->n_mounts; i++) {
		const char *option = propagation_option(config->mounts[i]);

		if (str_eq(option, "rshared"))
			return option;
		if (str_eq(option, "rslave"))
			widest = option;
	}
	return widest;
}

int spec_mounts(struct spec_context *context, json_t **ret, const char **ret_propagation, struct err *err)
{
	const Cri__ContainerConfig *config = context->input->config;
	json_t *mounts = json_array();

	add_file_systems(context, mounts);
	add_pod_files(context, mounts);
	for (size_t i = 0; i < config->n_mounts; i++) {
		const Cri__Mount *mount = config->mounts[i];
		const struct strv *images = context->input->image_mounts;
		int failed = image_mount_wanted(mount) && images
				     ? add_image(context, mount, images->items[i], mounts, err)
				     : add_requested(context, mount, mounts, err);

		if (failed) {
			json_decref(mounts);
			return err_prefix(err, "mounts[%zu]", i);
		}
	}
	spec_mounts_order(&mounts);
	*ret = mounts;
	*ret_propagation = root_propagation(config);
	return 0;
}
