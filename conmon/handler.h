/*
 * Runtime handlers: the OCI runtime binaries that crispd may use, by name, with what each can do.
 *
 * Features are asked once per handler with `RUNTIME features` (OCI runtime-spec features.md), with a
 * deadline; runtimes without that verb get a table by name and version. The snapshot is immutable and
 * refcounted.
 */
#ifndef CONMON_HANDLER_H
#define CONMON_HANDLER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "conmon/slim_mounts.h"

struct handlers;

struct handler {
	const char *name;
	const char *path;                /* absolute; NULL when the binary was not found */
	const char *root;                /* --root: its state folder */
	const char *monitor;             /* conmon's absolute path; NULL when not found */
	const char *keeper;              /* crisp-exec's absolute path (conmon/exec); NULL when not found */
	const struct slim_mounts *slim;  /* for its exec and create (conmon/slim_mounts.h); NULL: none */
	const char *version;             /* first line of --version, "" when unknown */
	const char *problem;             /* why it cannot be used; NULL: usable */
	bool is_crun;                    /* takes crun's annotations and options */
	bool recursive_read_only_mounts; /* mountOptions has "rro" */
	bool idmap_mounts, user_namespaces;
	bool seccomp, apparmor, selinux;
	bool seccomp_bpf_data;     /* takes the annotation run.oci.seccomp_bpf_data for create and exec */
	bool devices_need_memlock; /* on cgroup v2 device rules need RLIMIT_MEMLOCK raised to infinity (crun
				      < 1.14) */
	struct strv unsafe_annotations; /* features: potentiallyUnsafeConfigAnnotations */
	json_t *features;               /* raw document or NULL */
};

/* Fails only when the default handler or conmon is unusable and `strict` is set. */
struct handlers *handlers_open(const struct config *config, bool strict, struct err *err);
struct handlers *handlers_free(struct handlers *handlers);
/* "" means the default handler. NULL when there is none of that name. Lives as long as handlers. */
const struct handler *handlers_find(const struct handlers *handlers, const char *name);
const struct handler *handlers_at(const struct handlers *handlers, size_t i); /* NULL past the end */
const char *handlers_default_name(const struct handlers *handlers);

#endif
