/*
 * Text is built in place: err_prefix() formats the new front into a scratch buffer and moves the old text
 * behind it, so a chain of prefixes needs no allocation. What does not fit ends in "...", which keeps the
 * front of the chain: the front says which operation failed.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_truncated(char *text)
{
	memcpy(text + ERR_TEXT_MAX - 4, "...", 4);
}

__attribute__((format(printf, 2, 0))) static void set_text(struct err *err, const char *fmt, va_list args)
{
	int n = vsnprintf(err->text, sizeof(err->text), fmt, args);

	if (n >= ERR_TEXT_MAX)
		mark_truncated(err->text);
}

int(err_set)(struct err *err, enum rpc_code code, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return -1;
	err->code = code;
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);
	return -1;
}

static enum rpc_code code_of_errno(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return RPC_RESOURCE_EXHAUSTED;
	default:
		return RPC_INTERNAL;
	}
}

int(err_errno)(struct err *err, const char *fmt, ...)
{
	int saved = errno;
	va_list args;

	if (!err)
		return -1;
	err->code = code_of_errno(saved);
	va_start(args, fmt);
	set_text(err, fmt, args);
	va_end(args);

	size_t used = strlen(err->text);
	char reason[128];
	int n = snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			 strerror_r(saved, reason, sizeof(reason)));
	if (n >= (int)(sizeof(err->text) - used))
		mark_truncated(err->text);
	errno = saved;
	return -1;
}

int(err_prefix)(struct err *err, const char *fmt, ...)
{
	char front[ERR_TEXT_MAX];
	va_list args;

	if (!err)
		return -1;
	va_start(args, fmt);
	int n = vsnprintf(front, sizeof(front), fmt, args);
	va_end(args);
	if (n < 0)
		return -1;

	size_t front_len = (size_t)n < sizeof(front) ? (size_t)n : sizeof(front) - 1;
	size_t old_len = strlen(err->text);
	bool truncated = front_len + 2 + old_len >= sizeof(err->text);
	if (front_len + 2 >= sizeof(err->text)) {
		memcpy(err->text, front, front_len + 1);
		mark_truncated(err->text);
		return -1;
	}
	if (truncated)
		old_len = sizeof(err->text) - 1 - front_len - 2;
	memmove(err->text + front_len + 2, err->text, old_len);
	memcpy(err->text, front, front_len);
	memcpy(err->text + front_len, ": ", 2);
	err->text[front_len + 2 + old_len] = '\0';
	if (truncated)
		mark_truncated(err->text);
	return -1;
}

void err_clear(struct err *err)
{
	err->code = RPC_OK;
	err->text[0] = '\0';
}

const char *rpc_code_name(enum rpc_code code)
{
	static const char *const names[] = {
		[RPC_OK] = "OK",
		[RPC_CANCELLED] = "CANCELLED",
		[RPC_UNKNOWN] = "UNKNOWN",
		[RPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
		[RPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
		[RPC_NOT_FOUND] = "NOT_FOUND",
		[RPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
		[RPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
		[RPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
		[RPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
		[RPC_ABORTED] = "ABORTED",
		[RPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
		[RPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
		[RPC_INTERNAL] = "INTERNAL",
		[RPC_UNAVAILABLE] = "UNAVAILABLE",
		[RPC_DATA_LOSS] = "DATA_LOSS",
		[RPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
	};

	if ((unsigned int)code >= sizeof(names) / sizeof(names[0]))
		return "UNKNOWN";
	return names[code];
}
