/*
 * The server with sockets and threads, and peers that are pipes: HTTP's refusals, sessions of both kinds of
 * wire, clients that vanish or do not read, the server's end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/lock.h"
#include "server/streaming/streaming.h"
#include "server/streaming/tokens.h"
#include "test/streaming/peer.h"

enum { PATIENCE = 30000 /* ms */ };

/* An echo: what is written to `in` comes out of `out`. */
struct echo {
	int in, out;
	int end[2]; /* a byte in it: ended */
	bool endless;
	int exit_code;
};

static atomic_int opened, abandoned, freed;

static int open_echo(void *data, const struct terminal_size *size, const struct ctx *ctx,
		     struct remote_peer *ret, struct err *err)
{
	struct echo *echo = data;
	int fds[2];

	(void)size;
	(void)ctx;
	if (echo->exit_code < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "refused for the test");
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	echo->out = fds[0];
	echo->in = fds[1];
	if (echo->endless) {
		close(echo->in);
		close(echo->out);
		echo->in = -1;
		echo->out = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	}
	assert_int_equal(pipe2(echo->end, O_CLOEXEC), 0);
	*ret = (struct remote_peer){ .in = echo->in, .out = echo->out, .err_out = -1, .ended = echo->end[0] };
	atomic_fetch_add(&opened, 1);
	return 0;
}

static void end_input(void *data)
{
	struct echo *echo = data;

	echo->in = fd_close(echo->in);
	assert_int_equal(write(echo->end[1], "x", 1), 1);
}

static void resize(void *data, const struct terminal_size *size)
{
	(void)data;
	(void)size;
}

static int conclude(void *data, int *ret_exit_code, struct err *err)
{
	(void)err;
	*ret_exit_code = ((struct echo *)data)->exit_code;
	return 0;
}

static void abandon(void *data)
{
	(void)data;
	atomic_fetch_add(&abandoned, 1);
}

static void free_echo(void *data)
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

static int enter(void *data, int *ret_ended, struct err *err)
{
	(void)data;
	(void)err;
	*ret_ended = -1;
	return 0;
}

static const struct forward_ops forward_ops = { .enter = enter };

/* ---- the scene ---- */

struct scene {
	struct streaming *streaming;
	char *url;
	uint16_t port;
	char path[128];
};

static struct streaming *streaming;

static int start(void **state)
{
	struct err err = { 0 };

	(void)state;
	atomic_store(&opened, 0);
	atomic_store(&abandoned, 0);
	atomic_store(&freed, 0);
	streaming = streaming_new(&(struct streaming_options){ .address = "127.0.0.1" }, &err);
	return streaming ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	streaming = streaming_free(streaming);
	return 0;
}

static void promise(struct stream_request *request, struct scene *ret)
{
	struct err err = { 0 };
	unsigned int port;

	assert_ok(streaming_add_take(streaming, request, &ret->url, &err));
	assert_int_equal(sscanf(ret->url, "http://127.0.0.1:%u%127s", &port, ret->path), 2);
	ret->port = (uint16_t)port;
	free(ret->url);
}

static void promise_echo(int exit_code, bool endless, struct scene *ret)
{
	struct echo *echo = xnew(struct echo);
	struct stream_request request = {
		.kind = STREAM_EXEC, .in = true, .out = true, .remote = &ops, .data = echo, .free = free_echo
	};

	echo->in = echo->out = echo->end[0] = echo->end[1] = -1;
	echo->exit_code = exit_code;
	echo->endless = endless;
	promise(&request, ret);
}

static int dial(uint16_t port)
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

static void say(int fd, const char *fmt, ...) PRINTF(2, 3);
static void say(int fd, const char *fmt, ...)
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
static void read_head(int fd, char *text, size_t size)
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

static void expect_status(int fd, int status)
{
	char head[4096], want[32];

	read_head(fd, head, sizeof(head));
	snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	if (!strstr(head, want))
		fail_msg("status %d expected: %s", status, head);
}

static void upgrade_spdy(int fd, const char *path)
{
	say(fd,
	    "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
	    "X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
	    "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n",
	    path);
}

static void upgrade_websocket(int fd, const char *path, const char *protocol)
{
	say(fd,
	    "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
	    path, protocol);
}

static void send_queue(int fd, struct queue *queue)
{
	assert_int_equal(write_all(fd, queue_front(queue), queue->len), 0);
	queue_clear(queue);
}

/* Reads until text is in what came, or the end. */
static void read_until(int fd, struct queue *in, const char *text)
{
	while (!in->len || !memmem(queue_front(in), in->len, text, strlen(text))) {
		ssize_t got = read(fd, queue_room(in, 4096), 4096);

		if (got <= 0)
			fail_msg("the end came before %s", text);
		queue_grown(in, (size_t)got);
	}
}

static void wait_for(atomic_int *count, int want)
{
	int64_t deadline = clock_deadline_in(PATIENCE * NS_PER_MS);

	while (atomic_load(count) != want) {
		if (clock_mono() > deadline)
			fail_msg("%d, want %d", atomic_load(count), want);
		usleep(1000);
	}
}

/* ---- tests ---- */

static void test_refusals(void **state)
{
	char *long_line = xmalloc(64 * 1024);
	struct scene scene;
	int fd;

	(void)state;
	memset(long_line, 'a', 64 * 1024 - 1);
	long_line[64 * 1024 - 1] = '\0';
	promise_echo(0, false, &scene);
	fd = dial(scene.port);
	upgrade_spdy(fd, "/exec/0123456789abcdef0123456789abcdef");
	expect_status(fd, 404);
	close(fd);
	fd = dial(scene.port);
	upgrade_spdy(fd, "/");
	expect_status(fd, 404);
	close(fd);
	fd = dial(scene.port);
	say(fd, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", scene.path);
	expect_status(fd, 400);
	close(fd);
	fd = dial(scene.port);
	say(fd, "PUT %s HTTP/1.1\r\nHost: x\r\n\r\n", scene.path);
	expect_status(fd, 405);
	close(fd);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v9.channel.k8s.io");
	expect_status(fd, 403);
	close(fd);
	fd = dial(scene.port);
	say(fd, "GET %s HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", scene.path, long_line);
	expect_status(fd, 431);
	close(fd);
	/* None of these has used the token up; the first that is upgraded does. */
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v5.channel.k8s.io");
	expect_status(fd, 101);
	close(fd);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v5.channel.k8s.io");
	expect_status(fd, 404);
	close(fd);
	wait_for(&freed, 1);
	free(long_line);
}

static void test_bad_requests(void **state)
{
	static const struct stream_request requests[] = {
		{ .kind = STREAM_EXEC },
		{ .kind = STREAM_EXEC, .tty = true, .err_out = true },
		{ .kind = STREAM_ATTACH, .tty = true, .out = true, .err_out = true },
	};
	struct err err;
	char *url;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		struct stream_request request = requests[i];

		assert_fails(streaming_add_take(streaming, &request, &url, &err), RPC_INVALID_ARGUMENT);
	}
}

static void test_websocket(void **state)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	struct scene scene;
	int fd;

	(void)state;
	promise_echo(3, false, &scene);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v5.channel.k8s.io");
	expect_status(fd, 101);
	put_message(&out, 0x82, "\0hello", 6);
	send_queue(fd, &out);
	read_until(fd, &in, "\1hello");
	put_message(&out, 0x82, "\377\0", 2);
	send_queue(fd, &out);
	read_until(fd, &in, "\"message\":\"3\"");
	read_until(fd, &in, "\x88\2\3\350");
	close(fd);
	wait_for(&freed, 1);
	assert_int_equal(atomic_load(&abandoned), 0);
}

static void open_streams(struct queue *out, struct packer *packer)
{
	static const char *const error[] = { "streamtype", "error", NULL };
	static const char *const in[] = { "streamtype", "stdin", NULL };
	static const char *const stdout_[] = { "streamtype", "stdout", NULL };

	put_syn(out, packer, 1, error);
	put_syn(out, packer, 3, in);
	put_syn(out, packer, 5, stdout_);
}

static void test_spdy(void **state)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	struct packer packer = { 0 };
	struct scene scene;
	int fd;

	(void)state;
	promise_echo(0, false, &scene);
	fd = dial(scene.port);
	upgrade_spdy(fd, scene.path);
	expect_status(fd, 101);
	open_streams(&out, &packer);
	put_data(&out, 3, "hello", 5, true);
	send_queue(fd, &out);
	read_until(fd, &in, "hello");
	read_until(fd, &in, "\"Success\"");
	close(fd);
	packer_done(&packer);
	wait_for(&freed, 1);
	assert_int_equal(atomic_load(&abandoned), 0);
}

static void test_peer_that_cannot_begin(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct scene scene;
	int fd;

	(void)state;
	promise_echo(-1, false, &scene);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v4.channel.k8s.io");
	expect_status(fd, 101);
	read_until(fd, &in, "refused for the test");
	close(fd);
	wait_for(&freed, 1);
}

/* Several at once: none reads; one more works; then all vanish, and what ran for them is ended. */
static void test_deaf_and_vanished(void **state)
{
	enum { COUNT = 20 };
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	struct scene scene;
	int fds[COUNT], fd;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		promise_echo(0, true, &scene);
		fds[i] = dial(scene.port);
		upgrade_websocket(fds[i], scene.path, "v5.channel.k8s.io");
		expect_status(fds[i], 101);
	}
	wait_for(&opened, COUNT);
	promise_echo(0, false, &scene);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v5.channel.k8s.io");
	expect_status(fd, 101);
	put_message(&out, 0x82, "\0hello", 6);
	send_queue(fd, &out);
	read_until(fd, &in, "\1hello");
	assert_int_equal(streaming_sessions(streaming), COUNT + 1);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	wait_for(&abandoned, COUNT);
	wait_for(&freed, COUNT);
	close(fd);
	wait_for(&freed, COUNT + 1);
}

static void test_end_of_server(void **state)
{
	struct scene scene;
	char byte;
	int fd;

	(void)state;
	promise_echo(0, true, &scene);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "v5.channel.k8s.io");
	expect_status(fd, 101);
	wait_for(&opened, 1);
	promise_echo(0, true, &scene); /* nobody comes for it */
	streaming = streaming_free(streaming);
	assert_int_equal(atomic_load(&abandoned), 1);
	assert_int_equal(atomic_load(&freed), 2);
	while (read(fd, &byte, 1) == 1)
		;
	close(fd);
}

/* ---- port-forward ---- */

static int listen_here(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void open_pair(struct queue *out, struct packer *packer, uint32_t id, uint16_t port)
{
	char number[8], request[8];

	snprintf(number, sizeof(number), "%u", port);
	snprintf(request, sizeof(request), "%u", id);
	const char *const error[] = { "streamtype", "error", "port", number, "requestid", request, NULL };
	const char *const data[] = { "streamtype", "data", "port", number, "requestid", request, NULL };

	put_syn(out, packer, id, error);
	put_data(out, id, "", 0, true);
	put_syn(out, packer, id + 2, data);
}

static void promise_forward(struct scene *ret)
{
	struct stream_request request = { .kind = STREAM_FORWARD, .forward = &forward_ops };

	promise(&request, ret);
}

static void test_forward(void **state)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	struct packer packer = { 0 };
	struct scene scene;
	uint16_t port;
	int listener = listen_here(&port), fd, pod;
	char text[16];

	(void)state;
	promise_forward(&scene);
	fd = dial(scene.port);
	upgrade_spdy(fd, scene.path);
	expect_status(fd, 101);
	open_pair(&out, &packer, 1, port);
	put_data(&out, 3, "to the pod", 10, true);
	send_queue(fd, &out);
	pod = accept(listener, NULL, NULL);
	assert_true(pod >= 0);
	assert_int_equal(recv(pod, text, sizeof(text), MSG_WAITALL), 10); /* the end came, too */
	assert_memory_equal(text, "to the pod", 10);
	say(pod, "to the client");
	close(pod);
	read_until(fd, &in, "to the client");
	close(listener);
	/* Nobody listens any more: the cause is told. */
	open_pair(&out, &packer, 5, port);
	send_queue(fd, &out);
	read_until(fd, &in, "Connection refused");
	close(fd);
	packer_done(&packer);
}

static void test_forward_tunnel(void **state)
{
	CLEANUP(queue_done) struct queue plain = { 0 }, out = { 0 }, in = { 0 };
	struct packer packer = { 0 };
	struct scene scene;
	uint16_t port;
	int listener = listen_here(&port), fd, pod;

	(void)state;
	promise_forward(&scene);
	fd = dial(scene.port);
	upgrade_websocket(fd, scene.path, "SPDY/3.1+portforward.k8s.io");
	expect_status(fd, 101);
	open_pair(&plain, &packer, 1, port);
	for (size_t at = 0; at < plain.len; at += 3) /* messages mean nothing */
		put_message(&out, 0x82, queue_front(&plain) + at, plain.len - at < 3 ? plain.len - at : 3);
	put_message(&out, 0x82, "", 0);
	send_queue(fd, &out);
	pod = accept(listener, NULL, NULL);
	assert_true(pod >= 0);
	say(pod, "to the client");
	read_until(fd, &in, "to the client");
	close(pod);
	close(listener);
	close(fd);
	packer_done(&packer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refusals, start, stop),
		cmocka_unit_test_setup_teardown(test_bad_requests, start, stop),
		cmocka_unit_test_setup_teardown(test_websocket, start, stop),
		cmocka_unit_test_setup_teardown(test_spdy, start, stop),
		cmocka_unit_test_setup_teardown(test_peer_that_cannot_begin, start, stop),
		cmocka_unit_test_setup_teardown(test_deaf_and_vanished, start, stop),
		cmocka_unit_test_setup_teardown(test_end_of_server, start, stop),
		cmocka_unit_test_setup_teardown(test_forward, start, stop),
		cmocka_unit_test_setup_teardown(test_forward_tunnel, start, stop),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
