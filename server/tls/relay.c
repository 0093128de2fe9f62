/*
 * One direction is a buffer with an end on each side; a turn moves what can be moved, and only when nothing
 * could be is there a poll. OpenSSL may want to write in order to read and the other way round (a key
 * update): what it wants is what is polled for.
 */
#include "server/tls/relay.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum { BUFFER_SIZE = 64 * 1024 };
static const int64_t linger = NS_PER_SEC;

struct way {
	uint8_t *data;
	size_t start, len;
	bool over;   /* nothing more comes */
	bool closed; /* and the other side was told */
};

struct relaying {
	SSL *ssl;
	int tls, plain;
	struct way in, out;             /* from the client, to the client */
	short tls_events, plain_events; /* what this turn waits for */
	bool gone;                      /* whoever had the plain end */
	bool broken;                    /* the encrypted connection */
};

/* What SSL_get_error() says of an operation that could not go on. */
static void take_error(struct relaying *relaying, int result)
{
	switch (SSL_get_error(relaying->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		relaying->tls_events |= POLLIN;
		break;
	case SSL_ERROR_WANT_WRITE:
		relaying->tls_events |= POLLOUT;
		break;
	case SSL_ERROR_ZERO_RETURN:
		relaying->in.over = true;
		break;
	default:
		relaying->broken = true;
	}
	ERR_clear_error();
}

/* Each returns whether something moved. */
static bool read_tls(struct relaying *relaying)
{
	struct way *in = &relaying->in;
	int got;

	if (in->over || in->len)
		return false;
	got = SSL_read(relaying->ssl, in->data, BUFFER_SIZE);
	if (got <= 0) {
		take_error(relaying, got);
		return in->over;
	}
	in->start = 0;
	in->len = (size_t)got;
	return true;
}

static bool write_tls(struct relaying *relaying)
{
	struct way *out = &relaying->out;
	int put;

	if (out->len) {
		put = SSL_write(relaying->ssl, out->data + out->start, (int)out->len);
		if (put <= 0) {
			take_error(relaying, put);
			return false;
		}
		out->start += (size_t)put;
		out->len -= (size_t)put;
		return true;
	}
	if (!out->over || out->closed)
		return false;
	put = SSL_shutdown(relaying->ssl);
	if (put < 0) {
		take_error(relaying, put);
		return false;
	}
	out->closed = true;
	return true;
}

static bool read_plain(struct relaying *relaying)
{
	struct way *out = &relaying->out;
	ssize_t got;

	if (out->over || out->len)
		return false;
	got = recv(relaying->plain, out->data, BUFFER_SIZE, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		relaying->plain_events |= POLLIN;
		return false;
	}
	if (got <= 0) {
		out->over = true;
		return true;
	}
	out->start = 0;
	out->len = (size_t)got;
	return true;
}

static bool write_plain(struct relaying *relaying)
{
	struct way *in = &relaying->in;
	ssize_t put;

	if (in->len) {
		put = send(relaying->plain, in->data + in->start, in->len, MSG_NOSIGNAL);
		if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
			relaying->plain_events |= POLLOUT;
			return false;
		}
		if (put < 0) { /* nobody is there who would take it */
			in->len = 0;
			in->over = in->closed = true;
			return true;
		}
		in->start += (size_t)put;
		in->len -= (size_t)put;
		return true;
	}
	if (!in->over || in->closed)
		return false;
	(void)shutdown(relaying->plain, SHUT_WR);
	in->closed = true;
	return true;
}

/* Nobody has the plain end any more: what came from there is still sent. */
static void plain_gone(struct relaying *relaying)
{
	relaying->gone = true;
	relaying->in.len = 0;
	relaying->in.over = relaying->in.closed = true;
}

/* Waits until something may move. False when all ends. */
static bool wait_turn(struct relaying *relaying, int64_t deadline, const struct ctx *ctx)
{
	/* An end that has been seen would be told again and again. */
	short watch = relaying->in.over ? 0 : POLLRDHUP;
	struct pollfd fds[] = { { relaying->tls, (short)(relaying->tls_events | watch), 0 },
				{ relaying->gone ? -1 : relaying->plain, relaying->plain_events, 0 },
				{ ctx_fd(ctx), POLLIN, 0 } };

	if (poll(fds, ARRAY_LEN(fds), clock_poll_timeout(deadline)) < 0 && errno != EINTR)
		return false;
	if (fds[2].revents || clock_mono() >= deadline)
		return false;
	if (fds[1].revents & POLLHUP)
		plain_gone(relaying);
	/* Gone; or about to, while its bytes are not wanted here. */
	return !(fds[0].revents & (POLLHUP | POLLERR)) &&
	       (!(fds[0].revents & POLLRDHUP) || (fds[0].revents & POLLIN));
}

/* A socket closed with unread bytes in it would take away what the client has not read. */
static void see_off(const struct relaying *relaying, const struct ctx *ctx)
{
	uint8_t bytes[4096];
	struct err ignored;
	struct ctx bounded CLEANUP(ctx_done);

	ctx_init_child(&bounded, ctx, clock_deadline_in(linger));
	(void)shutdown(relaying->tls, SHUT_WR);
	while (ctx_poll(&bounded, relaying->tls, POLLIN, "the client's end", &ignored) == 0 &&
	       recv(relaying->tls, bytes, sizeof(bytes), 0) > 0)
		if (ctx_check(&bounded, "the client's end", &ignored) < 0)
			break;
}

static void relay_bytes(struct relaying *relaying, const struct ctx *ctx)
{
	while (!(relaying->in.closed && relaying->out.closed)) {
		bool moved;

		relaying->tls_events = relaying->plain_events = 0;
		moved = read_tls(relaying);
		moved |= write_plain(relaying);
		moved |= read_plain(relaying);
		moved |= write_tls(relaying);
		if (relaying->broken || (!moved && !wait_turn(relaying, NO_DEADLINE, ctx)))
			return;
	}
	see_off(relaying, ctx);
}

static bool shake_hands(struct relaying *relaying, int64_t patience, const struct ctx *ctx)
{
	int64_t deadline = clock_deadline_in(patience);
	int done;

	while ((done = SSL_accept(relaying->ssl)) != 1) {
		unsigned long code = ERR_peek_error();

		relaying->tls_events = 0;
		take_error(relaying, done);
		if (relaying->broken && code)
			log_debug("TLS: a client is refused: %s", ERR_reason_error_string(code));
		if (relaying->broken || relaying->in.over || !wait_turn(relaying, deadline, ctx))
			return false;
	}
	return true;
}

/* Memory for buffers is taken for who has shown that he may come in. */
static void serve(struct relaying *relaying, const struct tls_relay *relay, const struct ctx *ctx)
{
	CLEANUP(freep) uint8_t *in = NULL;
	CLEANUP(freep) uint8_t *out = NULL;
	CLEANUP(fd_closep) int plain = -1;
	int fds[2];

	if (!shake_hands(relaying, relay->patience, ctx) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return;
	plain = relaying->plain = fds[0];
	if (relay->ready(relay->data, fds[1]) < 0)
		return;
	in = relaying->in.data = xmalloc(BUFFER_SIZE);
	out = relaying->out.data = xmalloc(BUFFER_SIZE);
	relay_bytes(relaying, ctx);
}

void tls_relay_run(const struct tls_relay *relay, const struct ctx *ctx)
{
	struct relaying relaying = { .tls = relay->fd, .plain = -1 };

	relaying.ssl = tls_keys_session(relay->keys, relay->fd);
	if (!relaying.ssl)
		return;
	serve(&relaying, relay, ctx);
	SSL_free(relaying.ssl);
	ERR_clear_error();
}
