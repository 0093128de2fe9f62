/*
 * The environment is built from nothing: plugins see no variable of ours, only what the spec names and a PATH
 * for the tools they call (iptables, ip). A plugin that fails prints an error document (spec section 5,
 * "Error") on stdout; one that crashes leaves at best a line on stderr. Both end up in one line of text,
 * stripped of control bytes.
 */
#include "cni/plugin.h"

#include <assert.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/complaint.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "base/step.h"

enum { TEXT_MAX = 400, CODE_TRY_AGAIN = 11, RESULT_TEXT_MAX = 512 };

static const char *const commands[] = { "ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION", "other" };

METRIC(metric_network_latency, ARRAY_LEN(commands) * METRIC_HISTOGRAM_CELLS,
       .name = "network_operations_latency_seconds",
       .help = "Time that calls of CNI plugins took, by command.", METRIC_TIME,
       .labels = { { "command", commands, ARRAY_LEN(commands) } });
METRIC(metric_network_errors, ARRAY_LEN(commands), .name = "network_operations_errors_total",
       .help = "Calls of CNI plugins that failed, by command.", .type = METRIC_COUNTER,
       .labels = { { "command", commands, ARRAY_LEN(commands) } });

static void count(const struct plugin_call *call, int64_t began, bool call_failed)
{
	size_t at = metric_label_index(&metric_network_latency.labels[0], call->command);

	metric_observe_at(&metric_network_latency, at, 0, (uint64_t)(clock_mono() - began));
	if (call_failed)
		metric_add_at(&metric_network_errors, at, 0, 1);
}

static char *join(const struct config_strings *dirs, const char *separator)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	for (size_t i = 0; i < dirs->len; i++)
		str_addf(&out, "%s%s", i ? separator : "", dirs->items[i]);
	return str_take(&out);
}

/* The name is one component, so a lookup in the folder cannot leave it but by a link, which installers do
 * use. */
static bool is_program(const char *dir, const char *type)
{
	CLEANUP(fd_closep) int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstatat(fd, type, &st, 0) == 0 && S_ISREG(st.st_mode) &&
	       faccessat(fd, type, X_OK, 0) == 0;
}

int plugin_find(const struct config_strings *dirs, const char *type, char **ret, struct err *err)
{
	assert(*type && !strchr(type, '/'));
	for (size_t i = 0; i < dirs->len; i++) {
		if (!is_program(dirs->items[i], type))
			continue;
		*ret = xasprintf("%s/%s", dirs->items[i], type);
		return 0;
	}
	CLEANUP(freep) char *searched = join(dirs, ", ");
	return err_set(err, RPC_NOT_FOUND, "plugin %s: not found in %s", type, searched);
}

static void build_env(const struct plugin_call *call, struct strv *env)
{
	CLEANUP(freep) char *path = join(call->dirs, ":");

	strv_addf(env, "CNI_COMMAND=%s", call->command);
	strv_addf(env, "CNI_PATH=%s", path);
	strv_add(env, PLUGIN_TOOLS_PATH);
	if (!call->container_id)
		return;
	strv_addf(env, "CNI_CONTAINERID=%s", call->container_id);
	strv_addf(env, "CNI_NETNS=%s", call->netns);
	strv_addf(env, "CNI_IFNAME=%s", call->ifname);
	strv_addf(env, "CNI_ARGS=%s", call->args);
}

/* One line, without control bytes, not too long. */
static void add_clean(struct str *out, const char *text)
{
	size_t len = strlen(text);

	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	for (size_t i = 0; i < len && i < TEXT_MAX; i++)
		str_addc(out, (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i]);
	if (len > TEXT_MAX)
		str_add(out, "...");
}

bool plugin_error_parse(const char *out, size_t len, struct str *ret_text, long *ret_code)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct err ignored;

	if (json_parse(out, len, PLUGIN_OUTPUT_MAX, &json, &ignored) < 0)
		return false;
	const json_t *code = json_object_get(json, "code");
	const char *message = json_string_value(json_object_get(json, "msg"));
	const char *details = json_string_value(json_object_get(json, "details"));
	if (!json_is_integer(code) || (str_empty(message) && str_empty(details)))
		return false;
	*ret_code = (long)json_integer_value(code);
	add_clean(ret_text, message ? message : "");
	if (!str_empty(details)) {
		str_add(ret_text, str_empty(message) ? "" : ": ");
		add_clean(ret_text, details);
	}
	return true;
}

static int failed(const struct plugin_call *call, const struct command_result *result, struct err *err)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	char ended[RESULT_TEXT_MAX];
	long code = 0;

	if (!result->exited || !plugin_error_parse(str_get(&result->out), result->out.len, &text, &code)) {
		command_result_text(result, ended, sizeof(ended));
		add_clean(&text, ended);
	}
	enum rpc_code rpc = complaint_code(str_get(&text));
	if (rpc == RPC_INTERNAL)
		rpc = complaint_code(str_get(&result->err_out));
	return err_set(err, code == CODE_TRY_AGAIN ? RPC_UNAVAILABLE : rpc, "plugin %s: %s: %s", call->type,
		       call->command, str_get(&text));
}

static int run(const struct plugin_call *call, const struct ctx *ctx, struct str *ret, struct err *err)
{
	CLEANUP(command_result_done) struct command_result result = { 0 };
	CLEANUP(strv_done) struct strv env = STRV_INIT;
	CLEANUP(freep) char *path = NULL;

	if (plugin_find(call->dirs, call->type, &path, err) < 0) {
		err->code = RPC_UNAVAILABLE;
		return -1;
	}
	build_env(call, &env);
	const char *const argv[] = { path, NULL };
	const struct command command = {
		.path = path,
		.argv = argv,
		.env = (const char *const *)env.items,
		.input = call->stdin_text,
		.input_len = call->stdin_len,
		.stdout_max = PLUGIN_OUTPUT_MAX,
		.stderr_max = PLUGIN_STDERR_MAX,
	};
	if (command_run(&command, ctx, &result, err) < 0)
		return err_prefix(err, "plugin %s: %s", call->type, call->command);
	if (!result.exited || result.status != 0)
		return failed(call, &result, err);
	if (result.out_truncated)
		return err_set(err, RPC_INTERNAL, "plugin %s: %s: printed more than %d bytes", call->type,
			       call->command, PLUGIN_OUTPUT_MAX);
	str_clear(ret);
	str_addn(ret, result.out.data ? result.out.data : "", result.out.len);
	return 0;
}

int plugin_run(const struct plugin_call *call, const struct ctx *ctx, struct str *ret, struct err *err)
{
	int64_t began = clock_mono();
	int result = run(call, ctx, ret, err);
	char name[32];

	snprintf(name, sizeof(name), "cni %.20s", call->command);
	step_ended(name, call->type, began, result < 0);
	count(call, began, result < 0);
	return result;
}
