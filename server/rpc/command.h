/* The command line of ExecSync and Exec: held to what execve(2) takes, before anything is started. */
#ifndef SERVER_RPC_COMMAND_H
#define SERVER_RPC_COMMAND_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

int command_check(char *const *args, size_t len, struct err *err) MUST_CHECK;

#endif
