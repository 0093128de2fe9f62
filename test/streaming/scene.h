/*
 * The server with peers that are pipes, and clients that speak to it by hand. For one test program: it
 * defines variables.
 */
#ifndef TEST_STREAMING_SCENE_H
#define TEST_STREAMING_SCENE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "server/streaming/streaming.h"
#include "test/streaming/peer.h"

enum { PATIENCE = 30000 /* ms */ };

/* An echo: what is written to `in` comes out of `out`. */
struct echo {
	int in, out;
	int end[2]; /* a byte in it: ended */
	struct echo_options {
		int exit_code; /* below 0: it refuses to begin */
		bool endless;  /* it writes, and does not read */
		bool tty, must_drain;
	} options;
};

static atomic_int opened, abandoned, freed;
static atomic_uint last_size; /* width << 16 | height */

static inline void resize(void *data, const struct terminal_size *size)
{
	(void)data;
	atomic_store(&last_size, (unsigned int)size->width << 16 | size->height);
}

static inline int open_echo(void *data, const struct terminal_size *size, const struct ctx *ctx,
			    struct remote_peer *ret, struct err *err)
{
	struct echo *echo = data;
	int fds[2];

	(void)ctx;
	if (size)
		resize(data, size);
	if (echo->options.exit_code < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "refused for the test");
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	echo->out = fds[0];
	echo->in = fds[1];
	if (echo->options.endless) {
		close(echo->in);
		close(echo->out);
		echo->in = -1;
		echo->out = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	}
	assert_int_equal(pipe2(echo->end, O_CLOEXEC), 0);
	*ret = (struct remote_peer){ .in = echo->in,
				     .out = echo->out,
				     .err_out = -1,
				     .ended = echo->end[0],
				     .must_drain = echo->options.must_drain };
	atomic_fetch_add(&opened, 1);
	return 0;
}

static inline void end_input(void *data)
{
	struct echo *echo = data;

	echo->in = fd_close(echo->in);
	assert_int_equal(write(echo->end[1], "x", 1), 1);
}

static inline int conclude(void *data, int *ret_exit_code, struct err *err)
{
	(void)err;
	*ret_exit_code = ((struct echo *)data)->options.exit_code;
	return 0;
}

static inline void abandon(void *data)
{
	(void)data;
	atomic_fetch_add(&abandoned, 1);
}

static inline void free_echo(void *data)
{
	struct echo *echo = data;

	fd_close(echo->in);
	fd_close(echo->out);
	fd_close(echo->end[0]);
	fd_close(echo->end[1]);
	free(echo);
	atomic_fetch_add(&freed, 1);
}

static const struct remote_ops ops = {
	.open = open_echo, .end_input = end_input, .resize = resize, .conclude = conclude, .abandon = abandon
};

static inline int enter(void *data, int *ret_ended, struct err *err)
{
	(void)data;
	(void)err;
	*ret_ended = -1;
	return 0;
}

static const struct forward_ops forward_ops = { .enter = enter };

/* ---- the scene ---- */

struct scene {
	uint16_t port;
	char path[128];
};

static struct streaming *streaming;

static inline void start_server(const struct streaming_options *options)
{
	struct err err = { 0 };

	atomic_store(&opened, 0);
	atomic_store(&abandoned, 0);
	atomic_store(&freed, 0);
	atomic_store(&last_size, 0);
	streaming = streaming_new(options, &err);
	if (!streaming)
		fail_msg("%s", err.text);
}

static inline int start(void **state)
{
	(void)state;
	start_server(&(struct streaming_options){ .address = "127.0.0.1" });
	return 0;
}

static inline int stop(void **state)
{
	(void)state;
	streaming = streaming_free(streaming);
	return 0;
}

static inline void promise(struct stream_request *request, struct scene *ret)
{
	CLEANUP(freep) char *url = NULL;
	struct err err = { 0 };
	unsigned int port;

	assert_ok(streaming_add_take(streaming, request, &url, &err));
	assert_int_equal(sscanf(url, "%*[a-z]://127.0.0.1:%u%127s", &port, ret->path), 2);
	ret->port = (uint16_t)port;
}

static inline void promise_echo(const struct echo_options *options, struct scene *ret)
{
	struct echo *echo = xnew(struct echo);
	struct stream_request request = { .kind = STREAM_EXEC,
					  .tty = options->tty,
					  .in = true,
					  .out = true,
					  .remote = &ops,
					  .data = echo,
					  .free = free_echo };

	echo->in = echo->out = echo->end[0] = echo->end[1] = -1;
	echo->options = *options;
	promise(&request, ret);
}

/* ports: outlives the session; may be NULL. */
static inline void promise_forward(const uint16_t *ports, size_t ports_len, struct scene *ret)
{
	struct stream_request request = {
		.kind = STREAM_FORWARD, .forward = &forward_ops, .ports = ports, .ports_len = ports_len
	};

	promise(&request, ret);
}

static inline int dial(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_sec = PATIENCE / 1000 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static inline void say(int fd, const char *fmt, ...) PRINTF(2, 3);
static inline void say(int fd, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	free(text);
}

/* The head of the answer, byte by byte: nothing may be taken away that comes behind. */
static inline void read_head(int fd, char *text, size_t size)
{
	size_t len = 0;

	do {
		assert_true(len < size - 1);
		if (read(fd, text + len, 1) != 1)
			break;
		text[++len] = '\0';
	} while (len < 4 || memcmp(text + len - 4, "\r\n\r\n", 4) != 0);
	text[len] = '\0';
}

static inline void expect_status(int fd, int status)
{
	char head[4096], want[32];

	read_head(fd, head, sizeof(head));
	snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (!strstr(head, want))
		fail_msg("status %d expected: %s", status, head);
}

static const char websocket_headers[] = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
					"Sec-WebSocket-Version: 13\r\n"
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/* One request, which is answered with this status. */
static inline void expect_refusal(uint16_t port, int status, const char *fmt, ...) PRINTF(3, 4);
static inline void expect_refusal(uint16_t port, int status, const char *fmt, ...)
{
	int fd = dial(port);
	va_list args;
	char *text;

	va_start(args, fmt);
	text = xvasprintf(fmt, args);
	va_end(args);
	say(fd, "%s", text);
	expect_status(fd, status);
	close(fd);
	free(text);
}

/* A session; SPDY offers what there is. */
static inline int open_spdy(const struct scene *scene)
{
	int fd = dial(scene->port);

	say(fd,
	    "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
	    "X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
	    "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n",
	    scene->path);
	expect_status(fd, 101);
	return fd;
}

static inline int open_websocket(const struct scene *scene, const char *protocol)
{
	int fd = dial(scene->port);

	say(fd, "GET %s HTTP/1.1\r\n%sSec-WebSocket-Protocol: %s\r\n\r\n", scene->path, websocket_headers,
	    protocol);
	expect_status(fd, 101);
	return fd;
}

/* A session whose peer echoes. */
static inline int open_echo_session(void)
{
	struct scene scene;

	promise_echo(&(struct echo_options){ 0 }, &scene);
	return open_websocket(&scene, "v5.channel.k8s.io");
}

static inline void send_queue(int fd, struct queue *queue)
{
	assert_int_equal(write_all(fd, queue_front(queue), queue->len), 0);
	queue_clear(queue);
}

static inline void read_some(int fd, struct queue *in)
{
	ssize_t got = read(fd, queue_room(in, 4096), 4096);

	assert_true(got > 0);
	queue_grown(in, (size_t)got);
}

/* Reads until text is in what came. */
static inline void read_until(int fd, struct queue *in, const char *text)
{
	while (!in->len || !memmem(queue_front(in), in->len, text, strlen(text)))
		read_some(fd, in);
}

static inline void wait_for(atomic_int *count, int want)
{
	int64_t deadline = clock_deadline_in(PATIENCE * NS_PER_MS);

	while (atomic_load(count) != want) {
		if (clock_mono() > deadline)
			fail_msg("%d, want %d", atomic_load(count), want);
		usleep(1000);
	}
}

static inline void expect_echo(int fd)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };

	put_message(&out, 0x82, "\0hello", 6);
	send_queue(fd, &out);
	read_until(fd, &in, "\1hello");
}

/* Until the server has closed the connection, whatever else it sends. */
static inline void expect_end(int fd)
{
	char bytes[4096];
	ssize_t got;

	while ((got = read(fd, bytes, sizeof(bytes))) > 0)
		;
	if (got < 0 && errno != ECONNRESET)
		fail_msg("the connection does not end: %s", strerror(errno));
}

#endif
