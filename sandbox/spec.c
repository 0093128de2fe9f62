/*
 * A config.json is made of parts (spec_parts.h), one file each: process, mounts, devices, resources,
 * namespaces and the like, and what LSMs need. This file orders them: checks that need nothing first, then
 * capabilities, then the parts, then seccomp, which depends on the capabilities, and the annotations.
 *
 * Annotations are dangerous: OCI runtimes take orders from some (CVE-2024-3154, CVE-2023-6476). A client's
 * annotation reaches the runtime only when the handler's allowed_annotations has exactly its key; those that
 * describe the container to VM runtimes are written here, and the seccomp program last, so that nothing a
 * client sends can stand in for it.
 */
#include "sandbox/spec.h"

#include <ctype.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "sandbox/notifier.h"
#include "sandbox/spec_parts.h"

enum { ARGS_MAX = 65536, ARGS_BYTES_MAX = 2 * 1024 * 1024 };

json_t *spec_text(struct spec_context *context, const char *text)
{
	json_t *json = json_string(text);

	if (json)
		return json;
	context->bad_text = true;
	return json_string("");
}

json_t *spec_textf(struct spec_context *context, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	CLEANUP(freep) char *text = xvasprintf(fmt, args);
	va_end(args);
	return spec_text(context, text);
}

int spec_path_clean(const char *path, const char *what, char **ret, struct err *err)
{
	struct str clean CLEANUP(str_done) = STR_INIT;

	if (str_empty(path) || *path != '/' || strlen(path) >= PATH_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is not an absolute path of at most %d bytes",
			       what, PATH_MAX - 1);
	for (const char *c = path; *c; c++)
		if (iscntrl((unsigned char)*c))
			return err_set(err, RPC_INVALID_ARGUMENT, "%s has a control character in it", what);
	for (const char *at = path; *at;) {
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (len == 2 && memcmp(at, "..", 2) == 0)
			return err_set(err, RPC_INVALID_ARGUMENT, "%s has \"..\" in it", what);
		if (len && !(len == 1 && *at == '.')) {
			str_addc(&clean, '/');
			str_addn(&clean, at, len);
		}
		at += len;
	}
	if (ret)
		*ret = clean.len ? str_take(&clean) : xstrdup("/");
	return 0;
}

static const Cri__LinuxContainerSecurityContext *security_of(const struct spec_input *input)
{
	return input->config->linux ? input->config->linux->security_context : NULL;
}

static const Cri__NamespaceOption *namespaces_of(const struct spec_input *input)
{
	const Cri__LinuxContainerSecurityContext *own = security_of(input);
	const Cri__LinuxPodSandboxConfig *pod = input->pod_config ? input->pod_config->linux : NULL;

	if (own && own->namespace_options)
		return own->namespace_options;
	return pod && pod->security_context ? pod->security_context->namespace_options : NULL;
}

/*
 * Whether the runtime can limit access to devices here: on cgroup v2 it is done by an eBPF program, and older
 * crun insists on a limit that it may not be allowed to raise.
 */
static bool can_limit_devices(const struct spec_input *input)
{
	return !input->host->cgroup2 || !input->handler->devices_need_memlock ||
	       input->host->can_raise_memlock;
}

static int context_init(const struct spec_input *input, struct spec_context *ret, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security = security_of(input);
	struct capabilities_request request = {
		.asked = security ? security->capabilities : NULL,
		.defaults = &input->settings->runtime.default_capabilities,
		.privileged = security && security->privileged,
		.available = input->host->capabilities,
	};

	*ret = (struct spec_context){ .input = input,
				      .device_rules = can_limit_devices(input),
				      .security = security,
				      .namespaces = namespaces_of(input),
				      .privileged = request.privileged,
				      .readonly_rootfs = input->settings->runtime.read_only ||
							 (security && security->readonly_rootfs) };
	/* Without rules a node made by the container would open any device of the host. */
	if (!ret->device_rules && !ret->privileged)
		request.available &= ~(UINT64_C(1) << CAP_MKNOD);
	return capabilities_resolve(&request, &ret->capabilities, err);
}

/* A container cannot have more rights over the host than its pod was admitted with. */
static int check_privileged(const struct spec_input *input, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *own = security_of(input);
	const Cri__LinuxPodSandboxConfig *pod = input->pod_config ? input->pod_config->linux : NULL;

	if (own && own->privileged && !(pod && pod->security_context && pod->security_context->privileged))
		return err_set(err, RPC_INVALID_ARGUMENT, "a privileged container needs a privileged pod");
	return 0;
}

/* CRI-O's annotation of the pod, where the handler allows it; NULL: the container is not watched. */
static const char *notifier_action(const struct spec_input *input)
{
	const struct config_runtime *runtime = config_find_runtime(input->settings, input->handler->name);
	const Cri__PodSandboxConfig *pod = input->pod_config;
	bool allowed = false;

	for (size_t i = 0; runtime && i < runtime->allowed_annotations.len; i++)
		allowed = allowed || str_eq(runtime->allowed_annotations.items[i], NOTIFIER_ANNOTATION);
	for (size_t i = 0; allowed && pod && i < pod->n_annotations; i++)
		if (str_eq(pod->annotations[i]->key, NOTIFIER_ANNOTATION))
			return pod->annotations[i]->value;
	return NULL;
}

static int get_seccomp(const struct spec_context *context, struct seccomp_program **ret, struct err *err)
{
	const struct spec_input *input = context->input;
	const struct seccomp_request request = { .security = context->security,
						 .capabilities = context->capabilities.bounding,
						 .bpf = input->handler->seccomp_bpf_data,
						 .watched = notifier_action(input) != NULL };

	return seccomp_get(input->seccomps, &request, ret, err);
}

int spec_check(const struct spec_input *input, struct err *err)
{
	const Cri__LinuxContainerConfig *linux_config = input->config->linux;
	struct spec_context context;
	CLEANUP(json_decrefp) json_t *resources = NULL;
	CLEANUP(seccomp_unrefp) struct seccomp_program *program = NULL;

	if (check_privileged(input, err) < 0 || user_check(security_of(input), err) < 0 ||
	    context_init(input, &context, err) < 0 || spec_process_check(input, err) < 0 ||
	    spec_mounts_check(input, err) < 0 || spec_devices_check(input, err) < 0 ||
	    spec_cdi_check(input, err) < 0 || spec_linux_check(input, err) < 0 ||
	    spec_security_check(input, err) < 0 || spec_classes_check(input, err) < 0)
		return -1;
	if (get_seccomp(&context, &program, err) < 0)
		return -1;
	if (program && seccomp_answers(program) && !input->notifier_socket)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "no seccomp notifier: runroot's path is too long for a socket");
	return spec_resources(linux_config ? linux_config->resources : NULL, input->host, &resources, err);
}

static const char *find_annotation(const struct spec_input *input, const char *key)
{
	const Cri__ContainerConfig *config = input->config;
	const Cri__PodSandboxConfig *pod = input->pod_config;

	for (size_t i = 0; i < config->n_annotations; i++)
		if (str_eq(config->annotations[i]->key, key))
			return config->annotations[i]->value;
	for (size_t i = 0; pod && i < pod->n_annotations; i++)
		if (str_eq(pod->annotations[i]->key, key))
			return pod->annotations[i]->value;
	return NULL;
}

static void set_text(struct spec_context *context, json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, spec_text(context, text));
}

static json_t *annotations(struct spec_context *context)
{
	const struct spec_input *input = context->input;
	const struct config_runtime *runtime = config_find_runtime(input->settings, input->handler->name);
	const Cri__ContainerMetadata *own = input->config->metadata;
	const Cri__PodSandboxMetadata *pod = input->pod_config ? input->pod_config->metadata : NULL;
	json_t *object = json_object();

	for (size_t i = 0; runtime && i < runtime->allowed_annotations.len; i++) {
		const char *key = runtime->allowed_annotations.items[i];

		set_text(context, object, key, find_annotation(input, key));
	}
	set_text(context, object, "io.kubernetes.cri.container-type", "container");
	set_text(context, object, "io.kubernetes.cri.sandbox-id", input->pod_id);
	set_text(context, object, "io.kubernetes.cri.container-name", own ? own->name : NULL);
	set_text(context, object, "io.kubernetes.cri.image-name", input->image_name);
	if (pod) {
		set_text(context, object, "io.kubernetes.cri.sandbox-name", pod->name);
		set_text(context, object, "io.kubernetes.cri.sandbox-namespace", pod->namespace_);
		set_text(context, object, "io.kubernetes.cri.sandbox-uid", pod->uid);
	}
	return object;
}

/* Of a watched container: who listens, and what he needs to answer. */
static int add_notifier(const struct spec_input *input, const struct seccomp_program *program, json_t *oci,
			struct err *err)
{
	const char *text = seccomp_answers(program);
	CLEANUP(json_decrefp) json_t *file = NULL;

	if (json_parse(text, strlen(text), SPEC_JSON_MAX, &file, err) < 0)
		return -1;
	json_object_set_new(oci, "listenerPath", json_string(input->notifier_socket));
	json_object_set_new(oci, "listenerMetadata", json_string(input->id));
	json_object_set_new(file, "stop", json_boolean(str_eq(notifier_action(input), "stop")));
	if (input->ret_notifier_file)
		*input->ret_notifier_file = json_text(file);
	return 0;
}

static int add_seccomp(struct spec_context *context, json_t *annotation, json_t *linux_part, struct err *err)
{
	CLEANUP(seccomp_unrefp) struct seccomp_program *program = NULL;
	json_t *oci = NULL;

	/* Whatever a client managed to name there is not its to say. */
	json_object_del(annotation, "run.oci.seccomp_bpf_data");
	if (get_seccomp(context, &program, err) < 0)
		return -1;
	if (!program)
		return 0;
	if (seccomp_bpf_base64(program)) {
		set_text(context, annotation, "run.oci.seccomp_bpf_data", seccomp_bpf_base64(program));
		return 0;
	}
	if (json_parse(seccomp_oci_json(program), strlen(seccomp_oci_json(program)), SPEC_JSON_MAX, &oci,
		       err) < 0)
		return -1;
	json_object_set_new(linux_part, "seccomp", oci);
	return seccomp_answers(program) ? add_notifier(context->input, program, oci, err) : 0;
}

static void parts_done(struct spec_parts *parts)
{
	json_decref(parts->process);
	json_decref(parts->mounts);
	json_decref(parts->linux_part);
	json_decref(parts->annotations);
	json_decref(parts->hooks);
}

static int make_parts(struct spec_context *context, struct spec_parts *parts, struct err *err)
{
	const char *propagation = NULL;

	parts->hooks = json_object();
	if (spec_process(context, &parts->process, err) < 0 ||
	    spec_mounts(context, &parts->mounts, &propagation, err) < 0 ||
	    spec_linux(context, &parts->linux_part, err) < 0 || spec_defaults(context, parts, err) < 0 ||
	    spec_cdi(context, parts, err) < 0 || spec_rootfs(context, parts->mounts, err) < 0)
		return -1;
	spec_security(context, parts->process, parts->linux_part);
	if (propagation)
		json_object_set_new(parts->linux_part, "rootfsPropagation", json_string(propagation));
	parts->annotations = annotations(context);
	const struct hooks_facts facts = { context->input->config, context->input->pod_config,
					   spec_program(context->input) };
	hooks_add(context->input->hooks, &facts, parts->hooks);
	return add_seccomp(context, parts->annotations, parts->linux_part, err);
}

static void list_sources(const struct spec_input *input, const struct spec_parts *parts, struct strv *ret)
{
	json_t *item;
	size_t i;

	if (json_object_size(parts->hooks))
		return;
	strv_add(ret, input->rootfs);
	json_array_foreach(parts->mounts, i, item)
	{
		if (str_eq(json_string_value(json_object_get(item, "type")), "bind"))
			strv_add(ret, json_string_value(json_object_get(item, "source")));
	}
	json_array_foreach(json_object_get(parts->linux_part, "namespaces"), i, item)
	{
		const json_t *path = json_object_get(item, "path");

		/* What is in /proc is no mount. */
		if (path && !str_has_prefix(json_string_value(path), "/proc/"))
			strv_add(ret, json_string_value(path));
	}
}

int spec_build(const struct spec_input *input, char **ret_json, struct err *err)
{
	struct spec_parts parts CLEANUP(parts_done) = { 0 };
	CLEANUP(json_decrefp) json_t *spec = NULL;
	CLEANUP(freep) char *text = NULL;
	struct spec_context context;

	if (spec_check(input, err) < 0 || context_init(input, &context, err) < 0 ||
	    make_parts(&context, &parts, err) < 0)
		return -1;
	spec = json_pack("{s:s, s:O, s:{s:o, s:b}, s:O, s:O, s:O}", "ociVersion", "1.0.2", "process",
			 parts.process, "root", "path", spec_text(&context, input->rootfs), "readonly",
			 context.readonly_rootfs, "mounts", parts.mounts, "annotations", parts.annotations,
			 "linux", parts.linux_part);
	if (spec && json_object_size(parts.hooks))
		json_object_set(spec, "hooks", parts.hooks);
	if (input->ret_poststart_hooks)
		*input->ret_poststart_hooks = json_object_get(parts.hooks, "poststart") != NULL;
	if (!spec || context.bad_text)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "a text of the container's configuration is not UTF-8");
	text = json_text(spec);
	if (strlen(text) > SPEC_JSON_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "the container's configuration is larger than %d bytes", SPEC_JSON_MAX);
	if (input->ret_sources)
		list_sources(input, &parts, input->ret_sources);
	*ret_json = TAKE(text);
	return 0;
}

static void set_term(json_t *process)
{
	json_t *env = json_object_get(process, "env"), *item;
	size_t i;

	json_array_foreach(env, i, item) if (str_has_prefix(json_string_value(item), "TERM=")) return;
	if (json_is_array(env))
		json_array_append_new(env, json_string("TERM=xterm"));
}

int spec_exec_process(const struct spec_exec *exec, char **ret_json, struct err *err)
{
	CLEANUP(json_decrefp) json_t *spec = NULL, *args = json_array();
	json_t *process;
	size_t bytes = 0;

	if (exec->args_len == 0 || str_empty(exec->args[0]))
		return err_set(err, RPC_INVALID_ARGUMENT, "the command is empty");
	for (size_t i = 0; i < exec->args_len; i++) {
		bytes += strlen(exec->args[i]) + 1;
		if (i >= ARGS_MAX || bytes > ARGS_BYTES_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "the command has too many or too long arguments");
		if (json_array_append_new(args, json_string(exec->args[i])) < 0)
			return err_set(err, RPC_INVALID_ARGUMENT, "argument %zu is not UTF-8", i);
	}
	if (json_parse(exec->config_json, strlen(exec->config_json), 2 * SPEC_JSON_MAX, &spec, err) < 0)
		return err_prefix(err, "config.json");
	process = json_object_get(spec, "process");
	if (!json_is_object(process))
		return err_set(err, RPC_DATA_LOSS, "config.json has no process");
	json_object_set(process, "args", args);
	json_object_set_new(process, "terminal", json_boolean(exec->tty));
	if (exec->tty)
		set_term(process);
	*ret_json = json_text(process);
	return 0;
}
