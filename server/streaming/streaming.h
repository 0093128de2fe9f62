/*
 * The streaming server: HTTP on TCP, where clients of Exec, Attach and PortForward come with the URL that
 * they were given, once and within a minute. What they speak then is upgrade.h's choice; each session has a
 * thread of its own, so that none can hold up another or the daemon.
 *
 * The URL is all the authorisation there is, as the CRI has it: by default the server listens on loopback.
 * Thread-safe.
 */
#ifndef SERVER_STREAMING_STREAMING_H
#define SERVER_STREAMING_STREAMING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "server/streaming/request.h"
#include "server/tls/keys.h"

struct streaming_options {
	const char *address;           /* numeric, IPv4 or IPv6 */
	uint16_t port;                 /* 0: any */
	const struct tls_options *tls; /* NULL: without TLS */
	int64_t request_patience;      /* ns for a client to make its HTTP request; 0: 30 s */
	int64_t creation_patience;     /* ns for a client to open what it asked for; 0: 30 s */
	int64_t idle_timeout; /* ns without a byte of the client's, either way, after which a session ends; 0:
				 none */
};

struct streaming;

/* FAILED_PRECONDITION when the address can't be had or the certificate is no good. */
struct streaming *streaming_new(const struct streaming_options *options, struct err *err);
/* Reads certificate and key again, or others; on failure what was in force stays. Sessions go on. Without TLS
 * at the start, or without tls now, nothing happens: that takes a restart. */
int streaming_prepare_tls(const struct streaming *streaming, const struct tls_options *tls,
			  struct tls_material **ret, struct err *err) MUST_CHECK;
void streaming_replace_tls_take(struct streaming *streaming,
				struct tls_material *material); /* NULL: nothing */
/* Ends all sessions and what runs for them. Accepts NULL, returns NULL. */
struct streaming *streaming_free(struct streaming *streaming);

/* *ret_url: malloc'd. The request is taken in any case. INVALID_ARGUMENT: it makes no sense (nothing to
 * stream; stderr beside a terminal); RESOURCE_EXHAUSTED: too many wait. */
int streaming_add_take(struct streaming *streaming, struct stream_request *request, char **ret_url,
		       struct err *err) MUST_CHECK;

size_t streaming_sessions(struct streaming *streaming);

#endif
