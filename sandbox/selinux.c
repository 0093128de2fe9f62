/*
 * The policy's labels are read from its lxc_contexts file (lines: process = "...", file = "..."), each time:
 * it is small, and a policy may be loaded while crispd runs. Options replace parts of them.
 *
 * Levels are a set of "s0:cA,cB" with A < B < 1024; a new one is drawn until it is none of them.
 */
#include "sandbox/selinux.h"

#include <fcntl.h>
#include <selinux/selinux.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/str.h"

enum {
	CATEGORIES = 1024,
	LEVELS_MAX =
		CATEGORIES * (CATEGORIES - 1) / 4, /* half of what there are: a draw soon hits a free one */
	CONTEXTS_MAX = 64 * 1024,
};

bool selinux_enabled(const struct config *config)
{
	return config->runtime.selinux && is_selinux_enabled() == 1;
}

/* ---- options ---- */

/* One part of a label. Only a level may have colons: "s0:c1,c2". */
static int check_part(const char *part, const char *what, struct err *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	static const char level[] = "abcdefghijklmnopqrstuvwxyz0123456789_.,:-";
	const char *allowed = str_eq(what, "level") ? level : letters;

	if (part[strspn(part, allowed)] == '\0')
		return 0;
	return err_set(err, RPC_INVALID_ARGUMENT, "selinux_options.%s is malformed", what);
}

int selinux_check(const Cri__SELinuxOption *options, struct err *err)
{
	if (!options)
		return 0;
	if (strlen(options->user) + strlen(options->role) + strlen(options->type) + strlen(options->level) >
	    SELINUX_LABEL_MAX / 2)
		return err_set(err, RPC_INVALID_ARGUMENT, "selinux_options are longer than %d bytes",
			       SELINUX_LABEL_MAX / 2);
	if (check_part(options->user, "user", err) < 0 || check_part(options->role, "role", err) < 0 ||
	    check_part(options->type, "type", err) < 0)
		return -1;
	return check_part(options->level, "level", err);
}

/* ---- labels ---- */

struct label {
	char *user, *role, *type; /* malloc'd */
};

static void label_done(struct label *label)
{
	free(label->user);
	free(label->role);
	free(label->type);
}

/* The part of text between two colons. */
static char *part_of(const char **text)
{
	size_t len = strcspn(*text, ":");
	char *part = xstrndup(*text, len);

	*text += len + (*text)[len] / ':';
	return part;
}

/* The value of a line `key = "user:role:type:level"`; NULL: there is none. malloc'd. */
static char *policy_context(const char *key)
{
	CLEANUP(freep) char *text = NULL;
	const char *path = selinux_lxc_contexts_path();
	char *rest;

	if (!path || file_read_linked(path, CONTEXTS_MAX, &text, NULL, NULL) < 0)
		return NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char name[32], value[SELINUX_LABEL_MAX + 1];

		if (sscanf(line, " %31[a-z_] = \"%250[^\"]\"", name, value) == 2 && str_eq(name, key))
			return xstrdup(value);
	}
	return NULL;
}

static void base_label(const char *key, const char *fallback, struct label *ret)
{
	CLEANUP(freep) char *context = policy_context(key);
	const char *at = context ? context : fallback;

	ret->user = part_of(&at);
	ret->role = part_of(&at);
	ret->type = part_of(&at);
}

static void replace(char **place, const char *value)
{
	if (str_empty(value))
		return;
	free(*place);
	*place = xstrdup(value);
}

static const Cri__LinuxSandboxSecurityContext *pod_security(const struct selinux_request *request)
{
	return request->pod && request->pod->linux ? request->pod->linux->security_context : NULL;
}

static const Cri__LinuxContainerSecurityContext *container_security(const struct selinux_request *request)
{
	return request->container && request->container->linux ? request->container->linux->security_context
							       : NULL;
}

static bool on_host(const Cri__NamespaceOption *options)
{
	return options &&
	       (options->pid == CRI__NAMESPACE_MODE__NODE || options->ipc == CRI__NAMESPACE_MODE__NODE);
}

/* Neither process nor files are kept apart from the host. */
static bool unconfined(const struct selinux_request *request)
{
	const Cri__LinuxSandboxSecurityContext *pod = pod_security(request);
	const Cri__LinuxContainerSecurityContext *own = container_security(request);

	if (own && own->privileged)
		return true;
	if (own && own->namespace_options)
		return on_host(own->namespace_options);
	return pod && on_host(pod->namespace_options);
}

static bool host_network(const struct selinux_request *request)
{
	const Cri__LinuxSandboxSecurityContext *pod = pod_security(request);

	return pod && pod->namespace_options && pod->namespace_options->network == CRI__NAMESPACE_MODE__NODE;
}

void selinux_labels(const struct selinux_request *request, struct selinux_labels *ret)
{
	const Cri__LinuxSandboxSecurityContext *pod = pod_security(request);
	const Cri__LinuxContainerSecurityContext *own = container_security(request);
	const Cri__SELinuxOption *options[] = { pod ? pod->selinux_options : NULL,
						own ? own->selinux_options : NULL };
	struct label process CLEANUP(label_done) = { 0 };
	struct label file CLEANUP(label_done) = { 0 };
	const char *level = str_empty(request->level) ? "s0" : request->level;

	*ret = (struct selinux_labels){ 0 };
	if (unconfined(request))
		return;
	base_label("process", "system_u:system_r:container_t:s0", &process);
	base_label("file", "system_u:object_r:container_file_t:s0", &file);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (!options[i])
			continue;
		replace(&process.user, options[i]->user);
		replace(&process.role, options[i]->role);
		replace(&process.type, options[i]->type);
		replace(&file.user, options[i]->user);
		level = str_empty(options[i]->level) ? level : options[i]->level;
	}
	ret->mount = xasprintf("%s:%s:%s:%s", file.user, file.role, file.type, level);
	if (!host_network(request) || !request->config->runtime.hostnetwork_disable_selinux)
		ret->process = xasprintf("%s:%s:%s:%s", process.user, process.role, process.type, level);
}

void selinux_labels_done(struct selinux_labels *labels)
{
	free(labels->process);
	free(labels->mount);
	*labels = (struct selinux_labels){ 0 };
}

/* ---- levels ---- */

struct selinux_levels {
	atomic_uint refs; /* its owner's, and one for each level taken */
	struct lock lock;
	struct map taken; /* under lock */
};

static int one;

struct selinux_levels *selinux_levels_new(void)
{
	struct selinux_levels *levels = xnew(struct selinux_levels);

	atomic_init(&levels->refs, 1);
	lock_init(&levels->lock, "selinux levels", LOCK_SELINUX);
	map_init(&levels->taken, NULL);
	return levels;
}

struct selinux_levels *selinux_levels_free(struct selinux_levels *levels)
{
	if (!levels || atomic_fetch_sub(&levels->refs, 1) != 1)
		return NULL;
	map_done(&levels->taken);
	lock_done(&levels->lock);
	free(levels);
	return NULL;
}

static unsigned int draw(void)
{
	unsigned int number = 0;

	random_bytes(&number, sizeof(number));
	return number;
}

static char *draw_level(void)
{
	unsigned int a = draw() % CATEGORIES, b = draw() % (CATEGORIES - 1);

	b += b >= a;
	return xasprintf("s0:c%u,c%u", a < b ? a : b, a < b ? b : a);
}

int selinux_levels_take(struct selinux_levels *levels, char **ret, struct err *err)
{
	char *level = NULL;

	lock_take(&levels->lock);
	bool full = map_len(&levels->taken) >= LEVELS_MAX;
	while (!full && (!level || map_get(&levels->taken, level))) {
		free(level);
		level = draw_level();
	}
	if (level) {
		map_put(&levels->taken, level, &one);
		atomic_fetch_add(&levels->refs, 1);
	}
	lock_drop(&levels->lock);
	if (!level)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "more than %d SELinux levels in use", LEVELS_MAX);
	*ret = level;
	return 0;
}

void selinux_levels_keep(struct selinux_levels *levels, const char *level)
{
	atomic_fetch_add(&levels->refs, 1);
	lock_take(&levels->lock);
	map_put(&levels->taken, level, &one);
	lock_drop(&levels->lock);
}

void selinux_levels_drop(struct selinux_levels *levels, const char *level)
{
	if (!level)
		return;
	lock_take(&levels->lock);
	map_del(&levels->taken, level);
	lock_drop(&levels->lock);
	selinux_levels_free(levels);
}
