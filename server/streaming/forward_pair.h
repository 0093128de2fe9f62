/*
 * One forwarded connection: its two streams and its socket. Private to forward*.c; single-threaded.
 */
#ifndef SERVER_STREAMING_FORWARD_PAIR_H
#define SERVER_STREAMING_FORWARD_PAIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "server/streaming/queue.h"
#include "server/streaming/spdy_headers.h"

enum pair_state { PAIR_WAITING, PAIR_CONNECTING, PAIR_OPEN, PAIR_OVER };

enum { PAIR_READ_MAX = 64 * 1024 };

/* Where the bytes of its two streams go. */
struct pair_out {
	void (*send)(void *data, uint32_t id, const void *bytes, size_t len, bool fin);
	/* The same without a copy: room for PAIR_READ_MAX bytes, then how many of them were written (0:
	 * none). */
	uint8_t *(*room)(void *data);
	void (*grown)(void *data, uint32_t id, size_t len);
	void *data;
};

struct pair {
	enum pair_state state;
	char request_id[SPDY_HEADER_VALUE_SIZE];
	uint16_t port;
	uint32_t data_id, error_id; /* 0: not there yet */
	int fd;                     /* -1: none */
	bool second;                /* ::1 is being tried */
	int64_t deadline;           /* of waiting and connecting; clock_mono() ns */
	struct queue to_pod;
	bool client_ended, pod_ended, shut;
};

/* patience: ns for both streams to be there. */
struct pair *pair_new(const char *request_id, uint16_t port, int64_t patience);
struct pair *pair_free(struct pair *pair);

/* Both streams are there. */
void pair_connect(struct pair *pair, const struct pair_out *out);
/* poll(2)'s events that the pair waits for. */
short pair_events(const struct pair *pair, bool may_read);
/* What they were answered with. */
void pair_serve(struct pair *pair, const struct pair_out *out, short revents);
/* The client's bytes, in pieces (which may be changed), and its end. */
void pair_receive(struct pair *pair, const struct pair_out *out, struct iovec *pieces, size_t len);
void pair_end(struct pair *pair, bool reset);
/* Its deadline has passed. */
void pair_expire(struct pair *pair, const struct pair_out *out);

#endif
