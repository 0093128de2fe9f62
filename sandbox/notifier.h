/*
 * The seccomp notifier: hears of the forbidden system calls of containers that are watched for them
 * (seccomp_watched.h), answers each as the container's profile would have, counts and logs them, and has the
 * container stopped where that was asked for (CRI-O's annotation io.kubernetes.cri-o.seccompNotifierAction).
 *
 * An OCI runtime connects to one socket, <runroot>/seccomp.sock, and hands over the listening descriptor of
 * the filter it has loaded, for a container's program and for each exec (runtime-spec config-linux.md,
 * "listenerPath"; the state's metadata is the container's id). How to answer is read from the container's
 * folder <runroot>/containers/<id>/NOTIFIER_FILE, written before the runtime is started, so that it holds
 * also for an exec after a restart of crispd. A listener itself does not outlive crispd: from then on the
 * kernel fails forbidden calls of that program with ENOSYS, those that were waiting too, and nobody hears of
 * them.
 *
 * Everything happens on the loop's thread. A program that does nothing but forbidden calls is slowed down, so
 * that the loop stays free for others.
 */
#ifndef SANDBOX_NOTIFIER_H
#define SANDBOX_NOTIFIER_H

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/metric.h"

#define NOTIFIER_ANNOTATION "io.kubernetes.cri-o.seccompNotifierAction"
#define NOTIFIER_FILE "seccomp.json" /* {"stop": BOOL, "default": ERRNO, "calls": {NAME: ERRNO}} */

extern struct metric metric_seccomp_forbidden;

struct notifier;

struct notifier_options {
	struct loop *loop;
	const char *runroot;
	/* The container used forbidden calls and is to be stopped: a while after the last of them. calls:
	 * "mount (1x), swapoff (2x)". */
	void (*stop)(void *data, const char *id, const char *calls);
	void *data;
};

/* Before the loop runs. A runroot whose path is too long for a socket is no failure: there is no notifier
 * then.
 */
struct notifier *notifier_new(const struct notifier_options *options, struct err *err);
/* Once the loop has ended. Accepts NULL, returns NULL. */
struct notifier *notifier_free(struct notifier *notifier);
/* The socket's path; NULL when there is none. */
const char *notifier_socket(const struct notifier *notifier);

#endif
