/*
 * ExecSync and ReopenContainerLog. Neither passes the gate: probes do not wait for a stop in progress, and
 * the runtime itself refuses an exec in a container that has just ended.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/pool.h"
#include "conmon/exec.h"
#include "conmon/exec_leftovers.h"
#include "sandbox/container.h"
#include "sandbox/container_exec.h"
#include "sandbox/log_place.h"
#include "sandbox/spec.h"
#include "sandbox/store.h"

int container_find_running(struct sandboxes *sandboxes, const char *id, struct container **ret,
			   struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;

	if (store_find_container(sandboxes, id, &container, err) < 0)
		return -1;
	if (container_state(container) != CRI__CONTAINER_STATE__CONTAINER_RUNNING)
		return err_set(err, RPC_FAILED_PRECONDITION, "container %s is not running", container->id);
	*ret = TAKE(container);
	return 0;
}

int container_exec_document(const struct container *container, const struct spec_exec *command, char **ret,
			    struct err *err)
{
	CLEANUP(fd_closep) int bundle = dir_open(AT_FDCWD, container->bundle, err);
	CLEANUP(freep) char *config = NULL;

	if (bundle < 0 || file_read(bundle, "config.json", SPEC_JSON_MAX, &config, NULL, err) < 0)
		return -1;
	struct spec_exec exec = *command;

	exec.config_json = config;
	return spec_exec_process(&exec, ret, err);
}

static void answer(const struct exec_result *result, struct arena *arena, Cri__ExecSyncResponse *ret)
{
	ret->exit_code = result->exit_code;
	ret->stdout.len = result->out.len;
	ret->stdout.data = arena_memdup(arena, str_get(&result->out), result->out.len);
	ret->stderr.len = result->err_out.len;
	ret->stderr.data = arena_memdup(arena, str_get(&result->err_out), result->err_out.len);
}

int container_exec_sync(struct sandboxes *sandboxes, const struct ctx *ctx,
			const Cri__ExecSyncRequest *request, struct arena *arena, Cri__ExecSyncResponse *ret,
			struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	CLEANUP(freep) char *document = NULL;
	CLEANUP(exec_result_done) struct exec_result result = { 0 };
	const struct spec_exec command = { .args = (const char *const *)request->cmd,
					   .args_len = request->n_cmd };

	if (request->n_cmd == 0 || !*request->cmd[0])
		return err_set(err, RPC_INVALID_ARGUMENT, "cmd is empty");
	if (request->timeout < 0 || request->timeout > INT64_MAX / NS_PER_SEC)
		return err_set(err, RPC_INVALID_ARGUMENT, "timeout %lld is out of range",
			       (long long)request->timeout);
	if (container_find_running(sandboxes, request->container_id, &container, err) < 0 ||
	    container_exec_document(container, &command, &document, err) < 0)
		return -1;

	CLEANUP(process_done) struct process init = container_init_process(container);
	struct exec_spec spec = {
		.init = &init,
		.process_json = document,
		.run_dir = container->run_dir,
		.timeout = request->timeout * NS_PER_SEC,
		.output_max = EXEC_OUTPUT_MAX,
	};
	if (!container_target(container, &spec.target))
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "runtime handler \"%s\" is not configured any more or its program is missing",
			       container->pod->request->runtime_handler);
	if (exec_sync(&spec, ctx, &result, err) < 0)
		return -1;
	answer(&result, arena, ret);
	return 0;
}

/* The monitor follows links, and writes what it renames to the log's name afterwards. */
static int check_log_place(const struct container *container, struct err *err)
{
	const char *directory = container->pod->config->log_directory, *path = container->config->log_path;
	CLEANUP(freep) char *temporary = xasprintf("%s.tmp", path);

	return log_place_check(directory, path, err) < 0 ? -1 : log_place_check(directory, temporary, err);
}

int container_reopen_log(struct sandboxes *sandboxes, const struct ctx *ctx, const char *id, struct err *err)
{
	CLEANUP(container_unrefp) struct container *container = NULL;
	struct monitor_spec spec;
	struct err why;

	if (container_find_running(sandboxes, id, &container, err) < 0)
		return -1;
	if (!container->log_path)
		return 0;
	if (check_log_place(container, &why) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "the log cannot be reopened: %s", why.text);
	container_monitor_spec(container, &spec);
	return monitor_reopen_log(&spec, ctx, err);
}

/* ---- left by a crispd that was killed ---- */

static const int64_t end_patience = 60 * NS_PER_SEC;

struct old_execs {
	struct container *container; /* a reference */
	struct strv names;
};

static void end_old_execs(void *data)
{
	struct old_execs *execs = data;
	const char *id = execs->container->id;
	struct ctx ctx;
	struct err err;

	ctx_init(&ctx, clock_deadline_in(end_patience));
	if (exec_leftovers_end(execs->container->run_dir, &execs->names, &ctx, &err) < 0)
		log_warn("container %s: commands of before the restart: %s; ignoring them", id, err.text);
	else
		log_debug("container %s: what execs of before the restart left was ended", id);
	ctx_done(&ctx);
	strv_done(&execs->names);
	container_unref(execs->container);
	free(execs);
}

void container_end_old_execs(struct container *container)
{
	struct old_execs *execs = xnew(struct old_execs);
	struct err err;

	exec_leftovers_find(container->run_dir, &execs->names);
	execs->container = container_ref(container);
	if (execs->names.len && pool_run(container->owner->pool, end_old_execs, execs, &err) == 0)
		return;
	strv_done(&execs->names);
	container_unref(execs->container);
	free(execs);
}
