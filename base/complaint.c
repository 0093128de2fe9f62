/* The words of strerror(3), as C and Go programs print them, and those of the Go runtime and of glibc's
 * loader when they get no memory or thread. */
#include "base/complaint.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

enum rpc_code complaint_code(const char *text)
{
	static const char *const words[] = {
		"no space left on device",
		"cannot allocate memory",
		"disk quota exceeded",
		"too many open files",
		"resource temporarily unavailable",
		"failed to reserve page summary memory",
		"failed to create new OS thread",
		"failed to map segment from shared object",
		"out of memory",
	};

	for (size_t i = 0; text && i < ARRAY_LEN(words); i++)
		if (strcasestr(text, words[i]))
			return RPC_RESOURCE_EXHAUSTED;
	return RPC_INTERNAL;
}
