/*
 * TLS material of one registry, as containers-certs.d(5) has it: in a directory named after the registry's
 * host[:port] below each of the given ones, "*.crt" are CAs trusted besides the system's, and "NAME.cert"
 * with "NAME.key" is a client certificate. The first directory that exists decides alone.
 *
 * Of several client certificates the first in lexical order is used. A link that leads nowhere is passed over
 * (distributions ship some); a file that holds no certificate and a pair that is not whole are errors, since
 * going on without would fail later and less clearly.
 */
#ifndef IMAGE_CERTS_H
#define IMAGE_CERTS_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/origin.h"

enum { CERTS_CA_MAX = 1024 * 1024 }; /* bytes of all CAs of a registry */

struct certs {      /* NULL: none */
	char *ca;   /* PEM of every CA */
	char *cert; /* paths */
	char *key;
};

void certs_done(struct certs *certs); /* also for CLEANUP; zeroed storage is fine */
/* Looks origin up by "host:port", and by "host" where the port is the scheme's own; Docker Hub's API host,
 * registry-1.docker.io, as docker.io first, as containers/image does. *ret stays empty when there is nothing.
 * FAILED_PRECONDITION for material that can't be used. */
int certs_find(const struct strv *dirs, const struct origin *origin, struct certs *ret,
	       struct err *err) MUST_CHECK;
/* The certificates of a PEM text, one after the other: calls use() for each; returns how many there were.
 * cert is an X509 *, borrowed. */
size_t certs_each(const char *pem, void (*use)(void *cert, void *data), void *data);

#endif
