/*
 * crispd version: of crispd, of the CRI it speaks, and of the gRPC library it runs on.
 */
#include <grpc/grpc.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/cmd.h"

static int version(int argc, char **argv)
{
	if (argc > 1) {
		fprintf(stderr, "crispd version: %s: unexpected argument\n", argv[1]);
		return CMD_USAGE;
	}
	printf("crispd %s\nCRI v1\ngRPC core %s\n", CRISP_VERSION, grpc_version_string());
	return EXIT_SUCCESS;
}

const struct cmd cmd_version = { .name = "version", .summary = "print versions", .run = version };
