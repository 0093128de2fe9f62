/*
 * Hooks that the node's administrator has the OCI runtime run for containers: oci-hooks(5), schema 1.0.0
 * (https://github.com/containers/common, pkg/hooks/docs/oci-hooks.5.md), files of hooks_dir.
 *
 * A hook is for a container when every condition of its `when` holds: always, annotations (each pair matches
 * one of the container's or the pod's), commands (one matches the program), hasBindMounts. They are given in
 * the order of the files' names in lower case; a file in a later directory replaces one of the same name.
 *
 * Files are JSON, trusted and re-read as sandbox/doc_dir.h says. Patterns are POSIX extended ones without
 * back-references and with few repetitions, as compiling others may take all memory.
 */
#ifndef SANDBOX_HOOKS_H
#define SANDBOX_HOOKS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "proto/cri.pb-c.h"

struct hooks_facts { /* what conditions are about; all borrowed */
	const Cri__ContainerConfig *config;
	const Cri__PodSandboxConfig *pod_config; /* may be NULL */
	const char *program;                     /* process.args[0]; may be NULL */
};

/* One file. INVALID_ARGUMENT. Pure, but for what hooks_file_free() frees beside the arena. */
struct hooks_file;
int hooks_file_parse(const char *text, size_t len, struct arena *arena, const struct hooks_file **ret,
		     struct err *err) MUST_CHECK;
void hooks_file_free(const struct hooks_file *file); /* accepts NULL */
bool hooks_file_matches(const struct hooks_file *file, const struct hooks_facts *facts);

struct hooks;
struct doc_set; /* sandbox/doc_dir.h */
struct hooks *hooks_new(const struct config *config);
struct hooks *hooks_free(struct hooks *hooks); /* accepts NULL, returns NULL */
/* The files as they are now, also those that cannot be used; a reference. */
struct doc_set *hooks_docs(struct hooks *hooks);
/* Adds what is for this container to an OCI "hooks" object. hooks may be NULL. Thread-safe. */
void hooks_add(struct hooks *hooks, const struct hooks_facts *facts, json_t *oci_hooks);

#endif
