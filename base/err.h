/*
 * Errors as values: a gRPC status code and one line of text, kept in the caller's frame.
 *
 * A function that can fail returns 0 or -1 and takes `struct err *err` last. On success it leaves err
 * untouched; on failure it sets code and text once, and each layer on the way up may put context in front
 * with err_prefix(). There is nothing to free and nothing thread-local. The code is chosen where the meaning
 * is known ("no such container" is RPC_NOT_FOUND); an errno only ever enters the text (write %m).
 *
 * Threads: a struct err belongs to one thread at a time. Codes:
 * https://grpc.github.io/grpc/core/md_doc_statuscodes.html
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15,
	RPC_UNAUTHENTICATED = 16,
};

#define ERR_TEXT_MAX 1024 /* bytes with the NUL; longer text ends in "..." */

struct err {
	enum rpc_code code;
	char text[ERR_TEXT_MAX];
};

/* Sets code and text; always returns -1, so that `return err_set(...)` reads well. err may be NULL. %m works.
 */
int err_set(struct err *err, enum rpc_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));

/* The same for a failed system call: RESOURCE_EXHAUSTED for ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EAGAIN
 * (of process creation) and RPC_INTERNAL otherwise; ": strerror(errno)" is appended. */
int err_errno(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* Puts "fmt: " before the text; keeps the code; returns -1. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* The compiler learns here that all three return -1, so it knows that outputs are set whenever 0 came back.
 */
#define err_set(...)                    \
	({                              \
		(err_set)(__VA_ARGS__); \
		-1;                     \
	})
#define err_errno(...)                    \
	({                                \
		(err_errno)(__VA_ARGS__); \
		-1;                       \
	})
#define err_prefix(...)                    \
	({                                 \
		(err_prefix)(__VA_ARGS__); \
		-1;                        \
	})

void err_clear(struct err *err);

/* "NOT_FOUND" for RPC_NOT_FOUND; never NULL. */
const char *rpc_code_name(enum rpc_code code);

#endif
