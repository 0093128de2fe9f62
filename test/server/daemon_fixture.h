/*
 * crispd itself, as a process in mount and network namespaces of its own, in a folder that is removed
 * afterwards: setup() and teardown() for cmocka, with a client and what crispd tells the service manager.
 * Needs root; without it the state is NULL.
 */
#ifndef TEST_SERVER_DAEMON_FIXTURE_H
#define TEST_SERVER_DAEMON_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "test/server/client.h"

#define PATIENCE (120 * NS_PER_SEC) /* a disk may keep whoever reads it waiting for most of a minute */

struct state {
	char folder[64];
	char *socket, *config, *log, *notify_path;
	int notify;
	struct process process;
	struct client *client;
	struct arena *arena;
};

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static char *config_text(const struct state *state, const char *level)
{
	return xasprintf("[crisp]\nroot = \"%s/root\"\nrunroot = \"%s/state\"\n[crisp.api]\nlisten = \"%s\"\n"
			 "[crisp.runtime]\nlog_level = \"%s\"\n[crisp.network]\nnetwork_dir = \"%s/net.d\"\n",
			 state->folder, state->folder, state->socket, level, state->folder);
}

static void make_notify_socket(struct state *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE / NS_PER_SEC };

	state->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(addr.sun_path, state->notify_path, strlen(state->notify_path) + 1);
	assert_int_equal(bind(state->notify, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(state->notify, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Reads notifications until one has the text. */
static void await_notify(const struct state *state, const char *wanted)
{
	char text[1024];

	for (;;) {
		ssize_t len = recv(state->notify, text, sizeof(text) - 1, 0);

		if (len < 0)
			fail_msg("no notification with %s", wanted);
		text[len] = '\0';
		if (strstr(text, wanted))
			return;
	}
}

static int start(const struct state *state, struct process *ret, struct err *err)
{
	CLEANUP(freep) char *notify = xasprintf("NOTIFY_SOCKET=%s", state->notify_path);
	CLEANUP(fd_closep) int log = open(state->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	const char *argv[] = { "unshare",  "-m",          "-n",           "--propagation", "private", CRISPD,
			       "--config", state->config, "--config-dir", "/nonexistent",  NULL };
	const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
			      notify,
			      "WATCHDOG_USEC=1000000",
			      "ASAN_OPTIONS=halt_on_error=1",
			      "TSAN_OPTIONS=ignore_noninstrumented_modules=1",
			      NULL };
	struct command command = { .path = "unshare", .argv = argv, .env = env };

	command.fds[command.fds_len++] = (struct command_fd){ log, 1 };
	command.fds[command.fds_len++] = (struct command_fd){ log, 2 };
	return command_start(&command, ret, err);
}

static int wait_for(struct process *process)
{
	struct ctx ctx;
	struct err err = { 0 };
	int status = -1;

	ctx_init(&ctx, clock_deadline_in(PATIENCE));
	if (process_wait(process, &ctx, &status, &err) < 0)
		fail_msg("%s", err.text);
	ctx_done(&ctx);
	process_done(process);
	return status;
}

static void start_and_wait(struct state *state)
{
	struct err err = { 0 };

	if (start(state, &state->process, &err) < 0)
		fail_msg("%s", err.text);
	await_notify(state, "READY=1");
}

static int setup(void **data)
{
	struct state *state = xnew(struct state);
	char *text;

	if (geteuid() != 0) {
		free(state);
		return 0;
	}
	snprintf(state->folder, sizeof(state->folder), "/tmp/crisp-daemon-test-XXXXXX");
	assert_non_null(mkdtemp(state->folder));
	state->socket = xasprintf("%s/run/crisp.sock", state->folder);
	state->config = xasprintf("%s/crisp.toml", state->folder);
	state->log = xasprintf("%s/log", state->folder);
	state->notify_path = xasprintf("%s/notify", state->folder);
	state->arena = arena_new(0);
	make_notify_socket(state);
	text = config_text(state, "info");
	write_file(state->config, text);
	free(text);
	start_and_wait(state);
	state->client = client_new(state->socket, false);
	*data = state;
	return 0;
}

static char *read_log(const struct state *state)
{
	struct err err = { 0 };
	char *text;

	if (file_read(AT_FDCWD, state->log, 16 * 1024 * 1024, &text, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return text;
}

static int stop(struct state *state)
{
	struct err err = { 0 };

	assert_int_equal(process_signal(&state->process, SIGTERM, &err), 0);
	return wait_for(&state->process);
}

static int teardown(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	int tmp, status;

	if (!state)
		return 0;
	client_free(state->client);
	status = stop(state);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		CLEANUP(freep) char *log = read_log(state);

		fail_msg("crispd ended with status %x:\n%s", (unsigned int)status, log);
	}
	close(state->notify);
	tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(tree_remove(tmp, strrchr(state->folder, '/') + 1, &err), 0);
	close(tmp);
	arena_free(state->arena);
	free(state->socket);
	free(state->config);
	free(state->log);
	free(state->notify_path);
	free(state);
	return 0;
}

#define NEEDS_ROOT(state)       \
	do {                    \
		if (!(state))   \
			skip(); \
	} while (0)

#endif
