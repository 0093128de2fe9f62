/*
 * What a TLS server shows and asks for: certificate chain, private key, CAs of its clients, minimum version.
 *
 * Files are read and checked as a whole: a certificate that is not valid now, a key that is not its key, a CA
 * file without a certificate are errors that name the file. What is in force changes by
 * tls_keys_replace_take(), and by itself when the files have changed (as rotation does it); what is wrong
 * then is logged once, and the old stays. Sessions that have begun go on with what they began with.
 *
 * Thread-safe. The versions and suites are named as in Go and in the Kubernetes API: "VersionTLS12",
 * "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".
 */
#ifndef SERVER_TLS_KEYS_H
#define SERVER_TLS_KEYS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

enum tls_version { TLS_VERSION_12, TLS_VERSION_13 };

struct tls_options {      /* borrowed */
	const char *cert; /* PEM: the certificate, then those between it and its CA */
	const char *key;  /* PEM */
	const char *ca;   /* PEM: whose clients are let in; "": any client, also without a certificate */
	enum tls_version min_version;
	const char *const *cipher_suites; /* of TLS 1.2; none: those with forward secrecy and AEAD */
	size_t cipher_suites_len;
};

/* What has been read from the files. */
struct tls_material;
/* FAILED_PRECONDITION with the file's name. */
int tls_material_load(const struct tls_options *options, struct tls_material **ret,
		      struct err *err) MUST_CHECK;
struct tls_material *tls_material_unref(struct tls_material *material); /* accepts NULL, returns NULL */

struct tls_keys;
struct tls_keys *tls_keys_new_take(struct tls_material *material);
struct tls_keys *tls_keys_free(struct tls_keys *keys); /* accepts NULL, returns NULL */
void tls_keys_replace_take(struct tls_keys *keys, struct tls_material *material);
/* A server's session for a connected, non-blocking socket, which remains the caller's; before its handshake.
 * Looks whether the files have changed. NULL when there is no memory for it. */
SSL *tls_keys_session(struct tls_keys *keys, int fd);

#endif
