/*
 * The socket: its mode, stale and live predecessors, what is not a socket, and that its name is removed only
 * by its owner. And the claim on a folder.
 */
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
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/file.h"
#include "server/claim.h"
#include "server/grpc/listener.h"

struct state {
	char folder[64];
	char *path;
	struct loop *loop;
	int accepted;
};

static int setup(void **data)
{
	struct state *state = xnew(struct state);
	struct err err = { 0 };

	snprintf(state->folder, sizeof(state->folder), "/tmp/crisp-listener-test-XXXXXX");
	assert_non_null(mkdtemp(state->folder));
	state->path = xasprintf("%s/made/crisp.sock", state->folder);
	state->loop = loop_new(&err);
	assert_non_null(state->loop);
	*data = state;
	return 0;
}

static int teardown(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	loop_free(state->loop);
	assert_int_equal(tree_remove(tmp, strrchr(state->folder, '/') + 1, &err), 0);
	close(tmp);
	free(state->path);
	free(state);
	return 0;
}

static void on_accepted(void *data, int fd)
{
	struct state *state = data;

	state->accepted++;
	close(fd);
	loop_stop(state->loop);
}

static struct listener *listen_on(struct state *state, const char *path, struct err *err)
{
	struct listener_options options = {
		.path = path, .mode = 0660, .loop = state->loop, .accepted = on_accepted, .data = state
	};

	return listener_new(&options, err);
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A socket file whose owner is gone. */
static void leave_stale(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
}

static void test_modes(void **data)
{
	struct state *state = *data;
	mode_t old = umask(0);
	struct err err = { 0 };
	struct listener *listener = listen_on(state, state->path, &err);
	struct stat st;

	umask(old);
	assert_non_null(listener);
	assert_int_equal(stat(state->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	*strrchr(state->path, '/') = '\0';
	assert_int_equal(stat(state->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	state->path[strlen(state->path)] = '/';
	listener_free(listener);
	assert_int_equal(access(state->path, F_OK), -1);
}

/* Connections that have not been accepted are not lost with the loop. */
static void test_moves(void **data)
{
	struct state *state = *data;
	struct loop *first = state->loop;
	struct err err = { 0 };
	struct listener *listener = listen_on(state, state->path, &err);
	int fd = connect_to(state->path);

	assert_non_null(listener);
	assert_true(fd >= 0);
	state->loop = loop_new(&err);
	assert_int_equal(listener_move(listener, state->loop, &err), 0);
	loop_free(first);
	assert_int_equal(loop_run(state->loop, &err), 0);
	assert_int_equal(state->accepted, 1);
	listener_free(listener);
	close(fd);
}

static void test_accepts(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	struct listener *listener = listen_on(state, state->path, &err);
	int fd = connect_to(state->path);

	assert_true(fd >= 0);
	assert_int_equal(loop_run(state->loop, &err), 0);
	assert_int_equal(state->accepted, 1);
	close(fd);
	listener_free(listener);
}

static void test_stale_is_replaced(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	struct listener *listener = listen_on(state, state->path, &err); /* makes the folder */
	int fd;

	listener_free(listener);
	leave_stale(state->path);
	assert_int_equal(connect_to(state->path), -1);
	listener = listen_on(state, state->path, &err);
	if (!listener)
		fail_msg("%s", err.text);
	fd = connect_to(state->path);
	assert_true(fd >= 0);
	close(fd);
	listener_free(listener);
}

static void test_live_is_refused(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	struct listener *first = listen_on(state, state->path, &err);
	int fd;

	assert_non_null(first);
	assert_null(listen_on(state, state->path, &err));
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, state->path));
	fd = connect_to(state->path); /* the first one's name is still there */
	assert_true(fd >= 0);
	close(fd);
	listener_free(first);
}

static void test_other_files_are_kept(void **data)
{
	struct state *state = *data;
	CLEANUP(freep) char *file = xasprintf("%s/file", state->folder);
	struct err err = { 0 };
	struct stat st;
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(fd);
	assert_null(listen_on(state, file, &err));
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_int_equal(stat(file, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_bad_paths(void **data)
{
	struct state *state = *data;
	CLEANUP(freep)
	char *at_limit = xasprintf("%s/%0*d", state->folder, (int)(106 - strlen(state->folder)), 0);
	CLEANUP(freep)
	char *beyond = xasprintf("%s/%0*d", state->folder, (int)(107 - strlen(state->folder)), 0);
	struct err err = { 0 };
	struct listener *listener = listen_on(state, at_limit, &err);

	assert_int_equal(strlen(at_limit), 107);
	assert_non_null(listener);
	listener_free(listener);
	assert_null(listen_on(state, beyond, &err));
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_null(listen_on(state, "relative.sock", &err));
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
}

/* Somebody else's socket of that name, put there meanwhile, stays. */
static void test_only_its_own_name(void **data)
{
	struct state *state = *data;
	struct err err = { 0 };
	struct listener *listener = listen_on(state, state->path, &err);

	assert_int_equal(unlink(state->path), 0);
	leave_stale(state->path);
	listener_free(listener);
	assert_int_equal(access(state->path, F_OK), 0);
}

static void test_claim(void **data)
{
	struct state *state = *data;
	CLEANUP(freep) char *folder = xasprintf("%s/state/root", state->folder);
	struct err err = { 0 };
	char pid[32];
	struct stat st;
	int fd = claim_take(folder, &err), again;

	assert_true(fd >= 0);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	again = claim_take(folder, &err);
	assert_int_equal(again, -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	close(fd);
	again = claim_take(folder, &err);
	assert_true(again >= 0);
	assert_true(fcntl(again, F_GETFD) & FD_CLOEXEC);
	close(again);
}

static void *let_go(void *data)
{
	usleep(200 * 1000);
	close(*(int *)data);
	return NULL;
}

/* A child of a killed owner still has the lock for a moment: here another descriptor has, and a pid that is
 * no process's stands in the file. */
static void test_claim_of_a_dead_owner(void **data)
{
	struct state *state = *data;
	CLEANUP(freep) char *folder = xasprintf("%s/state/root", state->folder);
	struct err err = { 0 };
	pthread_t thread;
	int fd = claim_take(folder, &err);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "2147483647\n", 11, 0), 11);
	assert_int_equal(pthread_create(&thread, NULL, let_go, &fd), 0);
	int again = claim_take(folder, &err);
	assert_true(again >= 0);
	pthread_join(thread, NULL);
	close(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accepts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_files_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_its_own_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claim_of_a_dead_owner, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
