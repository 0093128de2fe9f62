/*
 * The table of runtime handlers, made once from the configuration.
 *
 * For each [crisp.runtime.runtimes.NAME] the binary and its monitor are looked for, then asked: `--version`
 * (which says whether it is crun) and `features` (runtime-spec features.md), each bounded in time and output.
 * A runtime without that verb - crun before 1.9 and what is neither crun nor runc - gets what is known of its
 * version. A handler that cannot be used stays in the table with the reason, so that Status and `crispd
 * check` can show it; only a request for it fails.
 */
#include "conmon/handler.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ctx.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/spawn.h"
#include "config/program.h"

enum { OUTPUT_MAX = 256 * 1024, ASKED_AT_ONCE = 4 };
static const int64_t patience = 5 * NS_PER_SEC;

struct slot { /* a handler and what its pointers point to */
	struct handler handler;
	char *name, *path, *root, *monitor, *keeper, *version, *problem;
	struct slim_mounts slim;
};

struct handlers {
	struct slot *slots;
	size_t len;
	char *default_name;
};

/* Runs `PATH argument`; *ret is its whole standard output. */
static int ask(const char *path, const char *argument, struct str *ret, struct err *err)
{
	const char *argv[] = { path, argument, NULL };
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct command command = {
		.path = path, .argv = argv, .stdout_max = OUTPUT_MAX, .stderr_max = 4096, .timeout = patience
	};

	if (command_run(&command, NULL, &result, err) < 0)
		return err_prefix(err, "%s %s", path, argument);
	if (!result.exited || result.status != 0 || result.out_truncated) {
		char text[256];

		command_result_text(&result, text, sizeof(text));
		return err_set(err, RPC_FAILED_PRECONDITION, "%s %s: %s", path, argument, text);
	}
	*ret = result.out;
	result.out = (struct str)STR_INIT;
	return 0;
}

/* What releases could do before they could say so. */
static void features_by_version(struct slot *slot)
{
	struct handler *handler = &slot->handler;
	struct program_version version = { 0 };

	if (!program_version_parse(slot->version, &version))
		return;
	if (handler->is_crun) {
		handler->recursive_read_only_mounts = !program_version_before(version, 1, 4, 0);
		handler->idmap_mounts = !program_version_before(version, 1, 4, 0);
		handler->user_namespaces = true;
		handler->seccomp = handler->apparmor = handler->selinux = true;
		strv_add(&handler->unsafe_annotations, "module.wasm.image/");
		strv_add(&handler->unsafe_annotations, "io.kubernetes.cri.container-type");
		strv_add(&handler->unsafe_annotations, "run.oci.");
		strv_add(&handler->unsafe_annotations, "org.systemd.property.");
		return;
	}
	handler->user_namespaces = true;
	handler->seccomp = handler->apparmor = handler->selinux = true;
	if (str_has_prefix(slot->version, "runc ")) {
		handler->recursive_read_only_mounts = !program_version_before(version, 1, 1, 0);
		handler->idmap_mounts = !program_version_before(version, 1, 2, 0);
	}
	strv_add(&handler->unsafe_annotations, "bundle");
	strv_add(&handler->unsafe_annotations, "org.systemd.property.");
	strv_add(&handler->unsafe_annotations, "org.criu.config");
}

static bool array_has(const json_t *array, const char *text)
{
	size_t i;
	json_t *item;

	json_array_foreach(array, i, item) if (str_eq(json_string_value(item), text)) return true;
	return false;
}

static bool enabled(const json_t *linux_features, const char *section)
{
	return json_is_true(json_object_get(json_object_get(linux_features, section), "enabled"));
}

static int features_by_document(struct slot *slot, const struct str *text, struct err *err)
{
	struct handler *handler = &slot->handler;
	json_t *linux_features, *idmap, *item;
	size_t i;

	if (json_parse(str_get(text), text->len, OUTPUT_MAX, &handler->features, err) < 0)
		return -1;
	linux_features = json_object_get(handler->features, "linux");
	if (!json_is_object(linux_features)) {
		json_decref(handler->features);
		handler->features = NULL;
		return err_set(err, RPC_FAILED_PRECONDITION, "features: no \"linux\" object");
	}
	handler->recursive_read_only_mounts =
		array_has(json_object_get(handler->features, "mountOptions"), "rro");
	handler->user_namespaces = array_has(json_object_get(linux_features, "namespaces"), "user");
	idmap = json_object_get(json_object_get(json_object_get(linux_features, "mountExtensions"), "idmap"),
				"enabled");
	handler->idmap_mounts = json_is_true(idmap);
	handler->seccomp = enabled(linux_features, "seccomp");
	handler->apparmor = enabled(linux_features, "apparmor");
	handler->selinux = enabled(linux_features, "selinux");
	json_array_foreach(json_object_get(handler->features, "potentiallyUnsafeConfigAnnotations"), i,
			   item) if (json_is_string(item))
		strv_add(&handler->unsafe_annotations, json_string_value(item));
	return 0;
}

static void ask_handler(struct slot *slot)
{
	struct handler *handler = &slot->handler;
	struct str features CLEANUP(str_done) = STR_INIT;
	struct program_version version = { 0 };
	struct err err = { 0 };
	char *line;

	if (program_version_line(slot->path, NULL, &line, &err) < 0) {
		slot->problem = xstrdup(err.text);
		return;
	}
	free(slot->version);
	slot->version = line;
	for (char *c = line; *c; c++) /* it is shown to clients */
		*c = *c < ' ' || *c > '~' ? '?' : *c;
	handler->is_crun = str_has_prefix(slot->version, "crun ");
	if (handler->is_crun && program_version_parse(slot->version, &version)) {
		/* Older ones compile the profile that comes in linux.seccomp even when the annotation is
		 * there. */
		handler->seccomp_bpf_data = !program_version_before(version, 1, 8, 0);
		handler->devices_need_memlock = program_version_before(version, 1, 14, 0);
	}
	if (ask(slot->path, "features", &features, &err) < 0 ||
	    features_by_document(slot, &features, &err) < 0)
		features_by_version(slot);
}

/* The program's path; NULL when there is none. */
static char *find_program(const char *path, const char *name)
{
	char *found;

	return program_find(*path ? path : name, &found, NULL) < 0 ? NULL : found;
}

/* One that ends in a dot or slash stands for all that begin with it. */
static bool is_unsafe(const char *annotation, const char *unsafe)
{
	size_t len = strlen(unsafe);

	return len && (unsafe[len - 1] == '.' || unsafe[len - 1] == '/') ? str_has_prefix(annotation, unsafe)
									 : str_eq(annotation, unsafe);
}

static void warn_of_unsafe(const struct handler *handler, const struct config_runtime *runtime)
{
	for (size_t i = 0; i < runtime->allowed_annotations.len; i++)
		for (size_t j = 0; j < handler->unsafe_annotations.len; j++)
			if (is_unsafe(runtime->allowed_annotations.items[i],
				      handler->unsafe_annotations.items[j])) {
				log_warn("runtime handler %s: allowed_annotations has %s, by which whoever "
					 "creates a pod changes what the runtime does on the host",
					 runtime->name, runtime->allowed_annotations.items[i]);
				break;
			}
}

/* Only for crun, which is known to need nothing else, and gains by it. */
static void open_slim_mounts(struct slot *slot, const char *runroot)
{
	const char *const paths[] = { slot->path, slot->root, runroot, NULL };
	struct err err = { 0 };

	if (slim_mounts_open(paths, &slot->slim, &err) < 0)
		log_info("runtime handler %s: it finds all mounts of the host: %s", slot->name, err.text);
	else
		slot->handler.slim = &slot->slim;
}

static void slot_init(struct slot *slot, const struct config *config, const struct config_runtime *runtime)
{
	const char *monitor = *runtime->monitor_path ? runtime->monitor_path : config->runtime.conmon;
	struct err err = { 0 };

	slot->slim = (struct slim_mounts)SLIM_MOUNTS_INIT;
	slot->name = xstrdup(runtime->name);
	slot->root = xstrdup(runtime->runtime_root);
	slot->version = xstrdup("");
	slot->path = find_program(runtime->runtime_path, runtime->name);
	slot->monitor = find_program(monitor, "conmon");
	if (!slot->path)
		slot->problem = *runtime->runtime_path
					? xasprintf("%s is not an executable file", runtime->runtime_path)
					: xasprintf("there is no program %s in PATH", runtime->name);
	else
		ask_handler(slot);
	warn_of_unsafe(&slot->handler, runtime);
	if (!slot->problem && !slot->monitor)
		slot->problem = *monitor ? xasprintf("the monitor %s is not an executable file", monitor)
					 : xstrdup("there is no program conmon in PATH");
	if (program_find_own("crisp-exec", "CRISP_EXEC", &slot->keeper, &err) < 0 && !slot->problem)
		slot->problem = xstrdup(err.text);
	if (!slot->problem && slot->handler.is_crun)
		open_slim_mounts(slot, config->runroot);
	slot->handler.name = slot->name;
	slot->handler.path = slot->path;
	slot->handler.root = slot->root;
	slot->handler.monitor = slot->monitor;
	slot->handler.keeper = slot->keeper;
	slot->handler.version = slot->version;
	slot->handler.problem = slot->problem;
}

static void slot_done(struct slot *slot)
{
	slim_mounts_close(&slot->slim);
	json_decref(slot->handler.features);
	strv_done(&slot->handler.unsafe_annotations);
	free(slot->name);
	free(slot->path);
	free(slot->root);
	free(slot->monitor);
	free(slot->keeper);
	free(slot->version);
	free(slot->problem);
}

struct birth {
	struct slot *slot;
	const struct config *config;
	const struct config_runtime *runtime;
};

static void init_slot(void *data)
{
	const struct birth *birth = data;

	slot_init(birth->slot, birth->config, birth->runtime);
}

/* Side by side: the start of crispd waits for them all. */
static void init_slots(struct handlers *handlers, const struct config *config)
{
	CLEANUP(freep) struct birth *births = xcalloc(handlers->len + 1, sizeof(*births));
	struct pool *pool = pool_new(&(struct pool_options){ .name = "handlers",
							     .threads_max = ASKED_AT_ONCE,
							     .queue_max = handlers->len + 1,
							     .idle_ns = NS_PER_SEC });
	struct err none; /* no thread can be had */

	for (size_t i = 0; i < handlers->len; i++) {
		births[i] = (struct birth){ &handlers->slots[i], config, &config->runtime.runtimes[i] };
		if (pool_run(pool, init_slot, &births[i], &none) < 0)
			init_slot(&births[i]);
	}
	pool_free(pool);
}

struct handlers *handlers_open(const struct config *config, bool strict, struct err *err)
{
	struct handlers *handlers = xnew(struct handlers);
	const struct handler *fallback;

	handlers->len = config->runtime.runtimes_len;
	handlers->slots = xcalloc(handlers->len + 1, sizeof(*handlers->slots));
	handlers->default_name = xstrdup(config->runtime.default_runtime);
	init_slots(handlers, config);
	fallback = handlers_find(handlers, "");
	if (strict && (!fallback || fallback->problem)) {
		err_set(err, RPC_FAILED_PRECONDITION, "default runtime %s: %s", handlers->default_name,
			fallback ? fallback->problem : "not configured");
		return handlers_free(handlers);
	}
	return handlers;
}

struct handlers *handlers_free(struct handlers *handlers)
{
	if (!handlers)
		return NULL;
	for (size_t i = 0; i < handlers->len; i++)
		slot_done(&handlers->slots[i]);
	free(handlers->slots);
	free(handlers->default_name);
	free(handlers);
	return NULL;
}

const struct handler *handlers_find(const struct handlers *handlers, const char *name)
{
	const char *wanted = str_empty(name) ? handlers->default_name : name;

	for (size_t i = 0; i < handlers->len; i++)
		if (strcmp(handlers->slots[i].name, wanted) == 0)
			return &handlers->slots[i].handler;
	return NULL;
}

const struct handler *handlers_at(const struct handlers *handlers, size_t i)
{
	return i < handlers->len ? &handlers->slots[i].handler : NULL;
}

const char *handlers_default_name(const struct handlers *handlers)
{
	return handlers->default_name;
}
