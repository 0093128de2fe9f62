/*
 * The options that the commands share: which configuration to read, and what to override in it.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"

struct options {
	struct config_paths paths; /* points into argv and overrides */
	struct str overrides;      /* TOML */
	bool help, json;
	bool force, images; /* wipe */
};

/* What a command understands beside the configuration options. */
enum { OPTIONS_JSON = 1, OPTIONS_WIPE = 2 };

/* Options may stand before the command: moves the first argument that is no option to argv[1]. False when
 * there is none. Not thread-safe (getopt). */
bool options_find_command(int argc, char **argv);

/* argv must outlive *ret. On a wrong command line -1 and a text fit for the user. */
int options_parse(int argc, char **argv, unsigned int flags, struct options *ret, struct err *err) MUST_CHECK;
void options_done(struct options *options); /* also for CLEANUP */
/* The lines of --help that tell the shared options. */
extern const char options_help[];

#endif
