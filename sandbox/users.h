/*
 * Who a container runs as: CRI run_as_user, run_as_username, run_as_group, supplemental groups and their
 * policy, and the image's USER, resolved with /etc/passwd and /etc/group of the container's root filesystem.
 *
 * Those files are the image's, thus hostile: they are opened with open_in_root(), must be regular files of at
 * most USERS_FILE_MAX bytes, are read in pieces, and lines over USERS_LINE_MAX bytes or without their fields
 * are skipped. A string of digits is a number and never looked up as a name (CVE-2026-46680); ids are 0 to
 * 2^31-1 (CVE-2024-40635); the primary group is always among the groups (CVE-2022-2995). Thread-safe.
 */
#ifndef SANDBOX_USERS_H
#define SANDBOX_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/cri.pb-c.h"

enum {
	USERS_FILE_MAX = 10 * 1024 * 1024,
	USERS_LINE_MAX = 64 * 1024,
	USERS_GROUPS_MAX = 65536, /* NGROUPS_MAX of the kernel */
};

struct user_request {
	const Cri__LinuxContainerSecurityContext *security; /* may be NULL */
	const char *image_user;                             /* the image's USER: "", user or user:group */
	int rootfs; /* directory fd of the mounted root filesystem, borrowed */
};

struct user {
	uint32_t uid, gid;
	uint32_t *groups; /* sorted, without duplicates, gid among them */
	size_t groups_len;
	char *name;  /* from passwd; "" when it has no entry */
	char *home;  /* from passwd when it is an absolute path of printable bytes; else "/" */
	bool listed; /* passwd has an entry of it */
};

void user_done(struct user *user); /* also for CLEANUP */

/*
 * INVALID_ARGUMENT: a group without a user, user and username both set, ids out of range, a malformed name or
 * one that the image does not have ("unable to find user x: no matching entries in passwd file"), an
 * oversized or irregular passwd or group file that is needed.
 */
int user_resolve(const struct user_request *request, struct user *ret, struct err *err) MUST_CHECK;

/* Gives a user without an entry one, in the root filesystem's own passwd (rootfs is writable, and nobody else
 * is in it): many programs will not run as a user that has no name. An image without a passwd file, or with
 * one that would not be read, is left as it is. */
int user_add_entry(int rootfs, const struct user *user, struct err *err) MUST_CHECK;

/* What of the request can be refused before there is a root filesystem. */
int user_check(const Cri__LinuxContainerSecurityContext *security, struct err *err) MUST_CHECK;

#endif
