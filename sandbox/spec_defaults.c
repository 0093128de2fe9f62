/*
 * What the node's configuration gives to every container whatever the request says: resource limits, a time
 * zone, and with read_only a root filesystem that only has a few places to write to.
 *
 * Without CAP_SYS_RESOURCE nobody may raise a hard limit: limits are clamped to our own then. No limit is the
 * largest number that JSON integers can be here, which the kernel takes as one that nobody reaches.
 */
#include "sandbox/spec_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/ulimit.h"

static json_int_t limit_json(uint64_t limit)
{
	return limit > INT64_MAX ? INT64_MAX : (json_int_t)limit;
}

static void clamp(struct ulimit *limit)
{
	struct rlimit own;

	if (getrlimit((__rlimit_resource_t)limit->resource, &own) < 0)
		return;
	if (limit->hard > own.rlim_max)
		limit->hard = own.rlim_max;
	if (limit->soft > limit->hard)
		limit->soft = limit->hard;
}

/* Of several for one resource the last counts. */
static json_t *limits_json(const struct spec_input *input)
{
	const struct config_strings *limits = &input->settings->runtime.default_ulimits;
	json_t *array = json_array();

	for (size_t i = 0; i < limits->len; i++) {
		struct ulimit limit;

		if (ulimit_parse(limits->items[i], &limit))
			continue;                      /* cannot be: the configuration was checked */
		if (!input->host->can_lower_oom_score) /* CAP_SYS_RESOURCE */
			clamp(&limit);
		for (size_t j = json_array_size(array); j-- > 0;)
			if (str_eq(json_string_value(json_object_get(json_array_get(array, j), "type")),
				   limit.type))
				json_array_remove(array, j);
		json_array_append_new(array,
				      json_pack("{s:s, s:I, s:I}", "type", limit.type, "soft",
						limit_json(limit.soft), "hard", limit_json(limit.hard)));
	}
	return array;
}

static int zone_path(const char *zone, char **ret, struct err *err)
{
	CLEANUP(freep)
	char *path =
		str_eq(zone, "local") ? xstrdup("/etc/localtime") : xasprintf("/usr/share/zoneinfo/%s", zone);

	*ret = realpath(path, NULL);
	if (!*ret)
		return err_set(err, RPC_FAILED_PRECONDITION, "timezone = \"%s\": %s: %m", zone, path);
	return 0;
}

static bool mounted_at(const json_t *mounts, const char *destination)
{
	json_t *mount;
	size_t i;

	json_array_foreach(mounts, i,
			   mount) if (str_eq(json_string_value(json_object_get(mount, "destination")),
					     destination)) return true;
	return false;
}

static int add_zone(struct spec_context *context, json_t *mounts, struct err *err)
{
	const char *zone = context->input->settings->runtime.timezone;
	CLEANUP(freep) char *path = NULL;

	if (str_empty(zone) || mounted_at(mounts, "/etc/localtime"))
		return 0;
	if (zone_path(zone, &path, err) < 0)
		return -1;
	json_array_append_new(mounts,
			      json_pack("{s:s, s:s, s:o, s:[s,s,s,s,s,s]}", "destination", "/etc/localtime",
					"type", "bind", "source", spec_text(context, path), "options", "bind",
					"rprivate", "ro", "nosuid", "nodev", "noexec"));
	return 0;
}

static void add_writable(json_t *mounts)
{
	static const char *const places[][2] = { { "/run", "mode=0755" },
						 { "/tmp", "mode=1777" },
						 { "/var/tmp", "mode=1777" } };

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (!mounted_at(mounts, places[i][0]))
			json_array_append_new(mounts,
					      json_pack("{s:s, s:s, s:s, s:[s,s,s,s,s,s]}", "destination",
							places[i][0], "type", "tmpfs", "source", "tmpfs",
							"options", "rw", "noexec", "nosuid", "nodev",
							"tmpcopyup", places[i][1]));
}

int spec_defaults(struct spec_context *context, struct spec_parts *parts, struct err *err)
{
	CLEANUP(json_decrefp) json_t *limits = limits_json(context->input);

	if (json_array_size(limits))
		json_object_set(parts->process, "rlimits", limits);
	if (context->input->settings->runtime.read_only)
		add_writable(parts->mounts);
	if (add_zone(context, parts->mounts, err) < 0)
		return -1;
	spec_mounts_order(&parts->mounts);
	return 0;
}
