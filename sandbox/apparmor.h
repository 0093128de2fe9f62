/*
 * AppArmor (apparmor.d(5), apparmor_parser(8), Documentation/admin-guide/LSM/apparmor.rst): which profiles
 * the kernel has, and the one of containers that name none (apparmor_profile in [crisp.runtime]). The
 * built-in one, APPARMOR_BUILT_IN, has the field's standard rules. apparmor_parser compiles it and hands it
 * to the kernel: once by each crispd, as an older one's may say something else, and again when it is gone, as
 * after `systemctl stop apparmor`: for the next container, or in the background.
 *
 * Thread-safe; one thread at a time loads it, and a failure is the answer to who asks within five seconds.
 */
#ifndef SANDBOX_APPARMOR_H
#define SANDBOX_APPARMOR_H

#include <stdbool.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "config/config.h"

#define APPARMOR_BUILT_IN "crisp-default"

struct apparmor;

/* NULL on a host without AppArmor. config is borrowed. */
struct apparmor *apparmor_new(const struct config *config);
struct apparmor *apparmor_free(struct apparmor *apparmor); /* accepts NULL, returns NULL */
/* Has the default profile loaded by a task of the pool, so that the first container need not wait for it. The
 * pool is freed before apparmor is. apparmor may be NULL. */
void apparmor_preload(struct apparmor *apparmor, struct pool *pool);
/* 0 when the kernel has a profile of this name; FAILED_PRECONDITION when not. */
int apparmor_loaded(const char *name, struct err *err) MUST_CHECK;
/* The default profile's name in *ret, borrowed, once it is loaded; "unconfined" where the configuration says
 * so. FAILED_PRECONDITION: it is not and cannot be (no apparmor_parser, and what that said); also what ctx,
 * which may be NULL, ends with. */
int apparmor_default(struct apparmor *apparmor, const struct ctx *ctx, const char **ret,
		     struct err *err) MUST_CHECK;
/* Whether a container that names no profile may run without one, given why there is none: where the built-in
 * one could never be loaded, as on a host without apparmor_parser. That is logged, once in a row of failures.
 * One that an administrator has named, or that was there before, is not done without. */
bool apparmor_may_go_without(struct apparmor *apparmor, const struct err *why);
/* Loads the built-in profile again that was loaded before and is gone. apparmor may be NULL. */
void apparmor_keep(struct apparmor *apparmor);
/* The built-in profile's text for a daemon with this label ("unconfined" on most hosts); malloc'd. */
char *apparmor_built_in_text(const char *daemon_label);

#endif
