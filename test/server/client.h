/*
 * A gRPC client for tests, on gRPC's C core, over a unix socket: raw request bytes in, status and raw answer
 * bytes out. Calls may overlap; each has a completion queue of its own and is waited for by whoever started
 * it.
 */
#ifndef TEST_SERVER_CLIENT_H
#define TEST_SERVER_CLIENT_H

#include <grpc/grpc.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_MESSAGES_MAX = 64 };

struct client;
struct client_call;

struct client_request {
	const char *path; /* "/runtime.v1.RuntimeService/Version" */
	const void *data; /* bytes of the message */
	size_t len;
	bool no_message;        /* half-close without one */
	int64_t timeout_ms;     /* 0: none */
	bool compressed;        /* data is gzip already and is sent as such */
	bool lie;               /* sets the compressed flag without naming a compression */
	const char *big_header; /* value of an extra header */
};

struct client_answer {
	int code;
	char *text;
	size_t messages;
	uint8_t *data[CLIENT_MESSAGES_MAX];
	size_t len[CLIENT_MESSAGES_MAX];
};

/* compress: names gzip as the encoding of requests. Every client has a connection of its own. */
struct client *client_new(const char *socket, bool compress);
void client_free(struct client *client);

struct client_call *client_start(struct client *client, const struct client_request *request);
/* Waits until the request is on its way: nothing moves on a connection that nobody polls. */
void client_sent(struct client_call *call);
void client_cancel(struct client_call *call);
void client_await(struct client_call *call, struct client_answer *ret); /* waits, frees */
void client_answer_done(struct client_answer *answer);
/* start and finish */
void client_run(struct client *client, const struct client_request *request, struct client_answer *ret);
/* Packs a message, calls, and gives the code; the answer is unpacked into *ret when that is not NULL and the
 * code is 0. */
int client_ask(struct client *client, const char *path, const ProtobufCMessage *request,
	       const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret);

#endif
