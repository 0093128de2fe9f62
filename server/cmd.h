/*
 * crispd's commands: one file each (cmd_NAME.c), one table in main.c.
 *
 * A command gets the arguments behind its name (argv[0] is the name) and returns the process's exit status:
 * 0, 1 for a failure that was reported on stderr, CMD_USAGE for a wrong command line.
 */
#ifndef SERVER_CMD_H
#define SERVER_CMD_H

enum { CMD_USAGE = 2 };

struct cmd {
	const char *name; /* "" for the one that runs when none is named */
	const char *summary;
	int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_serve, cmd_config, cmd_check, cmd_version, cmd_wipe;

#endif
