/*
 * What is on disk of pods and containers (DESIGN section 5): config.json, written once before anything is
 * made, and state.json, replaced whenever something happened. Both are written by file_replace only and read
 * here only. A directory without state.json is a creation that did not finish.
 *
 * Each document has a version; a newer one than RECORD_VERSION is refused (FAILED_PRECONDITION). Members that
 * this version does not know are kept when a document is replaced.
 */
#ifndef SANDBOX_RECORD_H
#define SANDBOX_RECORD_H

#include <stdint.h>

#include "base/json.h"
#include "base/spawn.h"

enum { RECORD_VERSION = 1, RECORD_MAX = 32 * 1024 * 1024 };

struct record_process {
	int64_t pid;
	uint64_t start_time;
};

struct pod_config_record {
	int64_t version;
	int64_t created_at;
	json_t *request; /* RunPodSandboxRequest */
	char *selinux_level;
};
extern const struct json_field pod_config_fields[];

struct pod_state_record {
	int64_t version;
	char *boot_id;
	bool ready, stopped;
	struct record_process pause;
	struct json_strings ips;
};
extern const struct json_field pod_state_fields[];

struct container_config_record {
	int64_t version;
	int64_t created_at;
	char *pod_id;
	char *image_id, *image_name, *image_ref, *image_stop_signal;
	struct json_strings layers;
	char *log_path;
	json_t *config; /* ContainerConfig */
};
extern const struct json_field container_config_fields[];

struct container_state_record {
	int64_t version;
	char *boot_id;
	char *state; /* "created", "running", "exited" */
	int64_t started_at, finished_at, exit_code;
	char *reason, *message;
	struct record_process init, monitor;
	int64_t uid, gid;
	json_t *groups; /* array of integers */
	bool poststart_hooks;
};
extern const struct json_field container_state_fields[];

/* Encodes and replaces <dir path>/<name>. */
int record_write(const char *dir, const char *name, const struct json_field *fields, const void *record,
		 struct err *err) MUST_CHECK;
/* Takes state.json away from the folder dir, so that the object counts as one that never came to be, also
 * when its undoing is cut short. Absent is fine. */
int record_forget_state(const char *dir, struct err *err) MUST_CHECK;
/* Reads and decodes; strings live in arena; *ret_document is a new reference that keeps RAW fields alive.
 * NOT_FOUND when there is no such file. */
struct record_source {
	int dir; /* fd of pods/ or containers/ */
	const char *id;
	const char *name;
};
int record_read(const struct record_source *source, const struct json_field *fields, void *record,
		struct arena *arena, json_t **ret_document, struct err *err) MUST_CHECK;

/* FAILED_PRECONDITION when a newer crisp wrote it; 0 also when it can't be read at all, which record_read()
 * tells.
 */
int record_check_version(const struct record_source *source, struct err *err) MUST_CHECK;

/* The unambiguous joining of parts used for identities: each as "<length>:<text>". malloc'd. */
char *record_join(const char *const *parts, size_t count);

#endif
