/*
 * crispd config: the effective configuration as commented TOML, or what is wrong with it. Its output may be
 * saved as the configuration file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/cmd.h"
#include "server/options.h"

static int print(int argc, char **argv)
{
	CLEANUP(options_done) struct options options = { 0 };
	CLEANUP(config_unrefp) struct config *config = NULL;
	CLEANUP(str_done) struct str text = STR_INIT;
	struct err err = { 0 };

	if (options_parse(argc, argv, 0, &options, &err) < 0) {
		fprintf(stderr, "crispd config: %s\n", err.text);
		return CMD_USAGE;
	}
	if (options.help) {
		printf("usage: crispd config [OPTIONS]\n\n"
		       "Prints the effective configuration as commented TOML; fails with file and line when it is wrong.\n\n"
		       "options:\n%s",
		       options_help);
		return EXIT_SUCCESS;
	}
	if (config_load(&options.paths, &config, &err) < 0) {
		fprintf(stderr, "crispd: %s\n", err.text);
		return EXIT_FAILURE;
	}
	config_print(config, &text);
	if (fputs(str_get(&text), stdout) == EOF || fflush(stdout) == EOF) {
		perror("crispd: write");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

const struct cmd cmd_config = { .name = "config",
				.summary = "print the effective configuration",
				.run = print };
