#include "server/rpc/command.h"

#include <string.h>

#include "base/str.h"

enum {
	ARGS_MAX = 65536,
	ARG_LEN_MAX = 128 * 1024 - 1, /* MAX_ARG_STRLEN with the NUL */
	ARGS_LEN_MAX = 1024 * 1024,   /* of the 2 MiB that execve grants to arguments and environment */
};

int command_check(char *const *args, size_t len, struct err *err)
{
	size_t total = 0;

	if (!len || str_empty(args[0]))
		return err_set(err, RPC_INVALID_ARGUMENT, "cmd: empty");
	if (len > ARGS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "cmd: %zu arguments, the limit is %d", len,
			       ARGS_MAX);
	for (size_t i = 0; i < len; i++) {
		size_t arg_len = strlen(args[i]);

		total += arg_len + 1;
		if (arg_len > ARG_LEN_MAX || total > ARGS_LEN_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "cmd: argument %zu makes it too long", i);
	}
	return 0;
}
