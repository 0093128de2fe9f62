/*
 * Seccomp profiles of containers: the built-in default, profiles from files, and what they become for a
 * runtime.
 *
 * A profile is a document in the form that docker and containers/common share (defaultAction, archMap,
 * syscalls with names, action, args, includes/excludes by capability, architecture and kernel version); the
 * built-in one (seccomp_default.c) has the field's standard allow-list. For one container it is resolved (its
 * capabilities, this architecture, this kernel) into either
 *  - BPF: compiled once by libseccomp and handed to crun as the annotation run.oci.seccomp_bpf_data
 * (crun(1)), base64 of the array of struct sock_filter, which it uses for the container and every exec; or
 *  - an OCI linux.seccomp object (runtime-spec config-linux.md, "Seccomp") for other runtimes.
 * System calls that this host's libseccomp does not know are left out.
 *
 * Results are kept, by (content of the profile, capabilities that matter to it, form), at most
 * SECCOMP_CACHE_MAX of them, least recently used first out. Programs are immutable and shared by reference.
 * Thread-safe; the lock is not held while compiling.
 */
#ifndef SANDBOX_SECCOMP_H
#define SANDBOX_SECCOMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "proto/cri.pb-c.h"

enum {
	SECCOMP_PROFILE_MAX = 1024 * 1024, /* bytes of a profile file */
	SECCOMP_CACHE_MAX = 16,
};

struct seccomps;        /* the cache */
struct seccomp_program; /* one resolved profile */

/* config: path of RuntimeDefault's profile (a reference is taken). */
struct seccomps *seccomps_new(const struct config *config);
struct seccomps *seccomps_free(struct seccomps *seccomps); /* accepts NULL, returns NULL */

struct seccomp_request {
	const Cri__LinuxContainerSecurityContext
		*security;     /* seccomp, else the deprecated seccomp_profile_path; may be NULL */
	uint64_t capabilities; /* the container's bounding set */
	bool bpf;              /* the handler takes run.oci.seccomp_bpf_data */
	bool watched;          /* forbidden calls are to be noticed: the OCI form, whatever bpf says */
};

/*
 * *ret is a reference, or NULL for unconfined (no profile, Unconfined, privileged). INVALID_ARGUMENT: an
 * empty or relative localhost_ref, a profile that is too large, malformed or refused by libseccomp;
 * NOT_FOUND: no such file.
 */
int seccomp_get(struct seccomps *seccomps, const struct seccomp_request *request,
		struct seccomp_program **ret, struct err *err) MUST_CHECK;

/* Exactly one of the two is not NULL; borrowed from the program. */
const char *seccomp_bpf_base64(const struct seccomp_program *program);
const char *seccomp_oci_json(const struct seccomp_program *program);
/* Of a watched one: how each forbidden call is answered, as seccomp_profile_watched() tells it; else NULL.
 * The listener's path and metadata are the caller's to add to the OCI form. */
const char *seccomp_answers(const struct seccomp_program *program);

struct seccomp_program *seccomp_ref(struct seccomp_program *program);
struct seccomp_program *seccomp_unref(struct seccomp_program *program); /* accepts NULL, returns NULL */
void seccomp_unrefp(struct seccomp_program **program);

#endif
