/*
 * crispd without a command: serves CRI until it is told to stop.
 *
 * The process is made independent of whoever started it first: standard descriptors exist, the working folder
 * is "/", the umask hides what has no explicit mode, as many descriptors as allowed, and a vanished client is
 * an error of a write, not a signal.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "server/cmd.h"
#include "server/daemon.h"
#include "server/heap.h"
#include "server/options.h"
#include "server/reload.h"

/* Otherwise the first files opened would become standard input, output and error. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("the limit of open files stays as it is: %m; ignoring");
}

static int detach(void)
{
	fill_standard_fds();
	umask(077);
	if (chdir("/") < 0) {
		perror("crispd: chdir /");
		return -1;
	}
	signal(SIGPIPE, SIG_IGN);
	heap_tune();
	return 0;
}

static int fail(const struct err *err, int status)
{
	fprintf(stderr, "crispd: %s\n", err->text);
	return status;
}

static void help(void)
{
	printf("usage: crispd [OPTIONS]\n       crispd COMMAND [OPTIONS]\n\n"
	       "Serves the Kubernetes Container Runtime Interface (CRI v1) on a unix socket.\n\n"
	       "options:\n%s      --help\n\n"
	       "commands (each has --help):\n"
	       "  %-10s %s\n  %-10s %s\n  %-10s %s\n  %-10s %s\n",
	       options_help, cmd_config.name, cmd_config.summary, cmd_check.name, cmd_check.summary,
	       cmd_version.name, cmd_version.summary, cmd_wipe.name, cmd_wipe.summary);
}

static int serve(int argc, char **argv)
{
	CLEANUP(options_done) struct options options = { 0 };
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct daemon_options daemon = { .paths = &options.paths };
	struct err err = { 0 };

	if (options_parse(argc, argv, 0, &options, &err) < 0)
		return fail(&err, CMD_USAGE);
	if (options.help) {
		help();
		return EXIT_SUCCESS;
	}
	if (config_load(&options.paths, &config, &err) < 0 || reload_log(config, &err) < 0)
		return fail(&err, EXIT_FAILURE);
	if (detach() < 0)
		return EXIT_FAILURE;
	raise_nofile();
	daemon.config = config;
	if (daemon_run(&daemon, &err) < 0) {
		log_error("crispd can't serve: %s", err.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

const struct cmd cmd_serve = { .name = "", .summary = "serve CRI", .run = serve };
