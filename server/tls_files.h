/*
 * A certificate chain and its private key as two PEM files, which somebody renews now and then.
 *
 * Both are read together; a change of either is noticed by looking (stat), so that no descriptor is kept.
 * What was read stays until the next good read. One thread at a time.
 */
#ifndef SERVER_TLS_FILES_H
#define SERVER_TLS_FILES_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

struct tls_files;

/* The paths are copied; nothing is read yet. */
struct tls_files *tls_files_new(const char *cert, const char *key);
struct tls_files *tls_files_free(struct tls_files *files); /* accepts NULL, returns NULL; wipes the key */

/* Whether a file is another one, or another content, than when it was last read. */
bool tls_files_changed(const struct tls_files *files);
/* Reads both. What they hold is not looked at. */
int tls_files_read(struct tls_files *files, struct err *err) MUST_CHECK;
/* PEM text as last read, NULL before. */
const char *tls_files_cert(const struct tls_files *files);
const char *tls_files_key(const struct tls_files *files);

#endif
