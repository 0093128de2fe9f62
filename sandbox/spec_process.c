/*
 * The process: command line, environment, working directory, user, capabilities.
 *
 * Command line as Kubernetes defines it: the request's command replaces the image's ENTRYPOINT and with it
 * the image's CMD; the request's args replace CMD. Environment: built in (PATH, TERM, HOSTNAME), then the
 * configuration's default_env, the image's, the request's, HOME from passwd last if nobody has set it; a
 * later value replaces an earlier one in its place. An image's entry without "=" is dropped (CVE-2026-57231),
 * one of the request is an error; crispd's own environment is never looked at.
 */
#include "sandbox/spec_parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "proto/utf8.h"

enum { ENVS_MAX = 65536, ARGS_MAX = 65536, TEXT_MAX = 2 * 1024 * 1024 };

static int check_env(const Cri__KeyValue *env, struct err *err)
{
	if (str_empty(env->key) || strchr(env->key, '='))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "environment variable with an empty name or \"=\" in it");
	if (memchr(env->value.data ? env->value.data : (const uint8_t *)"", '\0', env->value.len))
		return err_set(err, RPC_INVALID_ARGUMENT, "environment variable %.128s has a NUL byte in it",
			       env->key);
	if (!utf8_valid((const char *)env->value.data, env->value.len))
		return err_set(err, RPC_INVALID_ARGUMENT, "environment variable %.128s is not UTF-8",
			       env->key);
	return 0;
}

int spec_process_check(const struct spec_input *input, struct err *err)
{
	const Cri__ContainerConfig *config = input->config;
	size_t bytes = 0;

	if (config->n_envs > ENVS_MAX || config->n_command > ARGS_MAX || config->n_args > ARGS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "too many arguments or environment variables");
	for (size_t i = 0; i < config->n_envs; i++) {
		if (check_env(config->envs[i], err) < 0)
			return -1;
		bytes += strlen(config->envs[i]->key) + config->envs[i]->value.len;
	}
	for (size_t i = 0; i < config->n_command; i++)
		bytes += strlen(config->command[i]);
	for (size_t i = 0; i < config->n_args; i++)
		bytes += strlen(config->args[i]);
	if (bytes > TEXT_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "arguments and environment are larger than %d bytes", TEXT_MAX);
	if (!str_empty(config->working_dir))
		return spec_path_clean(config->working_dir, "working_dir", NULL, err);
	return 0;
}

static void append_all(struct spec_context *context, json_t *array, char *const *items, size_t len)
{
	for (size_t i = 0; i < len; i++)
		json_array_append_new(array, spec_text(context, items[i]));
}

const char *spec_program(const struct spec_input *input)
{
	const Cri__ContainerConfig *config = input->config;
	const struct image_config *image = input->image;

	if (config->n_command)
		return config->command[0];
	if (image && image->entrypoint.len)
		return image->entrypoint.items[0];
	if (config->n_args)
		return config->args[0];
	return image && image->cmd.len ? image->cmd.items[0] : NULL;
}

static int command_line(struct spec_context *context, json_t *args, struct err *err)
{
	const Cri__ContainerConfig *config = context->input->config;
	const struct image_config *image = context->input->image;

	if (config->n_command)
		append_all(context, args, config->command, config->n_command);
	else if (image)
		append_all(context, args, image->entrypoint.items, image->entrypoint.len);
	if (config->n_args)
		append_all(context, args, config->args, config->n_args);
	else if (!config->n_command && image)
		append_all(context, args, image->cmd.items, image->cmd.len);
	if (str_empty(spec_program(context->input)))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "no command specified: neither the request nor the image has one");
	return 0;
}

/* An environment under construction: the texts in order, and where each name is. */
struct environment {
	struct strv list;
	struct map places; /* name -> index + 1 */
};

static void environment_done(struct environment *environment)
{
	strv_done(&environment->list);
	map_done(&environment->places);
}

static void set_take(struct environment *environment, const char *name, char *text)
{
	uintptr_t place = (uintptr_t)map_get(&environment->places, name);

	if (place) {
		free(environment->list.items[place - 1]);
		environment->list.items[place - 1] = text;
		return;
	}
	strv_add_take(&environment->list, text);
	map_put(&environment->places, name, (void *)(uintptr_t)environment->list.len);
}

/* "NAME=value"; anything else is dropped. */
static void set_entry(struct environment *environment, const char *entry)
{
	const char *equals = strchr(entry, '=');

	if (!equals || equals == entry)
		return;
	CLEANUP(freep) char *name = xstrndup(entry, (size_t)(equals - entry));
	set_take(environment, name, xstrdup(entry));
}

static void fill_environment(const struct spec_input *input, struct environment *environment)
{
	const struct config_strings *defaults = &input->settings->runtime.default_env;

	set_entry(environment, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (input->config->tty)
		set_entry(environment, "TERM=xterm");
	if (!str_empty(input->hostname))
		set_take(environment, "HOSTNAME", xasprintf("HOSTNAME=%s", input->hostname));
	for (size_t i = 0; i < defaults->len; i++)
		set_entry(environment, defaults->items[i]);
	for (size_t i = 0; input->image && i < input->image->env.len; i++)
		set_entry(environment, input->image->env.items[i]);
	for (size_t i = 0; i < input->config->n_envs; i++) {
		const Cri__KeyValue *env = input->config->envs[i];

		set_take(environment, env->key,
			 xasprintf("%s=%.*s", env->key, (int)env->value.len,
				   env->value.len ? (const char *)env->value.data : ""));
	}
	if (!map_get(&environment->places, "HOME"))
		set_take(environment, "HOME", xasprintf("HOME=%s", input->user->home));
}

static json_t *environment_json(struct spec_context *context)
{
	struct environment environment CLEANUP(environment_done) = { .list = STRV_INIT };
	json_t *array = json_array();

	map_init(&environment.places, NULL);
	fill_environment(context->input, &environment);
	append_all(context, array, environment.list.items, environment.list.len);
	return array;
}

int spec_working_dir(const struct spec_input *input, char **ret, struct err *err)
{
	const char *image = input->image ? input->image->working_dir : NULL;

	if (!str_empty(input->config->working_dir))
		return spec_path_clean(input->config->working_dir, "working_dir", ret, err);
	if (str_empty(image)) {
		*ret = xstrdup("/");
		return 0;
	}
	CLEANUP(freep) char *absolute = xasprintf("/%s", image); /* WORKDIR may be relative: to the root */
	return spec_path_clean(absolute, "the image's working directory", ret, err);
}

static json_t *user_json(const struct user *user)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < user->groups_len; i++)
		json_array_append_new(groups, json_integer(user->groups[i]));
	return json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)user->uid, "gid", (json_int_t)user->gid,
			 "additionalGids", groups);
}

static json_t *set_json(uint64_t set)
{
	json_t *array = json_array();

	for (int i = 0; i < 64; i++)
		if (set >> i & 1)
			json_array_append_new(array, json_string(capability_name(i)));
	return array;
}

static json_t *capabilities_json(const struct capabilities *capabilities)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "bounding", set_json(capabilities->bounding),
			 "effective", set_json(capabilities->bounding), "permitted",
			 set_json(capabilities->bounding), "inheritable", set_json(capabilities->ambient),
			 "ambient", set_json(capabilities->ambient));
}

int spec_process(struct spec_context *context, json_t **ret, struct err *err)
{
	const struct spec_input *input = context->input;
	const Cri__LinuxContainerConfig *linux_config = input->config->linux;
	const Cri__LinuxContainerResources *resources = linux_config ? linux_config->resources : NULL;
	CLEANUP(freep) char *cwd = NULL;
	json_t *args = json_array();
	json_t *process = json_pack("{s:b, s:o}", "terminal", input->config->tty, "args", args);
	int score = spec_oom_score_adj(input->host, resources ? resources->oom_score_adj : 0);

	if (command_line(context, args, err) < 0 || spec_working_dir(input, &cwd, err) < 0) {
		json_decref(process);
		return -1;
	}
	json_object_set_new(process, "env", environment_json(context));
	json_object_set_new(process, "cwd", spec_text(context, cwd));
	json_object_set_new(process, "user", user_json(input->user));
	json_object_set_new(process, "capabilities", capabilities_json(&context->capabilities));
	json_object_set_new(process, "noNewPrivileges",
			    json_boolean(context->security && context->security->no_new_privs));
	json_object_set_new(process, "oomScoreAdj", json_integer(score));
	*ret = process;
	return 0;
}
