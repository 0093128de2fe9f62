/*
 * Children as they are seen from inside (scenarios of this program report on themselves) and from outside:
 * start errors, descriptors, sessions, signals, cgroups, and the way around a missing clone3.
 */
#include "test/base/check.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct err err;

static void start_errors(void **state)
{
	struct scratch s;
	struct process process = PROCESS_INIT;
	const char *argv[] = { "x", NULL };
	static const struct {
		const char *name;
		int error;
	} rows[] = { { "absent", ENOENT },
		     { "no-format", ENOEXEC },
		     { "not-executable", EACCES },
		     { "dir", EACCES },
		     { "no-interpreter", ENOENT } };

	(void)state;
	scratch_init(&s);
	put_file(s.dir, "no-format", "what is this?");
	put_file(s.dir, "not-executable", "#!/bin/sh\n");
	put_file(s.dir, "no-interpreter", "#!/absent/interpreter\n");
	assert_int_equal(fchmodat(s.dir, "no-format", 0755, 0), 0);
	assert_int_equal(fchmodat(s.dir, "no-interpreter", 0755, 0), 0);
	assert_int_equal(mkdirat(s.dir, "dir", 0755), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *path = xasprintf("%s/%s", s.path, rows[i].name);
		const struct command command = { .path = path, .argv = argv };
		assert_fails(command_start(&command, &process, &err), RPC_FAILED_PRECONDITION);
		assert_int_equal(errno, rows[i].error);
		assert_contains(err.text, path);
		assert_contains(err.text, strerror(rows[i].error));
		assert_int_equal(process.pidfd, -1);
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing was left to reap */
	assert_int_equal(errno, ECHILD);
	const struct command unknown = { .path = "crisp-absent-program", .argv = argv };
	assert_fails(command_start(&unknown, &process, &err), RPC_FAILED_PRECONDITION);
	const struct command relative = { .path = "./x", .argv = argv };
	assert_fails(command_start(&relative, &process, &err), RPC_INVALID_ARGUMENT);
	const struct command bad_cwd = { .path = "true", .argv = argv, .cwd = 999 };
	assert_fails(command_start(&bad_cwd, &process, &err), RPC_INTERNAL);
	assert_contains(err.text, "working directory");
	const struct command bad_fd = { .path = "true", .argv = argv, .fds = { { 999, 5 } }, .fds_len = 1 };
	assert_fails(command_start(&bad_fd, &process, &err), RPC_INTERNAL);
	const struct command bad_cgroup = { .path = "true", .argv = argv, .cgroup = s.dir };
	assert_fails(command_start(&bad_cgroup, &process, &err), RPC_INTERNAL);
	assert_int_equal(process.pidfd, -1);
	scratch_done(&s);
}

static void umask_of_programs(void **state)
{
	const char *argv[] = { "sh", "-c", "umask", NULL };
	const struct command command = { .path = "sh", .argv = argv, .stdout_max = 100 };
	struct command_result result;
	mode_t ours = umask(077);

	(void)state;
	assert_ok(command_run(&command, NULL, &result, &err));
	assert_string_equal(str_get(&result.out), "0022\n");
	command_result_done(&result);
	assert_int_equal(umask(ours), 077);
}

static void search_in_path(void **state)
{
	struct scratch s;
	const char *argv[] = { "prog", NULL };
	struct command_result result;

	(void)state;
	scratch_init(&s);
	put_file(s.dir, "prog", "#!/bin/sh\necho found $PATH\n");
	assert_int_equal(fchmodat(s.dir, "prog", 0755, 0), 0);
	CLEANUP(freep) char *variable = xasprintf("PATH=relative::/absent:%s", s.path);
	const char *env[] = { "A=b", variable, NULL };
	const struct command command = { .path = "prog", .argv = argv, .env = env, .stdout_max = 1000 };
	assert_ok(command_run(&command, NULL, &result, &err));
	assert_contains(str_get(&result.out), "found relative::/absent:/tmp/");
	command_result_done(&result);
	const struct command fixed = { .path = "env", .argv = argv, .stdout_max = 1000 };
	assert_ok(command_run(&fixed, NULL, &result, &err));
	assert_string_equal(str_get(&result.out),
			    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
	command_result_done(&result);
	scratch_done(&s);
}

/* Runs a scenario of this program and returns its stdout, malloc'd. */
static char *report(struct command command, const char *scenario)
{
	const char *argv[] = { "test", scenario, NULL };
	struct command_result result;

	command.path = "/proc/self/exe";
	command.argv = argv;
	command.stdout_max = 65536;
	command.stderr_max = 65536;
	command.timeout = 20 * NS_PER_SEC;
	assert_ok(command_run(&command, NULL, &result, &err));
	if (!result.exited || result.status != 0)
		fail_msg("%s: status %d: %s", scenario, result.status, str_get(&result.err_out));
	char *text = str_take(&result.out);
	command_result_done(&result);
	return text;
}

static void children_start_clean(void **state)
{
	struct sigaction ignored = { .sa_handler = SIG_IGN }, old_pipe, old_usr;
	sigset_t blocked, old_mask;
	CLEANUP(fd_closep)
	int leaky = open("/dev/null", O_RDONLY); /* not close-on-exec, as a careless library makes it */

	(void)state;
	assert_true(leaky >= 3);
	sigaction(SIGPIPE, &ignored, &old_pipe);
	sigaction(SIGUSR1, &ignored, &old_usr);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);
	CLEANUP(freep) char *text = report((struct command){ 0 }, "describe");
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
	sigaction(SIGPIPE, &old_pipe, NULL);
	sigaction(SIGUSR1, &old_usr, NULL);
	assert_contains(text, "fds 0 1 2\n");
	assert_contains(text, "blocked 0000000000000000\n");
	assert_contains(text, "ignored 0000000000000000\n");
	assert_contains(text, "leader of session and group\n");
	assert_contains(text, "cwd /\n");
	assert_true(sigismember(&blocked, SIGTERM)); /* and our own mask is as it was */
	assert_false(sigismember(&blocked, SIGUSR2));
}

static void options_of_a_child(void **state)
{
	struct scratch s;

	(void)state;
	scratch_init(&s);
	CLEANUP(freep)
	char *text = report((struct command){ .cwd = s.dir, .same_session = true, .oom_score_adj = "900" },
			    "describe");
	CLEANUP(freep) char *cwd = xasprintf("cwd %s\n", s.path);
	assert_contains(text, cwd);
	assert_contains(text, "member of session and group\n");
	assert_contains(text, "oom_score_adj 900\n");
	scratch_done(&s);
}

/* Sources sit on the numbers that are targets of others: a cycle, and one source on two targets. */
static void descriptors_that_collide(void **state)
{
	struct scratch s;
	static const char *const names[] = { "a", "b", "c" };
	int fds[3];

	(void)state;
	scratch_init(&s);
	for (int i = 0; i < 3; i++) {
		put_file(s.dir, names[i], names[i]);
		int fd = openat(s.dir, names[i], O_RDONLY | O_CLOEXEC);
		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 50 + i);
		assert_int_equal(fds[i], 50 + i);
		close(fd);
	}
	const struct command command = { .fds = { { 50, 51 }, { 51, 52 }, { 52, 50 }, { 50, 3 }, { 51, 0 } },
					 .fds_len = 5 };
	CLEANUP(freep) char *text = report(command, "read-fds");
	assert_string_equal(text, "0 b\n3 a\n50 c\n51 a\n52 b\n");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	scratch_done(&s);
}

/* Wherever the duplicates of the sources come to lie, they must not be overwritten by the first target. */
static void targets_next_to_free_numbers(void **state)
{
	struct scratch s;
	struct command command = { .fds_len = 3 };

	(void)state;
	scratch_init(&s);
	int lowest = fcntl(s.dir, F_DUPFD_CLOEXEC, 3);
	close(lowest);
	for (int i = 0; i < 3; i++) {
		put_file(s.dir, "file", (char[2]){ (char)('a' + i), '\0' });
		int fd = openat(s.dir, "file", O_RDONLY | O_CLOEXEC);
		command.fds[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 60);
		close(fd);
		assert_int_equal(unlinkat(s.dir, "file", 0), 0);
	}
	for (int first = lowest; first < lowest + 10; first++) {
		char expected[64];
		for (int i = 0; i < 3; i++)
			command.fds[i].target = first + (i + 1) % 3;
		CLEANUP(freep) char *text = report(command, "read-fds");
		snprintf(expected, sizeof(expected), "%d c\n%d a\n%d b\n", first, first + 1, first + 2);
		assert_string_equal(text, expected);
	}
	for (int i = 0; i < 3; i++)
		close(command.fds[i].fd);
	scratch_done(&s);
}

/* Where clone3 does not exist: glibc's clone does the same. */
static void without_clone3(void **state)
{
	struct scratch s;
	struct process process = PROCESS_INIT;
	const char *argv[] = { "x", NULL };

	(void)state;
	scratch_init(&s);
	spawn_fault_no_clone3 = true;
	CLEANUP(freep) char *text = report((struct command){ 0 }, "describe");
	assert_contains(text, "fds 0 1 2\n");
	assert_contains(text, "leader of session and group\n");
	const struct command absent = { .path = "/absent", .argv = argv };
	assert_fails(command_start(&absent, &process, &err), RPC_FAILED_PRECONDITION);
	/* A directory that looks like a cgroup: the child writes itself into its cgroup.procs. */
	put_file(s.dir, "cgroup.procs", "");
	CLEANUP(freep) char *second = report((struct command){ .cgroup = s.dir }, "describe");
	spawn_fault_no_clone3 = false;
	assert_contains(second, "fds 0 1 2\n");
	CLEANUP(freep) char *written = NULL;
	assert_ok(file_read(s.dir, "cgroup.procs", 10, &written, NULL, &err));
	assert_string_equal(written, "0");
	scratch_done(&s);
}

/* The path of our own cgroup in the version 2 hierarchy as a directory; -1 where there is none to write to.
 */
static int own_cgroup(char **ret_line)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	CLEANUP(freep) char *text = NULL;

	assert_ok(file_read_virtual(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &err));
	const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!line)
		return -1;
	line += line[0] == '\n';
	CLEANUP(freep) char *path = xstrndup(line + 3, strcspn(line + 3, "\n"));
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		CLEANUP(freep) char *full = xasprintf("%s%s", mounts[i], path);
		CLEANUP(fd_closep) int dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || faccessat(dir, "cgroup.procs", W_OK, 0) < 0 ||
		    faccessat(dir, "tasks", F_OK, 0) == 0)
			continue;
		*ret_line = xasprintf("0::%s\n", path);
		return TAKE_FD(dir);
	}
	return -1;
}

/* Nothing is changed by it: the cgroup is the one we are in. */
static void starts_in_a_cgroup(void **state)
{
	const char *argv[] = { "cat", "/proc/self/cgroup", NULL };
	CLEANUP(freep) char *line = NULL;
	CLEANUP(fd_closep) int cgroup = own_cgroup(&line);
	const struct command command = { .path = "cat", .argv = argv, .cgroup = cgroup, .stdout_max = 65536 };
	struct command_result result;

	(void)state;
	if (cgroup < 0)
		skip();
	assert_ok(command_run(&command, NULL, &result, &err));
	assert_contains(str_get(&result.out), line);
	command_result_done(&result);
}

static void print_status_line(const char *label, const char *key)
{
	CLEANUP(freep) char *text = NULL;

	if (file_read_virtual(AT_FDCWD, "/proc/self/status", 65536, &text, NULL) < 0)
		return;
	const char *line = strstr(text, key);
	if (line)
		printf("%s %.*s\n", label, (int)strcspn(line + strlen(key), "\n"), line + strlen(key));
}

/* Scenario: what a child sees of itself. */
static int describe(void)
{
	CLEANUP(strv_done) struct strv fds = STRV_INIT;
	CLEANUP(freep) char *oom = NULL;
	char cwd[4096];

	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			strv_addf(&fds, "%d", fd);
	CLEANUP(freep) char *joined = strv_join(&fds, " ");
	printf("fds %s\n", joined);
	print_status_line("blocked", "SigBlk:\t");
	print_status_line("ignored", "SigIgn:\t");
	bool leader = getsid(0) == getpid() && getpgrp() == getpid();
	printf("%s of session and group\n", leader ? "leader" : "member");
	printf("cwd %s\n", getcwd(cwd, sizeof(cwd)) ? cwd : "?");
	if (file_read_virtual(AT_FDCWD, "/proc/self/oom_score_adj", 64, &oom, NULL) == 0)
		printf("oom_score_adj %s", oom);
	return 0;
}

/* Scenario: the first byte of every descriptor except stdout and stderr. */
static int read_fds(void)
{
	for (int fd = 0; fd < 100; fd++) {
		char byte;
		if (fd != 1 && fd != 2 && pread(fd, &byte, 1, 0) == 1)
			printf("%d %c\n", fd, byte);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_errors),
		cmocka_unit_test(umask_of_programs),
		cmocka_unit_test(search_in_path),
		cmocka_unit_test(children_start_clean),
		cmocka_unit_test(options_of_a_child),
		cmocka_unit_test(descriptors_that_collide),
		cmocka_unit_test(targets_next_to_free_numbers),
		cmocka_unit_test(without_clone3),
		cmocka_unit_test(starts_in_a_cgroup),
	};

	if (argc > 1)
		return strcmp(argv[1], "describe") == 0 ? describe() : read_fds();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
