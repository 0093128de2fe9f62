/*
 * Port-forwards with sockets and threads; the pod's network is this one.
 */
#include "test/streaming/scene.h"

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

/* -1: there is no IPv6 here. */
static int listen_here_v6(uint16_t *ret_port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fd_close(fd);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin6_port);
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

/* A client of its own with one connection to a port of the pod, both ends here. */
struct link {
	struct queue out, in; /* to and from the client */
	struct packer packer;
	uint16_t port;
	int listener, fd, pod;
};

static void open_link_to(struct link *link, int listener)
{
	struct scene scene;

	link->listener = listener;
	promise_forward(NULL, 0, &scene);
	link->fd = open_spdy(&scene);
	open_pair(&link->out, &link->packer, 1, link->port);
	send_queue(link->fd, &link->out);
	link->pod = accept(listener, NULL, NULL);
	assert_true(link->pod >= 0);
}

static void open_link(struct link *link)
{
	*link = (struct link){ 0 };
	open_link_to(link, listen_here(&link->port));
}

/* What a test has closed itself is -1. */
static void close_link(struct link *link)
{
	fd_close(link->pod);
	fd_close(link->listener);
	fd_close(link->fd);
	packer_done(&link->packer);
	queue_done(&link->out);
	queue_done(&link->in);
}

static void test_forward(void **state)
{
	struct link link;
	char text[16];

	(void)state;
	open_link(&link);
	put_data(&link.out, 3, "to the pod", 10, true);
	send_queue(link.fd, &link.out);
	assert_int_equal(recv(link.pod, text, sizeof(text), MSG_WAITALL), 10); /* the end came, too */
	assert_memory_equal(text, "to the pod", 10);
	say(link.pod, "to the client");
	link.pod = fd_close(link.pod);
	read_until(link.fd, &link.in, "to the client");
	link.listener = fd_close(link.listener);
	/* Nobody listens any more: the cause is told. */
	open_pair(&link.out, &link.packer, 5, link.port);
	send_queue(link.fd, &link.out);
	read_until(link.fd, &link.in, "Connection refused");
	close_link(&link);
}

/* Byte n of what goes to a pod. */
static uint8_t pattern(size_t n)
{
	return (uint8_t)(n * 31 + n / 251);
}

static void expect_pattern(int pod, size_t from, size_t len)
{
	CLEANUP(freep) uint8_t *bytes = xmalloc(len);

	assert_int_equal(recv(pod, bytes, len, MSG_WAITALL), (ssize_t)len);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != pattern(from + i))
			fail_msg("byte %zu is not what was sent", from + i);
}

/* Many small frames for two pods that read late: each gets its own, whole and in order, and its own end. */
static void test_frames_of_two(void **state)
{
	enum { ROUNDS = 6000, SIZE = 100 };
	size_t sent[2] = { 0 };
	struct link link;
	char byte;
	int second;

	(void)state;
	open_link(&link);
	open_pair(&link.out, &link.packer, 5, link.port);
	send_queue(link.fd, &link.out);
	second = accept(link.listener, NULL, NULL);
	assert_true(second >= 0);
	for (int round = 0; round < ROUNDS; round++) {
		int which = round % 7 == 0 || round % 300 > 200; /* runs of either, and changes */
		uint8_t bytes[SIZE];

		for (int i = 0; i < SIZE; i++)
			bytes[i] = pattern(sent[which] + (size_t)i);
		put_data(&link.out, which ? 7 : 3, bytes, SIZE, false);
		sent[which] += SIZE;
	}
	put_data(&link.out, 3, "", 0, true);
	put_data(&link.out, 7, "", 0, true);
	send_queue(link.fd, &link.out);
	expect_pattern(second, 0, sent[1]);
	expect_pattern(link.pod, 0, sent[0]);
	assert_int_equal(recv(second, &byte, 1, 0), 0);
	assert_int_equal(recv(link.pod, &byte, 1, 0), 0);
	close(second);
	close_link(&link);
}

static void test_forward_tunnel(void **state)
{
	CLEANUP(queue_done) struct queue plain = { 0 }, out = { 0 }, in = { 0 };
	struct packer packer = { 0 };
	struct scene scene;
	uint16_t port;
	int listener = listen_here(&port), fd, pod;

	(void)state;
	promise_forward(NULL, 0, &scene);
	fd = open_websocket(&scene, "SPDY/3.1+portforward.k8s.io");
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

/* 127.0.0.1 refuses, ::1 does not. */
static void test_listener_on_v6_only(void **state)
{
	struct link link = { 0 };
	int listener = listen_here_v6(&link.port);

	(void)state;
	if (listener < 0) {
		puts("skipped: no IPv6 loopback");
		return;
	}
	open_link_to(&link, listener);
	say(link.pod, "to the client");
	read_until(link.fd, &link.in, "to the client");
	close_link(&link);
}

/* Writes until nothing has gone for a second; how much went. */
static size_t fill(int fd)
{
	static const char zeros[64 * 1024];
	struct pollfd ready = { fd, POLLOUT, 0 };
	size_t total = 0;

	while (poll(&ready, 1, 1000) > 0) {
		ssize_t put = send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_true(put > 0 || errno == EAGAIN);
		total += put > 0 ? (size_t)put : 0;
		assert_true(total < 256u * 1024 * 1024);
	}
	return total;
}

/* The client reads nothing: the pod cannot go on writing for ever, other sessions do not notice, and when the
 * client has gone, the pod is told. */
static void test_deaf_client(void **state)
{
	struct link link;
	int other;

	(void)state;
	open_link(&link);
	assert_true(fill(link.pod) > 0);
	other = open_echo_session();
	expect_echo(other);
	close(other);
	link.fd = fd_close(link.fd);
	expect_end(link.pod);
	close_link(&link);
}

/* The pod reads nothing: then the client is not read either. */
static void test_deaf_pod(void **state)
{
	CLEANUP(queue_done) struct queue data = { 0 };
	static const char zeros[32 * 1024];
	struct pollfd ready = { .events = POLLOUT };
	struct link link;
	size_t total = 0;

	(void)state;
	open_link(&link);
	put_data(&data, 3, zeros, sizeof(zeros), false);
	ready.fd = link.fd;
	for (size_t at = 0; poll(&ready, 1, 1000) > 0; at %= data.len) {
		ssize_t put =
			send(link.fd, queue_front(&data) + at, data.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_true(put > 0 || errno == EAGAIN);
		at += put > 0 ? (size_t)put : 0;
		total += put > 0 ? (size_t)put : 0;
		assert_true(total < 256u * 1024 * 1024);
	}
	link.fd = fd_close(link.fd);
	expect_end(link.pod);
	close_link(&link);
}

/* The oldest form: two channels for each named port, which begin with its number. */
static void by_port(const char *protocol, bool base64)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	uint16_t ports[2];
	int listeners[] = { listen_here(&ports[0]), listen_here(&ports[1]) }, fd, first, second;
	struct scene scene;
	char text[16];

	promise_forward(ports, 2, &scene);
	fd = open_websocket(&scene, protocol);
	first = accept(listeners[0], NULL, NULL);
	second = accept(listeners[1], NULL, NULL);
	assert_true(first >= 0 && second >= 0);
	for (int channel = 0; channel < 4; channel++) {
		char number[] = { (char)channel, (char)ports[channel / 2], (char)(ports[channel / 2] >> 8) };

		if (!base64) {
			while (in.len < 5)
				read_some(fd, &in);
			assert_memory_equal(queue_front(&in), "\x82\x03", 2);
			assert_memory_equal(queue_front(&in) + 2, number, 3);
			queue_drop(&in, 5);
		}
	}
	put_message(&out, base64 ? 0x81 : 0x82, base64 ? "2cGluZw==" : "\2ping", base64 ? 9 : 5);
	send_queue(fd, &out);
	assert_int_equal(recv(second, text, 4, MSG_WAITALL), 4);
	assert_memory_equal(text, "ping", 4);
	say(first, "pong");
	read_until(fd, &in, base64 ? "0cG9uZw==" : "pong");
	close(first);
	close(second);
	read_until(fd, &in, "\x88\2\3\350");
	close(fd);
	close(listeners[0]);
	close(listeners[1]);
}

static void test_by_port(void **state)
{
	(void)state;
	by_port("v4.channel.k8s.io", false);
	by_port("v4.base64.channel.k8s.io", true);
}

/* Nobody listens: that is told on the error channel, and then all ends. */
static void test_by_port_refused(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct scene scene;
	uint16_t port;
	int fd;

	(void)state;
	close(listen_here(&port));
	promise_forward(&port, 1, &scene);
	fd = open_websocket(&scene, "v4.channel.k8s.io");
	read_until(fd, &in, "\1connect to localhost");
	read_until(fd, &in, "\x88\2\3\350");
	close(fd);
	promise_forward(NULL, 0, &scene);
	expect_refusal(scene.port, 400,
		       "GET %s HTTP/1.1\r\n%sSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n", scene.path,
		       websocket_headers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forward, start, stop),
		cmocka_unit_test_setup_teardown(test_frames_of_two, start, stop),
		cmocka_unit_test_setup_teardown(test_forward_tunnel, start, stop),
		cmocka_unit_test_setup_teardown(test_listener_on_v6_only, start, stop),
		cmocka_unit_test_setup_teardown(test_by_port, start, stop),
		cmocka_unit_test_setup_teardown(test_by_port_refused, start, stop),
		cmocka_unit_test_setup_teardown(test_deaf_client, start, stop),
		cmocka_unit_test_setup_teardown(test_deaf_pod, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
