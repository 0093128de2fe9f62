/*
 * CDI, the Container Device Interface (https://github.com/cncf-tags/container-device-interface, SPEC.md,
 * versions 0.3.0 to 1.0.0): devices that vendors describe in files of cdi_spec_dirs, with what a container
 * needs of environment, device nodes, mounts, hooks and groups to use them.
 *
 * A container names devices "vendor/class=device", in CDI_devices or, as older kubelets do, in annotations
 * whose keys start with "cdi.k8s.io/". A name that is malformed or that no file describes is
 * INVALID_ARGUMENT. A later directory's device replaces an earlier one's of the same name; the same name
 * twice in one directory is an error for whoever asks for that device.
 *
 * Files are JSON (.json), trusted and re-read as sandbox/doc_dir.h says; YAML is not read. A file with a key
 * that the specification does not have, or that needs a later version than it says, is refused, as are
 * intelRdt and netDevices, which crisp does not do: a container must not run with half a device.
 */
#ifndef SANDBOX_CDI_H
#define SANDBOX_CDI_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "proto/cri.pb-c.h"
#include "sandbox/hooks_entry.h"

enum { CDI_REQUESTED_MAX = 1024, CDI_ID_UNSET = -1 };

struct cdi_node {
	char *path, *host_path;                  /* host_path may be NULL */
	char *type, *permissions;                /* may be NULL */
	int64_t major, minor, mode, uid, gid;    /* CDI_ID_UNSET: not told */
	json_t *mode_json, *uid_json, *gid_json; /* only while it is decoded */
};

struct cdi_mount {
	char *host_path, *container_path, *type; /* type may be NULL */
	struct json_strings options;
};

struct cdi_hook {
	char *stage;
	struct hooks_entry entry;
};

struct cdi_edits {
	struct json_strings env;
	struct json_array nodes, mounts, hooks; /* of struct cdi_node, cdi_mount, cdi_hook */
	uint32_t *gids;
	size_t gids_len;
	json_t *gids_json, *rdt_json, *net_json; /* only while it is decoded */
};

struct cdi_device {
	char *name;
	json_t *annotations_json; /* only while it is decoded */
	struct cdi_edits edits;
};

struct cdi_spec {
	char *version, *kind;      /* kind: "vendor/class" */
	json_t *annotations_json;  /* only while it is decoded */
	struct json_array devices; /* of struct cdi_device */
	struct cdi_edits edits;
};

/* A file's text, in arena. INVALID_ARGUMENT. Pure: for doc_kind and tests. */
int cdi_spec_parse(const char *text, size_t len, struct arena *arena, const struct cdi_spec **ret,
		   struct err *err) MUST_CHECK;

/* Whether a whole text is "vendor/class", and a device's name. */
bool cdi_kind_valid(const char *kind);
bool cdi_device_name_valid(const char *name);

struct cdi;
struct doc_set; /* sandbox/doc_dir.h */
struct cdi *cdi_new(const struct config *config);
struct cdi *cdi_free(struct cdi *cdi); /* accepts NULL, returns NULL */
/* The files as they are now, also those that cannot be used; a reference. */
struct doc_set *cdi_docs(struct cdi *cdi);

/* The devices that a container asks for, each once, in order. INVALID_ARGUMENT when a name is malformed. */
int cdi_requested(const Cri__ContainerConfig *config, struct strv *ret, struct err *err) MUST_CHECK;

/* What they want changed, in the order of application: a file's own edits before its first device's. */
struct cdi_found {
	struct doc_set *set; /* keeps what edits point to */
	const struct cdi_edits **edits;
	size_t len;
};
void cdi_found_done(struct cdi_found *found);
/* cdi may be NULL: then nothing is found. Thread-safe. */
int cdi_find(struct cdi *cdi, const struct strv *names, struct cdi_found *ret, struct err *err) MUST_CHECK;

#endif
