/*
 * A seccomp profile whose refusals are noticed: what it forbids is asked of a listener (seccomp_unotify(2))
 * that answers as the profile would have.
 *
 * Rules that fail a call or kill its caller become SCMP_ACT_NOTIFY. The default action cannot become that
 * (OCI runtimes refuse it), so every call that this host's libseccomp knows and no rule names gets a rule of
 * its own. Not noticed are: write(2), which the runtime needs between filter and listener; a call that some
 * rule allows for other arguments; what is trapped or traced, as only the kernel can do that.
 */
#ifndef SANDBOX_SECCOMP_WATCHED_H
#define SANDBOX_SECCOMP_WATCHED_H

#include "sandbox/seccomp_profile.h"

enum { SECCOMP_ANSWER_KILL = -1 };

/*
 * *ret lives in the arena and borrows from profile. *ret_answers (malloc'd) is JSON: {"default": ERRNO,
 * "calls": {NAME: ERRNO}} with those that differ from the default; SECCOMP_ANSWER_KILL: the caller is killed.
 * INVALID_ARGUMENT: the profile has a listener of its own.
 */
int seccomp_profile_watched(const struct seccomp_profile *profile, uint64_t capabilities, struct arena *arena,
			    struct seccomp_profile *ret, char **ret_answers, struct err *err) MUST_CHECK;

#endif
