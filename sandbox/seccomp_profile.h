/*
 * A seccomp profile as parsed: rules with the conditions under which they hold.
 *
 * The document is the JSON that docker and containers/common share: defaultAction, defaultErrnoRet,
 * architectures or archMap, flags, listenerPath, syscalls of {names, action, errnoRet, args, includes,
 * excludes}; conditions are {caps, arches, minKernel}. Lists of names are kept as one string with single
 * spaces between, so that the built-in profile is a plain static table.
 */
#ifndef SANDBOX_SECCOMP_PROFILE_H
#define SANDBOX_SECCOMP_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { SECCOMP_ARGS_MAX = 6 };

struct seccomp_arg {
	unsigned int index; /* 0 to 5 */
	const char *op;     /* "SCMP_CMP_EQ" .. */
	uint64_t value, value_two;
};

struct seccomp_condition {
	uint64_t caps;       /* bits; SECCOMP_UNKNOWN_CAPABILITY for names this build does not know */
	const char *arches;  /* "amd64 x32"; NULL: none named */
	unsigned int kernel; /* major << 16 | minor; 0: none named */
};
#define SECCOMP_UNKNOWN_CAPABILITY (UINT64_C(1) << 63)

struct seccomp_rule {
	const char *names;  /* of system calls */
	const char *action; /* "SCMP_ACT_ALLOW" .. */
	int errno_ret;      /* SECCOMP_NO_ERRNO: the action's default */
	struct seccomp_arg args[SECCOMP_ARGS_MAX];
	size_t args_len;
	struct seccomp_condition includes; /* all must hold */
	struct seccomp_condition excludes; /* none may hold */
};
enum { SECCOMP_NO_ERRNO = -1 };

struct seccomp_profile {
	const char *default_action;
	int default_errno;
	const char *architectures; /* "SCMP_ARCH_X86_64 SCMP_ARCH_X86"; "": the native one */
	const char *flags;         /* "SECCOMP_FILTER_FLAG_LOG"; "": none */
	const char *listener_path, *listener_metadata; /* NULL: none */
	const struct seccomp_rule *rules;
	size_t rules_len;
};

/* The built-in profile (seccomp_default.c). */
extern const struct seccomp_profile seccomp_default_profile;

/* Everything is allocated in the arena. INVALID_ARGUMENT says what is wrong and where. */
int seccomp_profile_parse(const char *text, size_t len, struct arena *arena, struct seccomp_profile *ret,
			  struct err *err) MUST_CHECK;

/* The capabilities that any of its conditions names. */
uint64_t seccomp_profile_capabilities(const struct seccomp_profile *profile);
bool seccomp_rule_holds(const struct seccomp_rule *rule, uint64_t capabilities);

/* Compiles into an array of struct sock_filter (native byte order); *ret is malloc'd. */
int seccomp_profile_compile(const struct seccomp_profile *profile, uint64_t capabilities, struct str *ret,
			    struct err *err) MUST_CHECK;
/* An OCI linux.seccomp object; a new reference. */
struct json_t *seccomp_profile_oci(const struct seccomp_profile *profile, uint64_t capabilities);
/* Needs what only the OCI form can say: flags, a listener. */
bool seccomp_profile_needs_oci(const struct seccomp_profile *profile);

/* Steps through a list of names: *at is NULL at first. The name is copied to `name`; false at the end. */
enum { SECCOMP_NAME_SIZE = 128 };
bool seccomp_next_name(const char *list, const char **at, char name[SECCOMP_NAME_SIZE]);

#endif
