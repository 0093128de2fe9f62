/*
 * crispd wipe: removes all pods and containers, and with --images all images, as `crio wipe` does.
 *
 * It works as crispd does: the state is claimed and read, and each pod is removed by the same steps as in
 * RemovePodSandbox, so that the network plugins give addresses back, and nothing is deleted but what crispd
 * has made. It refuses a root without crispd's mark (server/marker.h), one that a crispd holds or a newer one
 * has written, and, unless forced, to end containers that run. Removals need the loop, which tells of exits:
 * they are done by a thread of their own.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/thread.h"
#include "conmon/procs.h"
#include "image/overlay.h"
#include "sandbox/reconciler.h"
#include "server/claim.h"
#include "server/cmd.h"
#include "server/marker.h"
#include "server/options.h"
#include "server/service.h"

/* For one pod or container; then for what is deleted in the background. */
#define PATIENCE (240 * NS_PER_SEC)
#define DRAIN (600 * NS_PER_SEC)

enum { STACK_SIZE = 512 * 1024 };

struct wipe {
	const struct config *config;
	bool force, images;
	struct loop *loop;
	struct service *service;
	size_t pods_gone, images_gone;
	bool failed;
};

static void complain(struct wipe *wipe, const char *what, const struct err *err)
{
	fprintf(stderr, "crispd wipe: %s: %s\n", what, err->text);
	wipe->failed = true;
}

/* ---- what speaks against it ---- */

static int add_running(void *data, ProtobufCMessage **items, size_t count, struct err *err UNUSED)
{
	Cri__Container **containers = (Cri__Container **)items;
	size_t *running = data;

	for (size_t i = 0; i < count; i++)
		*running += containers[i]->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	return 0;
}

static size_t count_running(const struct wipe *wipe, struct err *err)
{
	size_t running = 0;
	const struct list_sink sink = { .take = add_running, .data = &running };

	if (containers_each(wipe->service->sandboxes, NULL, &sink, err) < 0)
		return SIZE_MAX;
	return running;
}

static int open_quarantine(const struct wipe *wipe, struct strv *ret)
{
	CLEANUP(freep) char *path = xasprintf("%s/quarantine", wipe->config->root);
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, path, NULL);

	if (dir < 0 || dir_list(dir, ".", ret, NULL) < 0)
		return -1; /* nothing was ever put there */
	return TAKE_FD(dir);
}

static int check_idle(const struct wipe *wipe, struct err *err)
{
	CLEANUP(strv_done) struct strv aside = STRV_INIT;
	CLEANUP(fd_closep) int dir = open_quarantine(wipe, &aside);
	size_t running = count_running(wipe, err);

	if (running == SIZE_MAX)
		return -1;
	if (wipe->force)
		return 0;
	if (running)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "%zu containers still run; --force ends and removes them", running);
	if (dir >= 0 && aside.len)
		return err_set(
			err, RPC_FAILED_PRECONDITION,
			"%s/quarantine has %zu entries that may still run; --force ends and removes them",
			wipe->config->root, aside.len);
	return 0;
}

/* ---- removals ---- */

static int remove_some(void *data, ProtobufCMessage **items, size_t count, struct err *err UNUSED)
{
	Cri__PodSandbox **pods = (Cri__PodSandbox **)items;
	struct wipe *wipe = data;

	for (size_t i = 0; i < count; i++) {
		struct ctx ctx;
		struct err why;

		ctx_init(&ctx, clock_deadline_in(PATIENCE));
		if (pod_remove(wipe->service->sandboxes, &ctx, pods[i]->id, &why) < 0)
			complain(wipe, pods[i]->id, &why);
		else
			wipe->pods_gone++;
		ctx_done(&ctx);
	}
	return 0;
}

static void remove_pods(struct wipe *wipe)
{
	const struct list_sink sink = { .take = remove_some, .data = wipe };
	struct err err;

	if (pods_each(wipe->service->sandboxes, NULL, &sink, &err) < 0)
		complain(wipe, "pods", &err);
}

static int kill_pause(const char *id, const struct ctx *ctx, struct err *err)
{
	CLEANUP(process_done) struct process pause = PROCESS_INIT;

	if (procs_find_titled("crisp-pause", id, &pause, err) < 0)
		return -1;
	if (pause.pidfd < 0)
		return 0;
	return process_signal(&pause, SIGKILL, err) < 0 ? -1 : process_wait_gone(&pause, ctx, err);
}

static int kill_monitor(const char *id, const struct ctx *ctx, struct err *err)
{
	const char *const words[] = { "-c", id };

	return procs_kill_words(words, ARRAY_LEN(words), ctx, err);
}

/* What could not be read: its processes are found by the id in their arguments. */
static int remove_aside(const struct wipe *wipe, int quarantine, const char *name, struct err *err)
{
	bool container = str_has_prefix(name, "container-");
	const char *id = strchr(name, '-') ? strchr(name, '-') + 1 : "";
	CLEANUP(freep) char *rootfs = xasprintf("%s/quarantine/%s/rootfs", wipe->config->root, name);
	struct ctx ctx;

	if (id_valid(id)) {
		ctx_init(&ctx, clock_deadline_in(PATIENCE));
		int failed = container ? kill_monitor(id, &ctx, err) : kill_pause(id, &ctx, err);
		ctx_done(&ctx);
		if (failed || (container && overlay_unmount(rootfs, err) < 0))
			return -1;
	}
	return tree_remove(quarantine, name, err);
}

static void empty_quarantine(struct wipe *wipe)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(fd_closep) int dir = open_quarantine(wipe, &names);
	struct err err;

	for (size_t i = 0; dir >= 0 && i < names.len; i++)
		if (remove_aside(wipe, dir, names.items[i], &err) < 0)
			complain(wipe, names.items[i], &err);
}

static void remove_images(struct wipe *wipe)
{
	struct image **list = images_list(wipe->service->images);
	struct err err;

	for (size_t i = 0; list[i]; i++)
		if (images_remove(wipe->service->images, list[i]->id, &err) < 0)
			complain(wipe, list[i]->id, &err);
		else
			wipe->images_gone++;
	images_list_free(list);
	images_collect(wipe->service->images);
}

/* Undone creations and deletions run on pools; what is left of them is told. */
static void wait_for_the_rest(struct wipe *wipe)
{
	static const char *const folders[] = { "pods", "containers", "trash" };
	int64_t deadline = clock_deadline_in(DRAIN);
	struct err err;

	(void)!service_drain(wipe->service, deadline, deadline);
	if (strays_remove(wipe->service->sandboxes, &err) < 0)
		complain(wipe, "cleaning up", &err);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		CLEANUP(freep) char *path = xasprintf("%s/%s", wipe->config->root, folders[i]);
		CLEANUP(strv_done) struct strv names = STRV_INIT;

		if (dir_list(AT_FDCWD, path, &names, &err) == 0 && names.len)
			err_set(&err, RPC_INTERNAL, "%zu entries could not be removed", names.len);
		else
			continue;
		complain(wipe, path, &err);
	}
}

static void *work(void *data)
{
	struct wipe *wipe = data;
	struct err err;

	if (check_idle(wipe, &err) < 0) {
		complain(wipe, "refused", &err);
	} else {
		remove_pods(wipe);
		if (wipe->force)
			empty_quarantine(wipe);
		if (wipe->images)
			remove_images(wipe);
		wait_for_the_rest(wipe);
	}
	loop_stop(wipe->loop);
	return NULL;
}

/* ---- around it ---- */

static int run_loop(struct wipe *wipe, struct err *err)
{
	pthread_t thread;

	if (thread_start(&thread, "wipe", STACK_SIZE, work, wipe) != 0)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "no thread");
	int failed = loop_run(wipe->loop, err);
	pthread_join(thread, NULL);
	return failed;
}

static int run_claimed(struct wipe *wipe, struct err *err)
{
	const struct log_options quiet = { .level = LOG_LEVEL_ERROR, .target = LOG_TARGET_STDERR };

	if (log_setup(&quiet, err) < 0 || !(wipe->loop = loop_new(err)))
		return -1;
	wipe->service = service_open(wipe->config, wipe->loop, NULL, err);
	int failed = wipe->service ? run_loop(wipe, err) : -1;
	service_close(wipe->service);
	loop_free(wipe->loop);
	return failed;
}

static int run(struct wipe *wipe, struct err *err)
{
	const struct config *config = wipe->config;
	CLEANUP(fd_closep) int root = -1;
	CLEANUP(fd_closep) int runroot = -1;

	if (marker_check(config->root, err) < 0) {
		if (err->code != RPC_NOT_FOUND)
			return -1;
		printf("%s is no crispd's: nothing to wipe\n", config->root);
		return 0;
	}
	if ((root = claim_take(config->root, err)) < 0 || (runroot = claim_take(config->runroot, err)) < 0 ||
	    marker_check_pair(config->root, config->runroot, err) < 0 || run_claimed(wipe, err) < 0)
		return -1;
	if (!wipe->failed)
		printf("removed %zu pods with their containers and %zu images\n", wipe->pods_gone,
		       wipe->images_gone);
	return 0;
}

static void help(void)
{
	printf("usage: crispd wipe [--force] [--images] [OPTIONS]\n\n"
	       "Removes all pods and containers, with their addresses, mounts and files. crispd must not be running.\n\n"
	       "options:\n      --force             also when containers still run: they are killed\n"
	       "      --images            all images, too\n%s",
	       options_help);
}

static int wipe(int argc, char **argv)
{
	CLEANUP(options_done) struct options options = { 0 };
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct err err = { 0 };

	if (options_parse(argc, argv, OPTIONS_WIPE, &options, &err) < 0) {
		fprintf(stderr, "crispd wipe: %s\n", err.text);
		return CMD_USAGE;
	}
	if (options.help) {
		help();
		return EXIT_SUCCESS;
	}
	umask(077);
	if (config_load(&options.paths, &config, &err) < 0) {
		fprintf(stderr, "crispd: %s\n", err.text);
		return EXIT_FAILURE;
	}
	struct wipe state = { .config = config, .force = options.force, .images = options.images };
	if (run(&state, &err) < 0) {
		fprintf(stderr, "crispd wipe: %s\n", err.text);
		return EXIT_FAILURE;
	}
	return state.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct cmd cmd_wipe = { .name = "wipe",
			      .summary = "remove all pods, containers and images",
			      .run = wipe };
