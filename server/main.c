/* Picks the command: the first argument that is no option names it; without one crispd serves. */
#include <stdio.h>
#include <string.h>

#include "server/cmd.h"
#include "server/options.h"

static const struct cmd *const commands[] = { &cmd_config, &cmd_check, &cmd_version, &cmd_wipe };

int main(int argc, char **argv)
{
	if (!options_find_command(argc, argv))
		return cmd_serve.run(argc, argv);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i]->name) == 0)
			return commands[i]->run(argc - 1, argv + 1);
	fprintf(stderr, "crispd: %s: unknown command; see crispd --help\n", argv[1]);
	return CMD_USAGE;
}
