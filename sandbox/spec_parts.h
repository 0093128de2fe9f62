/*
 * The parts that sandbox/spec.c puts together; nobody else includes this. Each part checks what it reads of
 * the request and returns new JSON references.
 *
 * A string that is no UTF-8 cannot be written as JSON. The request's strings have been checked when it was
 * decoded; the rest (environment values are bytes in the CRI, paths of the host) is made with spec_text(),
 * whose failure sticks in the context and is read once at the end.
 */
#ifndef SANDBOX_SPEC_PARTS_H
#define SANDBOX_SPEC_PARTS_H

#include <jansson.h>

#include "sandbox/capabilities.h"
#include "sandbox/spec.h"

struct spec_context {
	const struct spec_input *input;
	const Cri__LinuxContainerSecurityContext *security; /* may be NULL */
	const Cri__NamespaceOption *namespaces;             /* the container's, else the pod's; may be NULL */
	bool privileged;
	bool readonly_rootfs; /* asked for, or the configuration's */
	bool device_rules;    /* access to devices can be limited; if not, nobody may make device nodes */
	struct capabilities capabilities;
	bool bad_text;
};

struct spec_parts { /* under construction; references */
	json_t *process, *mounts, *linux_part, *annotations, *hooks;
};

json_t *spec_text(struct spec_context *context, const char *text);
json_t *spec_textf(struct spec_context *context, const char *fmt, ...) PRINTF(2, 3);

/* An absolute path without "." and "..", at most 4095 bytes, no control bytes; *ret (malloc'd, may be NULL)
 * without doubled and trailing slashes. INVALID_ARGUMENT names `what`. */
int spec_path_clean(const char *path, const char *what, char **ret, struct err *err) MUST_CHECK;

/* One of uidMappings or gidMappings. */
json_t *spec_mapping(uint32_t container, uint32_t host, uint32_t length);

/* spec_process.c: "process". */
int spec_process_check(const struct spec_input *input, struct err *err) MUST_CHECK;
int spec_process(struct spec_context *context, json_t **ret, struct err *err) MUST_CHECK;
/* The working directory, malloc'd. */
int spec_working_dir(const struct spec_input *input, char **ret, struct err *err) MUST_CHECK;

/* spec_mounts.c: "mounts"; *ret_propagation is linux.rootfsPropagation or NULL. */
int spec_mounts_check(const struct spec_input *input, struct err *err) MUST_CHECK;
int spec_mounts(struct spec_context *context, json_t **ret, const char **ret_propagation,
		struct err *err) MUST_CHECK;
/* Orders them by the depth of their destinations; a new reference takes the old one's place. */
void spec_mounts_order(json_t **mounts);
/* Whether path is, or is below, the destination of a mount. */
bool spec_mounts_cover(const json_t *mounts, const char *path);

/* spec_source.c: where a bind mount comes from: links resolved, the directory made when absent; *ret
 * malloc'd. With a propagation other than private, FAILED_PRECONDITION when the host's mount there is not
 * shared as needed. */
int spec_source(const Cri__Mount *mount, char **ret, struct err *err) MUST_CHECK;

/* spec_devices.c: appends to linux.devices and linux.resources.devices. */
int spec_devices_check(const struct spec_input *input, struct err *err) MUST_CHECK;
int spec_devices(struct spec_context *context, json_t *devices, json_t *rules, struct err *err) MUST_CHECK;

/* spec_linux.c: "linux" without mounts' propagation. */
int spec_linux_check(const struct spec_input *input, struct err *err) MUST_CHECK;
int spec_linux(struct spec_context *context, json_t **ret, struct err *err) MUST_CHECK;

/* cdi_edits.c: the edits of the CDI devices that the request names, to every part but annotations. */
int spec_cdi_check(const struct spec_input *input, struct err *err) MUST_CHECK;
int spec_cdi(struct spec_context *context, struct spec_parts *parts, struct err *err) MUST_CHECK;

/* spec_classes.c: refuses what asks for a class of block I/O or RDT. */
int spec_classes_check(const struct spec_input *input, struct err *err) MUST_CHECK;

/* spec_defaults.c: default_ulimits, timezone and read_only of the configuration. */
int spec_defaults(struct spec_context *context, struct spec_parts *parts, struct err *err) MUST_CHECK;

/* spec_rootfs.c: makes image volumes and the working directory inside the root filesystem. */
int spec_rootfs(struct spec_context *context, json_t *mounts, struct err *err) MUST_CHECK;

/* spec_security.c: AppArmor and SELinux into process and linux. */
int spec_security_check(const struct spec_input *input, struct err *err) MUST_CHECK;
void spec_security(struct spec_context *context, json_t *process, json_t *linux_part);

#endif
