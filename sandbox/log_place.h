/*
 * Where a container's log goes: <log_directory of the pod>/<log_path of the container>, both from the
 * request.
 *
 * conmon opens the file by its name, as root, so a symbolic link on the way would let whoever can place one
 * choose a file of the host to be written to. In log_path no link is followed, and log_directory itself must
 * be none. Links above it are an administrator's business (/var/log/pods on another disk), but only where
 * nobody else could have placed them: owned by us, in a folder of ours that others cannot write to.
 *
 * What is refused is INVALID_ARGUMENT (lessons: bad input 7 and 25). Thread-safe.
 */
#ifndef SANDBOX_LOG_PLACE_H
#define SANDBOX_LOG_PLACE_H

#include "base/err.h"
#include "base/mem.h"

/* An absolute path without dots, of folders; what is missing at its end will be made. */
int log_directory_check(const char *directory, struct err *err) MUST_CHECK;
/* A relative path without dots that ends in the name of a file: one that is absent or a regular file. Checks
 * the directory as well. */
int log_place_check(const char *directory, const char *path, struct err *err) MUST_CHECK;
/* Makes the folders of a place that has been checked. */
int log_place_make(const char *directory, const char *path, struct err *err) MUST_CHECK;

#endif
