/*
 * The file is decoded by tables; what tables cannot say (numbers that may be absent, keys of later versions)
 * is looked at afterwards, while the JSON document is still there, and then taken out of the structs.
 */
#include "sandbox/cdi.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

#include "sandbox/doc_dir.h"

enum { DEVICES_MAX = 4096, ITEMS_MAX = 4096, NAME_LEN_MAX = 253, CLASS_LEN_MAX = 63 };

/* clang-format off */
#define END { NULL, JSON_FIELD_STRING, 0, 0, NULL, 0 }
#define NODE(member) offsetof(struct cdi_node, member)
static const struct json_field node_fields[] = {
	{ "path", JSON_FIELD_STRING, NODE(path), JSON_NEEDED, NULL, 0 },
	{ "hostPath", JSON_FIELD_STRING, NODE(host_path), 0, NULL, 0 },
	{ "type", JSON_FIELD_STRING, NODE(type), 0, NULL, 0 },
	{ "major", JSON_FIELD_INT, NODE(major), 0, NULL, 0 },
	{ "minor", JSON_FIELD_INT, NODE(minor), 0, NULL, 0 },
	{ "fileMode", JSON_FIELD_RAW, NODE(mode_json), 0, NULL, 0 },
	{ "permissions", JSON_FIELD_STRING, NODE(permissions), 0, NULL, 0 },
	{ "uid", JSON_FIELD_RAW, NODE(uid_json), 0, NULL, 0 },
	{ "gid", JSON_FIELD_RAW, NODE(gid_json), 0, NULL, 0 },
	END,
};

static const struct json_field mount_fields[] = {
	{ "hostPath", JSON_FIELD_STRING, offsetof(struct cdi_mount, host_path), JSON_NEEDED, NULL, 0 },
	{ "containerPath", JSON_FIELD_STRING, offsetof(struct cdi_mount, container_path), JSON_NEEDED, NULL, 0 },
	{ "type", JSON_FIELD_STRING, offsetof(struct cdi_mount, type), 0, NULL, 0 },
	{ "options", JSON_FIELD_STRINGS, offsetof(struct cdi_mount, options), 0, NULL, 0 },
	END,
};

#define HOOK(member) offsetof(struct cdi_hook, member)
static const struct json_field hook_fields[] = {
	{ "hookName", JSON_FIELD_STRING, HOOK(stage), JSON_NEEDED, NULL, 0 },
	{ "path", JSON_FIELD_STRING, HOOK(entry.path), JSON_NEEDED, NULL, 0 },
	{ "args", JSON_FIELD_STRINGS, HOOK(entry.args), 0, NULL, 0 },
	{ "env", JSON_FIELD_STRINGS, HOOK(entry.env), 0, NULL, 0 },
	{ "timeout", JSON_FIELD_RAW, HOOK(entry.timeout_json), 0, NULL, 0 },
	END,
};

#define EDITS(member) offsetof(struct cdi_edits, member)
static const struct json_field edits_fields[] = {
	{ "env", JSON_FIELD_STRINGS, EDITS(env), 0, NULL, 0 },
	{ "deviceNodes", JSON_FIELD_ARRAY, EDITS(nodes), 0, node_fields, sizeof(struct cdi_node) },
	{ "mounts", JSON_FIELD_ARRAY, EDITS(mounts), 0, mount_fields, sizeof(struct cdi_mount) },
	{ "hooks", JSON_FIELD_ARRAY, EDITS(hooks), 0, hook_fields, sizeof(struct cdi_hook) },
	{ "additionalGids", JSON_FIELD_RAW, EDITS(gids_json), 0, NULL, 0 },
	{ "intelRdt", JSON_FIELD_RAW, EDITS(rdt_json), 0, NULL, 0 },
	{ "netDevices", JSON_FIELD_RAW, EDITS(net_json), 0, NULL, 0 },
	END,
};

static const struct json_field device_fields[] = {
	{ "name", JSON_FIELD_STRING, offsetof(struct cdi_device, name), JSON_NEEDED, NULL, 0 },
	{ "annotations", JSON_FIELD_RAW, offsetof(struct cdi_device, annotations_json), 0, NULL, 0 },
	{ "containerEdits", JSON_FIELD_OBJECT, offsetof(struct cdi_device, edits), 0, edits_fields, sizeof(struct cdi_edits) },
	END,
};

#define SPEC(member) offsetof(struct cdi_spec, member)
static const struct json_field spec_fields[] = {
	{ "cdiVersion", JSON_FIELD_STRING, SPEC(version), JSON_NEEDED, NULL, 0 },
	{ "kind", JSON_FIELD_STRING, SPEC(kind), JSON_NEEDED, NULL, 0 },
	{ "annotations", JSON_FIELD_RAW, SPEC(annotations_json), 0, NULL, 0 },
	{ "devices", JSON_FIELD_ARRAY, SPEC(devices), JSON_NEEDED, device_fields, sizeof(struct cdi_device) },
	{ "containerEdits", JSON_FIELD_OBJECT, SPEC(edits), 0, edits_fields, sizeof(struct cdi_edits) },
	END,
};
/* clang-format on */

/* In the order of their making, so that a place in the list tells which is later. */
enum version { V0_3, V0_4, V0_5, V0_6, V0_7, V0_8, V1_0, VERSIONS };
static const char *const versions[VERSIONS] = {
	"0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0"
};

struct checking {
	enum version version;
	struct arena *arena;
	struct err *err;
};

/* Letters, digits and what is in `between`, the last a letter or digit. */
static bool is_word(const char *text, size_t len, const char *between)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && (!text[i] || !strchr(between, text[i])))
			return false;
	return len > 0 && isalnum((unsigned char)text[len - 1]);
}

bool cdi_device_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len <= NAME_LEN_MAX && is_word(name, len, "_-.:") && isalnum((unsigned char)*name);
}

bool cdi_kind_valid(const char *kind)
{
	size_t vendor = strcspn(kind, "/");
	const char *class = kind + vendor + 1;

	if (!kind[vendor] || vendor > NAME_LEN_MAX || strlen(class) > CLASS_LEN_MAX)
		return false;
	return is_word(kind, vendor, "_-.") && isalpha((unsigned char)*kind) &&
	       is_word(class, strlen(class), "_-.") && isalpha((unsigned char)*class);
}

static int needs(const struct checking *checking, enum version version, const char *what)
{
	if (checking->version >= version)
		return 0;
	return err_set(checking->err, RPC_INVALID_ARGUMENT, "%s needs cdiVersion %s", what,
		       versions[version]);
}

static int take_number(const struct checking *checking, json_t **json, const char *what, int64_t *ret)
{
	const json_t *number = TAKE(*json);

	*ret = CDI_ID_UNSET;
	if (!number || json_is_null(number))
		return 0;
	if (!json_is_integer(number) || json_integer_value(number) < 0 ||
	    json_integer_value(number) >= UINT32_MAX)
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "%s is not a number from 0 to 4294967294",
			       what);
	*ret = json_integer_value(number);
	return 0;
}

/* Paths inside the container, which the OCI runtime resolves there. */
static int check_path(const struct checking *checking, const char *path, const char *what)
{
	if (str_empty(path) || *path != '/' || strlen(path) >= 4096)
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "%s is not an absolute path", what);
	for (const char *at = path; (at = strstr(at, "/..")); at += 3)
		if (at[3] == '/' || !at[3])
			return err_set(checking->err, RPC_INVALID_ARGUMENT, "%s has \"..\" in it", what);
	return 0;
}

static int check_node(const struct checking *checking, struct cdi_node *node)
{
	const char *access = node->permissions;

	if (check_path(checking, node->path, "path") < 0 ||
	    (!str_empty(node->host_path) && (needs(checking, V0_5, "hostPath") < 0 ||
					     check_path(checking, node->host_path, "hostPath") < 0)) ||
	    take_number(checking, &node->mode_json, "fileMode", &node->mode) < 0 ||
	    take_number(checking, &node->uid_json, "uid", &node->uid) < 0 ||
	    take_number(checking, &node->gid_json, "gid", &node->gid) < 0)
		return -1;
	if (node->mode != CDI_ID_UNSET && (node->mode & ~(int64_t)(S_IFMT | 07777)))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "fileMode is not a file's mode");
	if (node->major < 0 || node->major > INT32_MAX || node->minor < 0 || node->minor > INT32_MAX)
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "major and minor are not device numbers");
	if (!str_empty(node->type) && (node->type[1] || !strchr("bcup", *node->type)))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "type is not b, c, u or p");
	if (!str_empty(access) && !str_eq(access, "none") &&
	    (access[strspn(access, "rwm")] || strlen(access) > 3))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "permissions are not made of r, w and m");
	return 0;
}

static int check_mount(const struct checking *checking, const struct cdi_mount *mount)
{
	if (!str_empty(mount->type) && needs(checking, V0_4, "type") < 0)
		return -1;
	if (str_empty(mount->host_path))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "hostPath is empty");
	return check_path(checking, mount->container_path, "containerPath");
}

static int check_env(const struct checking *checking, const struct json_strings *env)
{
	for (size_t i = 0; i < env->len; i++) {
		const char *equals = strchr(env->items[i], '=');

		if (!equals || equals == env->items[i])
			return err_set(checking->err, RPC_INVALID_ARGUMENT, "env[%zu] is not KEY=VALUE", i);
	}
	return 0;
}

static int take_gids(const struct checking *checking, struct cdi_edits *edits)
{
	const json_t *list = TAKE(edits->gids_json);
	size_t len = json_array_size(list);

	if (!list || json_is_null(list))
		return 0;
	if (needs(checking, V0_7, "additionalGids") < 0)
		return -1;
	if (!json_is_array(list) || len > ITEMS_MAX)
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "additionalGids is not a list of groups");
	edits->gids = arena_array(checking->arena, len, sizeof(*edits->gids));
	for (size_t i = 0; i < len; i++) {
		json_t *item = json_array_get(list, i);
		int64_t gid;

		if (take_number(checking, &item, "a group of additionalGids", &gid) < 0)
			return -1;
		if (gid > 0) /* 0 is to be ignored */
			edits->gids[edits->gids_len++] = (uint32_t)gid;
	}
	return 0;
}

static int check_hook(const struct checking *checking, struct cdi_hook *hook)
{
	if (!hooks_stage_known(hook->stage))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "unknown hookName \"%.64s\"",
			       hook->stage ? hook->stage : "");
	return hooks_entry_check(&hook->entry, checking->err);
}

static int check_edits(const struct checking *checking, struct cdi_edits *edits)
{
	struct cdi_node *nodes = edits->nodes.items;
	const struct cdi_mount *mounts = edits->mounts.items;
	struct cdi_hook *hooks = edits->hooks.items;

	if (TAKE(edits->rdt_json))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "intelRdt is not supported");
	if (TAKE(edits->net_json))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "netDevices is not supported");
	if (edits->nodes.len > ITEMS_MAX || edits->mounts.len > ITEMS_MAX || edits->hooks.len > ITEMS_MAX ||
	    edits->env.len > ITEMS_MAX)
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "a list is longer than %d", ITEMS_MAX);
	if (check_env(checking, &edits->env) < 0 || take_gids(checking, edits) < 0)
		return -1;
	for (size_t i = 0; i < edits->nodes.len; i++)
		if (check_node(checking, &nodes[i]) < 0)
			return err_prefix(checking->err, "deviceNodes[%zu]", i);
	for (size_t i = 0; i < edits->mounts.len; i++)
		if (check_mount(checking, &mounts[i]) < 0)
			return err_prefix(checking->err, "mounts[%zu]", i);
	for (size_t i = 0; i < edits->hooks.len; i++)
		if (check_hook(checking, &hooks[i]) < 0)
			return err_prefix(checking->err, "hooks[%zu]", i);
	return 0;
}

static int check_annotations(const struct checking *checking, json_t **json)
{
	const json_t *annotations = TAKE(*json);

	if (!annotations || json_is_null(annotations))
		return 0;
	if (!json_is_object(annotations))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "annotations is not an object");
	return json_object_size(annotations) ? needs(checking, V0_6, "annotations") : 0;
}

static bool is_empty(const struct cdi_edits *edits)
{
	return !edits->env.len && !edits->nodes.len && !edits->mounts.len && !edits->hooks.len &&
	       !edits->gids_len;
}

static int check_device(const struct checking *checking, struct cdi_device *device)
{
	if (!cdi_device_name_valid(device->name))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "\"%.64s\" is not a device's name",
			       device->name);
	if (isdigit((unsigned char)*device->name) && needs(checking, V0_5, "a name with a digit first") < 0)
		return -1;
	if (check_annotations(checking, &device->annotations_json) < 0)
		return -1;
	if (check_edits(checking, &device->edits) < 0)
		return err_prefix(checking->err, "containerEdits");
	if (is_empty(&device->edits))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "containerEdits is empty");
	return 0;
}

static int check_version(const struct cdi_spec *spec, enum version *ret, struct err *err)
{
	const char *text = *spec->version == 'v' ? spec->version + 1 : spec->version;

	for (enum version i = 0; i < VERSIONS; i++)
		if (str_eq(text, versions[i])) {
			*ret = i;
			return 0;
		}
	return err_set(err, RPC_INVALID_ARGUMENT, "cdiVersion \"%.32s\" is not known (%s to %s are)",
		       spec->version, versions[0], versions[VERSIONS - 1]);
}

static int check_spec(struct checking *checking, struct cdi_spec *spec)
{
	struct cdi_device *devices = spec->devices.items;

	if (check_version(spec, &checking->version, checking->err) < 0)
		return -1;
	if (!cdi_kind_valid(spec->kind))
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "kind \"%.64s\" is not VENDOR/CLASS",
			       spec->kind);
	if (strchr(strchr(spec->kind, '/'), '.') && needs(checking, V0_6, "a class with a dot in it") < 0)
		return -1;
	if (check_annotations(checking, &spec->annotations_json) < 0)
		return -1;
	if (spec->devices.len == 0 || spec->devices.len > DEVICES_MAX)
		return err_set(checking->err, RPC_INVALID_ARGUMENT, "%zu devices, not 1 to %d",
			       spec->devices.len, DEVICES_MAX);
	if (check_edits(checking, &spec->edits) < 0)
		return err_prefix(checking->err, "containerEdits");
	for (size_t i = 0; i < spec->devices.len; i++) {
		if (check_device(checking, &devices[i]) < 0)
			return err_prefix(checking->err, "devices[%zu]", i);
		for (size_t j = 0; j < i; j++)
			if (str_eq(devices[i].name, devices[j].name))
				return err_set(checking->err, RPC_INVALID_ARGUMENT,
					       "device \"%.64s\" is there twice", devices[i].name);
	}
	return 0;
}

int cdi_spec_parse(const char *text, size_t len, struct arena *arena, const struct cdi_spec **ret,
		   struct err *err)
{
	struct cdi_spec *spec = arena_alloc(arena, sizeof(*spec));
	struct checking checking = { .arena = arena, .err = err };
	CLEANUP(json_decrefp) json_t *json = NULL;

	if (json_parse(text, len, DOC_SIZE_MAX, &json, err) < 0 ||
	    hooks_known_keys(json, spec_fields, err) < 0 ||
	    json_decode(json, spec_fields, spec, arena, err) < 0 || check_spec(&checking, spec) < 0)
		return -1;
	*ret = spec;
	return 0;
}
