/*
 * The server with sockets and threads, and peers that are pipes: HTTP's refusals, sessions of both kinds of
 * wire, clients that vanish, do not read or break the protocol, the server's end.
 */
#include "test/streaming/scene.h"

static void test_refusals(void **state)
{
	CLEANUP(freep) char *long_line = xmalloc(64 * 1024);
	static const char nobody[] = "/exec/0123456789abcdef0123456789abcdef";
	struct scene scene;
	uint16_t port;

	(void)state;
	memset(long_line, 'a', 64 * 1024 - 1);
	long_line[64 * 1024 - 1] = '\0';
	promise_echo(&(struct echo_options){ 0 }, &scene);
	port = scene.port;
	expect_refusal(port, 404, "GET %s HTTP/1.1\r\n%s\r\n", nobody, websocket_headers);
	expect_refusal(port, 404, "GET / HTTP/1.1\r\n%s\r\n", websocket_headers);
	expect_refusal(port, 400, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", scene.path);
	expect_refusal(port, 405, "PUT %s HTTP/1.1\r\nHost: x\r\n\r\n", scene.path);
	expect_refusal(port, 403, "GET %s HTTP/1.1\r\n%sSec-WebSocket-Protocol: v9.channel.k8s.io\r\n\r\n",
		       scene.path, websocket_headers);
	expect_refusal(port, 431, "GET %s HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", scene.path, long_line);
	/* None of these has used the token up; the first that is upgraded does. */
	close(open_websocket(&scene, "v5.channel.k8s.io"));
	expect_refusal(port, 404, "GET %s HTTP/1.1\r\n%s\r\n", scene.path, websocket_headers);
	wait_for(&freed, 1);
}

/* Requests that come byte by byte end when their time is over; who has made his, and who comes, is served. */
static void test_slowloris(void **state)
{
	enum { COUNT = 20 };
	struct pollfd ends[COUNT];
	size_t left = COUNT;
	int session;

	(void)state;
	start_server(
		&(struct streaming_options){ .address = "127.0.0.1", .request_patience = NS_PER_SEC / 2 });
	session = open_echo_session();
	struct scene scene;

	promise_echo(&(struct echo_options){ 0 }, &scene);
	for (size_t i = 0; i < COUNT; i++) {
		ends[i] = (struct pollfd){ dial(scene.port), POLLIN, 0 };
		say(ends[i].fd, "GET %s HTTP/1.1\r\nX-Slow: ", scene.path);
	}
	while (left) {
		if (poll(ends, COUNT, 50) > 0)
			for (size_t i = 0; i < COUNT; i++)
				if (ends[i].revents) {
					ends[i].fd = fd_close(ends[i].fd);
					left--;
				}
		for (size_t i = 0; i < COUNT; i++)
			if (ends[i].fd >= 0)
				(void)!send(ends[i].fd, "a", 1, MSG_NOSIGNAL);
	}
	expect_echo(session);
	close(open_websocket(&scene, "v5.channel.k8s.io"));
	close(session);
	wait_for(&freed, 2);
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
	promise_echo(&(struct echo_options){ .exit_code = 3 }, &scene);
	fd = open_websocket(&scene, "v5.channel.k8s.io");
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
	promise_echo(&(struct echo_options){ 0 }, &scene);
	fd = open_spdy(&scene);
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
	promise_echo(&(struct echo_options){ .exit_code = -1 }, &scene);
	fd = open_websocket(&scene, "v4.channel.k8s.io");
	read_until(fd, &in, "refused for the test");
	close(fd);
	wait_for(&freed, 1);
}

/* Several at once: none reads; one more works; then all vanish, and what ran for them is ended. */
static void test_deaf_and_vanished(void **state)
{
	enum { COUNT = 20 };
	struct scene scene;
	int fds[COUNT], fd;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		promise_echo(&(struct echo_options){ .endless = true }, &scene);
		fds[i] = open_websocket(&scene, "v5.channel.k8s.io");
	}
	wait_for(&opened, COUNT);
	fd = open_echo_session();
	expect_echo(fd);
	assert_int_equal(streaming_sessions(streaming), COUNT + 1);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	wait_for(&abandoned, COUNT);
	wait_for(&freed, COUNT);
	close(fd);
	wait_for(&freed, COUNT + 1);
}

/* A peer that holds up others when it is not read is read on; a client that lags too far behind is dismissed.
 */
static void test_deaf_before_a_peer_that_must_be_drained(void **state)
{
	struct scene scene;
	int fd;

	(void)state;
	promise_echo(&(struct echo_options){ .endless = true, .must_drain = true }, &scene);
	fd = open_websocket(&scene, "v5.channel.k8s.io");
	wait_for(&abandoned, 1);
	wait_for(&freed, 1);
	expect_end(fd);
	close(fd);
}

/* A hundred thousand sizes: the last one holds, and what they cost is given back. */
static void test_resize_flood(void **state)
{
	enum { COUNT = 1000, ROUNDS = 100 };
	CLEANUP(queue_done) struct queue out = { 0 }, last = { 0 };
	struct scene scene;
	int64_t deadline = clock_deadline_in(PATIENCE * NS_PER_MS);
	char text[64];
	int fd;

	(void)state;
	promise_echo(&(struct echo_options){ .tty = true }, &scene);
	fd = open_websocket(&scene, "v5.channel.k8s.io");
	for (int i = 0; i < COUNT; i++) {
		int len = snprintf(text, sizeof(text), "\4{\"Width\":%d,\"Height\":24}\n", 80 + i);

		put_message(&out, 0x82, text, (size_t)len);
	}
	for (int i = 0; i < ROUNDS; i++)
		assert_int_equal(write_all(fd, queue_front(&out), out.len), 0);
	put_message(&last, 0x82, "\4{\"Width\":7,\"Height\":5}", 24);
	send_queue(fd, &last);
	while (atomic_load(&last_size) != (7u << 16 | 5u)) {
		assert_true(clock_mono() < deadline);
		usleep(1000);
	}
	expect_echo(fd);
	close(fd);
	wait_for(&freed, 1);
}

/* Bad masks and fragments: the session ends, and the others go on. */
static void test_bad_websocket_frames(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "\x82\x06\0hello", 8 },                                   /* not masked */
		{ "\x80\x86\0\0\0\0\0hello", 12 },                          /* goes on with nothing */
		{ "\x02\x81\0\0\0\0\0\x82\x81\0\0\0\0\0", 14 },             /* begins inside another */
		{ "\x09\x80\0\0\0\0", 6 },                                  /* a ping in pieces */
		{ "\x83\x80\0\0\0\0", 6 },                                  /* a kind that is not there */
		{ "\xc2\x81\0\0\0\0\0", 7 },                                /* an extension's bit */
		{ "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14 }, /* longer than may be */
	};
	int other = open_echo_session();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = open_echo_session();

		assert_int_equal(write_all(fd, cases[i].bytes, cases[i].len), 0);
		expect_end(fd);
		close(fd);
		wait_for(&freed, (int)i + 1);
	}
	expect_echo(other);
	close(other);
	wait_for(&freed, (int)ARRAY_LEN(cases) + 1);
}

/* Who says and gets nothing goes; who is served stays, and so does what he says now and then. */
static void test_idle_sessions(void **state)
{
	int idle, busy, forward;
	struct pollfd ends[2];
	struct scene scene;

	(void)state;
	start_server(&(struct streaming_options){ .address = "127.0.0.1", .idle_timeout = 4 * NS_PER_SEC });
	busy = open_echo_session();
	idle = open_echo_session();
	promise_forward(NULL, 0, &scene);
	forward = open_spdy(&scene);
	ends[0] = (struct pollfd){ idle, POLLIN, 0 };
	ends[1] = (struct pollfd){ forward, POLLIN, 0 };
	while (!ends[0].revents || !ends[1].revents) {
		expect_echo(busy);
		(void)poll(ends, 2, 20);
	}
	expect_end(idle);
	expect_end(forward);
	wait_for(&freed, 1);
	assert_int_equal(atomic_load(&abandoned), 1);
	expect_echo(busy);
	close(idle);
	close(forward);
	close(busy);
	wait_for(&freed, 2);
}

/* A client that asked for streams and does not open them all. */
static void test_streams_that_do_not_come(void **state)
{
	static const char *const error[] = { "streamtype", "error", NULL };
	static const char *const half[] = { "streamtype", "data", "port", "80", "requestid", "7", NULL };
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	struct packer packer = { 0 }, other = { 0 };
	struct scene scene;
	int exec, forward;

	(void)state;
	start_server(
		&(struct streaming_options){ .address = "127.0.0.1", .creation_patience = NS_PER_SEC / 2 });
	promise_echo(&(struct echo_options){ 0 }, &scene);
	exec = open_spdy(&scene);
	put_syn(&out, &packer, 1, error);
	send_queue(exec, &out);
	promise_forward(NULL, 0, &scene);
	forward = open_spdy(&scene);
	put_syn(&out, &other, 1, half);
	send_queue(forward, &out);
	expect_end(exec);
	wait_for(&freed, 1);
	assert_int_equal(atomic_load(&opened), 0);
	while (in.len <
	       8 + 4 + 6 + 14 + 8) /* the reply, and then the end of that stream; the session goes on */
		read_some(forward, &in);
	assert_int_equal(peek_u32(queue_front(&in) + in.len - 8), 1);
	assert_int_equal(peek_u32(queue_front(&in) + in.len - 4), 1u << 24);
	put_u32_control(&out, 6, 1, 0, 1);
	send_queue(forward, &out);
	queue_clear(&in);
	read_some(forward, &in);
	assert_int_equal(peek_u32(queue_front(&in)), 0x80030006u);
	close(exec);
	close(forward);
	packer_done(&packer);
	packer_done(&other);
}

static void test_end_of_server(void **state)
{
	struct scene scene;
	char byte;
	int fd;

	(void)state;
	promise_echo(&(struct echo_options){ .endless = true }, &scene);
	fd = open_websocket(&scene, "v5.channel.k8s.io");
	wait_for(&opened, 1);
	promise_echo(&(struct echo_options){ .endless = true }, &scene); /* nobody comes for it */
	streaming = streaming_free(streaming);
	assert_int_equal(atomic_load(&abandoned), 1);
	assert_int_equal(atomic_load(&freed), 2);
	while (read(fd, &byte, 1) == 1)
		;
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refusals, start, stop),
		cmocka_unit_test_teardown(test_slowloris, stop),
		cmocka_unit_test_setup_teardown(test_bad_requests, start, stop),
		cmocka_unit_test_setup_teardown(test_websocket, start, stop),
		cmocka_unit_test_setup_teardown(test_spdy, start, stop),
		cmocka_unit_test_setup_teardown(test_peer_that_cannot_begin, start, stop),
		cmocka_unit_test_setup_teardown(test_deaf_and_vanished, start, stop),
		cmocka_unit_test_setup_teardown(test_deaf_before_a_peer_that_must_be_drained, start, stop),
		cmocka_unit_test_setup_teardown(test_resize_flood, start, stop),
		cmocka_unit_test_setup_teardown(test_bad_websocket_frames, start, stop),
		cmocka_unit_test_teardown(test_idle_sessions, stop),
		cmocka_unit_test_teardown(test_streams_that_do_not_come, stop),
		cmocka_unit_test_setup_teardown(test_end_of_server, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
