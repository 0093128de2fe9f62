/*
 * What no gRPC client would send: HTTP/2 frames written by hand (RFC 9113), over a plain socket. The
 * connection must survive a call that is broken, and the server a connection that is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "test/server/fixture.h"

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

struct frame {
	int type, flags;
	uint32_t stream;
	size_t len;
	uint8_t data[16384];
};

static int fake_version(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__VersionResponse *response = answer;

	(void)call;
	(void)message;
	(void)err;
	response->runtime_name = (char *)"raw-test";
	return 0;
}

static const struct rpc fakes[] = {
	{ .service = "RuntimeService", .method = "Version", .speed = RPC_FAST, .handle = fake_version },
};

static int setup(void **data)
{
	*data = fixture_new(&(struct fixture_options){ .fakes = fakes, .fakes_len = 1 });
	return 0;
}

static int teardown(void **data)
{
	fixture_free(*data);
	return 0;
}

static int connect_to(struct fixture *fixture)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, fixture_socket(fixture), strlen(fixture_socket(fixture)) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void add_frame(struct str *out, int type, int flags, uint32_t stream, const void *data, size_t len)
{
	uint8_t head[9] = { (uint8_t)(len >> 16),    (uint8_t)(len >> 8),    (uint8_t)len,
			    (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
			    (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream };

	str_addn(out, head, sizeof(head));
	str_addn(out, data, len);
}

static void add_literal(struct str *out, int first, const char *name, const char *value)
{
	str_addc(out, (char)first);
	if (name) {
		str_addc(out, (char)strlen(name));
		str_add(out, name);
	}
	str_addc(out, (char)strlen(value));
	str_add(out, value);
}

/* HPACK (RFC 7541): indexed fields of the static table, the others literal and not indexed. */
static void add_headers(struct str *out, uint32_t stream)
{
	CLEANUP(str_done) struct str block = STR_INIT;

	str_addc(&block, (char)0x83);                        /* :method POST */
	str_addc(&block, (char)0x86);                        /* :scheme http */
	add_literal(&block, 0x04, NULL, RUNTIME("Version")); /* :path */
	add_literal(&block, 0x01, NULL, "localhost");        /* :authority */
	add_literal(&block, 0x00, "content-type", "application/grpc");
	add_literal(&block, 0x00, "te", "trailers");
	add_frame(out, HEADERS, END_HEADERS, stream, block.data, block.len);
}

static void flush(int fd, struct str *out)
{
	assert_int_equal(send(fd, out->data, out->len, MSG_NOSIGNAL), (ssize_t)out->len);
	str_clear(out);
}

static void hello(int fd, struct str *out)
{
	str_add(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	add_frame(out, SETTINGS, 0, 0, "", 0);
	flush(fd, out);
}

static bool read_all(int fd, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t got = recv(fd, (char *)data + at, len - at, 0);

		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

static bool read_frame(int fd, struct frame *frame)
{
	uint8_t head[9];

	if (!read_all(fd, head, sizeof(head)))
		return false;
	frame->len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
	frame->type = head[3];
	frame->flags = head[4];
	frame->stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
	assert_true(frame->len <= sizeof(frame->data));
	return read_all(fd, frame->data, frame->len);
}

/* Reads until the stream is over; true when it brought the answer of fake_version. */
static bool finish_stream(int fd, uint32_t stream)
{
	static struct frame frame;
	bool answered = false;

	for (;;) {
		if (!read_frame(fd, &frame))
			fail_msg("the connection ended before stream %u", stream);
		if (frame.stream != stream)
			continue;
		if (frame.type == DATA && memmem(frame.data, frame.len, "raw-test", 8))
			answered = true;
		if (frame.type == RST_STREAM || frame.flags & END_STREAM)
			return answered;
	}
}

static bool call(int fd, uint32_t stream, const void *body, size_t len)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	add_headers(&out, stream);
	add_frame(&out, DATA, END_STREAM, stream, body, len);
	flush(fd, &out);
	return finish_stream(fd, stream);
}

static void test_broken_framing(void **data)
{
	static const struct {
		const char *body;
		size_t len;
	} cases[] = {
		{ "\x01\0\0\0\x02zz", 7 }, /* compressed, by nothing that was named */
		{ "\0\0\0\0\x64"
		  "abc",
		  8 },                       /* shorter than its prefix says */
		{ "\0\xff\xff\xff\xff", 5 }, /* 4 GiB announced */
		{ "\0\0", 2 },               /* half a prefix */
		{ "", 0 },                   /* nothing */
	};
	CLEANUP(str_done) struct str out = STR_INIT;
	int fd = connect_to(*data);
	uint32_t stream = 1;

	hello(fd, &out);
	assert_true(call(fd, stream, "\0\0\0\0\0", 5));
	/* A compression flag that does not exist. gRPC core 1.51 drops such a message's bytes and passes on
	 * an empty one, which is all that a client can achieve by it. */
	stream += 2;
	call(fd, stream, "\x02\0\0\0\x02zz", 7);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		stream += 2;
		if (call(fd, stream, cases[i].body, cases[i].len))
			fail_msg("case %zu was answered", i);
		stream += 2;
		if (!call(fd, stream, "\0\0\0\0\0", 5))
			fail_msg("no answer after case %zu", i);
	}
	close(fd);
}

static void assert_serving(struct fixture *fixture)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	int fd = connect_to(fixture);

	hello(fd, &out);
	assert_true(call(fd, 1, "\0\0\0\0\0", 5));
	close(fd);
}

static void test_not_http2(void **data)
{
	static const char *const openings[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
						"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
						"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "" };

	for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
		int fd = connect_to(*data);
		char byte;

		assert_true(send(fd, openings[i], strlen(openings[i]), MSG_NOSIGNAL) >= 0);
		shutdown(fd, SHUT_WR);
		while (recv(fd, &byte, 1, 0) > 0)
			;
		close(fd);
		assert_serving(*data);
	}
}

/* CVE-2023-44487: streams that are opened and reset at once. Other connections don't notice. */
static void test_rapid_reset(void **data)
{
	enum { STREAMS = 5000, BATCH = 100 };
	CLEANUP(str_done) struct str out = STR_INIT;
	int fd = connect_to(*data), other = connect_to(*data);

	hello(fd, &out);
	for (uint32_t i = 0; i < STREAMS; i++) {
		add_headers(&out, 2 * i + 1);
		add_frame(&out, RST_STREAM, 0, 2 * i + 1, "\0\0\0\x08", 4);
		if (i % BATCH == BATCH - 1 && send(fd, out.data, out.len, MSG_NOSIGNAL) < 0)
			break; /* the server had enough: fine */
		if (i % BATCH == BATCH - 1)
			str_clear(&out);
	}
	str_clear(&out);
	hello(other, &out);
	assert_true(call(other, 1, "\0\0\0\0\0", 5));
	close(fd);
	close(other);
	for (int i = 0; i < 1000 && rpc_server_calls(fixture_server(*data)); i++)
		usleep(10 * 1000);
	assert_int_equal(rpc_server_calls(fixture_server(*data)), 0);
}

/* Pings without end: the server says GOAWAY and closes. */
static void test_ping_flood(void **data)
{
	static struct frame frame;
	CLEANUP(str_done) struct str out = STR_INIT;
	int fd = connect_to(*data);
	bool ended = false;

	hello(fd, &out);
	for (int i = 0; i < 2000 && !ended; i++) {
		add_frame(&out, PING, 0, 0, "floodfl\n", 8);
		ended = send(fd, out.data, out.len, MSG_NOSIGNAL) < 0;
		str_clear(&out);
	}
	while (!ended && read_frame(fd, &frame))
		ended = frame.type == GOAWAY;
	assert_true(ended);
	close(fd);
	assert_serving(*data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_broken_framing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_http2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rapid_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ping_flood, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
