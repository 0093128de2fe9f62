/*
 * One container as conmon and the OCI runtime see it: create, start, kill, delete, log, exit.
 *
 * conmon (https://github.com/containers/conmon, man page conmon(8)) is started per container, runs `RUNTIME
 * create`, owns the container's stdio, writes its log in CRI format and its exit status to <exits>/<id>. It
 * outlives crispd. Everything a monitor needs is in struct monitor_spec; nothing is kept in this module, so
 * restart needs no state here. Thread-safe.
 *
 * Verbs run the runtime's binary with a deadline of config->runtime_timeout (never longer than ctx); what a
 * binary can be spared (state, delete of what is already dead) is done without one.
 */
#ifndef CONMON_MONITOR_H
#define CONMON_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "conmon/handler.h"

struct monitor_spec {
	const struct handler *handler;
	const struct config *config;
	const char *id;      /* container id */
	const char *name;    /* for conmon's -n: k8s_.. name */
	const char *bundle;  /* absolute; holds config.json */
	const char *run_dir; /* absolute, on tmpfs, per container: pidfile, conmon-pidfile, ctl, attach socket
				links */
	const char *exit_dir;   /* <runroot>/exits */
	const char *attach_dir; /* <runroot>/attach: --socket-dir-path */
	const char *log_path;   /* absolute; NULL: no log (k8s-file:/dev/null) */
	const char
		*program; /* the container's, as it was asked for, for the text of a failure; may be NULL */
	int64_t log_size_max; /* bytes, -1 unlimited */
	bool tty, stdin, stdin_once;
	bool systemd_cgroup;
	int cgroup; /* cgroup v2 folder fd conmon starts in; -1: crispd's own */
	/* What `create` takes from the host's mounts, NULL-terminated: root file system, sources of bind
	 * mounts, paths of namespaces. NULL: anything. */
	const char *const *sources;
};

struct monitor_started {
	struct process monitor;   /* conmon; a pidfd held */
	struct process container; /* the container's init; a pidfd held */
};
void monitor_started_done(struct monitor_started *started);

/* conmon + `RUNTIME create`. On failure nothing of it is left (the runtime's container is deleted, conmon has
 * ended); the text is the runtime's own error message. INVALID_ARGUMENT when that says that the container's
 * program cannot be run. */
int monitor_create(const struct monitor_spec *spec, const struct ctx *ctx, struct monitor_started *ret,
		   struct err *err) MUST_CHECK;

/* Kills a monitor of this container that is known to nobody, with all below it: crispd may have died while it
 * was in monitor_create(), and the creation goes on without it, maybe before anything has told of it in a
 * file. None is success. Reads all of /proc. */
int monitor_end(const char *bundle, const char *id, const struct ctx *ctx, struct err *err) MUST_CHECK;

struct runtime_target {
	const struct handler *handler;
	const struct config *config;
	const char *id;
	const char *bundle;
	bool systemd_cgroup;
	bool poststart_hooks; /* config.json has hooks that `start` must run */
};
int runtime_start(const struct runtime_target *target, const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Whether a container with a living init has been started, by what runtime_start() (maybe of a crispd that
 * was killed in it) has left; no binary runs. *ret_when: real ns. False also when that can't be told. */
bool runtime_has_started(const struct runtime_target *target, const struct process *init, int64_t *ret_when);
/* Sends a signal to the container's init (pidfd preferred, no binary), or with all=true to every process in
 * it. */
int runtime_kill(const struct runtime_target *target, const struct process *init, int signal, bool all,
		 const struct ctx *ctx, struct err *err) MUST_CHECK;
/* Sets the limits of a created or running container: resources is an OCI linux.resources object as text. What
 * it does not have stays as it is. After an error some of it may be in force. */
int runtime_update(const struct runtime_target *target, const char *resources, const struct ctx *ctx,
		   struct err *err) MUST_CHECK;
/* Deletes the runtime's container, killing what is left (without runc's 100 ms sleep); absent is success. */
int runtime_delete(const struct runtime_target *target, const struct ctx *ctx, struct err *err) MUST_CHECK;

/* Tells conmon to reopen its log (the ctl FIFO in run_dir), unless it is the one it writes to; returns when
 * the new file exists. FAILED_PRECONDITION when the monitor is gone; no file is created then. */
int monitor_reopen_log(const struct monitor_spec *spec, const struct ctx *ctx, struct err *err) MUST_CHECK;

struct exit_status {
	int code;            /* 0-255; 128+n for signal n */
	bool oom_killed;     /* conmon wrote the oom file, or the cgroup says so */
	int64_t finished_at; /* real ns: mtime of the exit file */
};
/* NOT_FOUND while there is none. */
int exit_status_read(const char *exit_dir, const char *id, struct exit_status *ret,
		     struct err *err) MUST_CHECK;
/* Removes exit and oom files of id; absent is fine. */
void exit_status_remove(const char *exit_dir, const char *id);

/* Watches exit_dir by inotify on the loop: fn(data, id) on the loop's thread for each exit file that appears
 * or is completed. */
struct exit_watch;
struct exit_watch *exit_watch_new(struct loop *loop, const char *exit_dir,
				  void (*fn)(void *data, const char *id), void *data, struct err *err);
struct exit_watch *exit_watch_free(struct exit_watch *watch);

#endif
