/*
 * Channels over SPDY and WebSocket, the statuses of each version, terminal sizes.
 */
#include "server/streaming/resize.h"
#include "server/streaming/websocket.h"
#include "server/streaming/wire.h"
#include "test/streaming/peer.h"

struct log {
	char text[4096];
};

static void on_received(void *data, enum channel channel, const uint8_t *bytes, size_t len)
{
	struct log *log = data;
	size_t at = strlen(log->text);

	snprintf(log->text + at, sizeof(log->text) - at, "%d:%.*s\n", channel, (int)len, (const char *)bytes);
}

static void on_ended(void *data, enum channel channel)
{
	struct log *log = data;
	size_t at = strlen(log->text);

	snprintf(log->text + at, sizeof(log->text) - at, "%d ended\n", channel);
}

static const struct wire_events events = { on_received, on_ended };

static struct wire_options options_of(struct log *log, int version, bool base64)
{
	*log = (struct log){ 0 };
	return (struct wire_options){ .version = version,
				      .base64 = base64,
				      .channels = 1 << CHANNEL_STDIN | 1 << CHANNEL_STDOUT |
						  1 << CHANNEL_ERROR | 1 << CHANNEL_RESIZE,
				      .events = &events,
				      .data = log };
}

static void feed(struct wire *wire, const struct queue *in)
{
	struct err err = { 0 };

	/* In crumbs, as clients do. */
	for (size_t i = 0; i < in->len; i++)
		assert_ok(wire_feed(wire, queue_front(in) + i, 1, &err));
}

static void expect_out(struct wire *wire, const void *bytes, size_t len)
{
	assert_int_equal(wire_out(wire)->len, len);
	assert_memory_equal(queue_front(wire_out(wire)), bytes, len);
	queue_clear(wire_out(wire));
}

static void test_websocket_v5(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct log log;
	struct wire_options options = options_of(&log, 5, false);
	struct wire *wire = wire_new_websocket(&options);
	const struct status status = { 0 };

	(void)state;
	assert_true(wire_ready(wire));
	put_message(&in, 0x82, "\0abc", 4);
	put_message(&in, 0x02, "\0de", 3); /* in two frames */
	put_message(&in, 0x80, "f", 1);
	put_message(&in, 0x82, "\1no", 3); /* for stdout: ignored */
	put_message(&in, 0x82, "\4{}", 3);
	put_message(&in, 0x82, "\377\0", 2);
	put_message(&in, 0x89, "hi", 2); /* ping */
	feed(wire, &in);
	assert_string_equal(log.text, "0:a\n0:b\n0:c\n0:d\n0:e\n0:f\n4:{\n4:}\n0 ended\n");
	expect_out(wire, "\x8a\2hi", 4);
	wire_send(wire, CHANNEL_STDOUT, "hello", 5);
	expect_out(wire, "\x82\6\1hello", 8);
	wire_send(wire, CHANNEL_STDERR, "not asked for", 13);
	expect_out(wire, "", 0);
	wire_finish(wire, &status);
	expect_out(wire, "\x82\x23\3{\"status\":\"Success\",\"metadata\":{}}\x88\2\3\350", 41);
	wire_free(wire);
}

static void test_websocket_base64(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct log log;
	struct wire_options options = options_of(&log, 4, true);
	struct wire *wire = wire_new_websocket(&options);

	(void)state;
	put_message(&in, 0x81, "0aGVsbG8=", 9);
	put_message(&in, 0x81, "0!!!!", 5);
	put_message(&in, 0x81, "9aGVsbG8=", 9);
	feed(wire, &in);
	assert_string_equal(log.text, "0:hello\n");
	wire_send(wire, CHANNEL_STDOUT, "hello", 5);
	expect_out(wire,
		   "\x81\x09"
		   "1aGVsbG8=",
		   11);
	wire_free(wire);
}

static void expect_breach(const void *bytes, size_t len)
{
	struct log log;
	struct err err = { 0 };
	struct wire_options options = options_of(&log, 5, false);
	struct wire *wire = wire_new_websocket(&options);

	assert_fails(wire_feed(wire, bytes, len, &err), RPC_INVALID_ARGUMENT);
	wire_free(wire);
}

static void test_websocket_breaches(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };

	(void)state;
	expect_breach("\x82\4\0abc", 6);                         /* not masked */
	expect_breach("\xc2\x84\0\0\0\0\0abc", 10);              /* a reserved bit */
	expect_breach("\x83\x84\0\0\0\0\0abc", 10);              /* a reserved opcode */
	expect_breach("\x89\xfe\0\200\0\0\0\0", 8);              /* a ping of 128 bytes */
	expect_breach("\x80\x81\0\0\0\0x", 7);                   /* continues nothing */
	expect_breach("\x82\xff\377\0\0\0\0\0\0\0\0\0\0\0", 14); /* a negative length */
	put_message(&in, 0x02, "\0a", 2);
	put_message(&in, 0x82, "\0b", 2); /* a message inside a message */
	expect_breach(queue_front(&in), in.len);
}

static void test_websocket_close(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct log log;
	struct wire_options options = options_of(&log, 5, false);
	struct wire *wire = wire_new_websocket(&options);

	(void)state;
	put_message(&in, 0x88, "\3\350", 2);
	feed(wire, &in);
	assert_true(wire_closed(wire));
	expect_out(wire, "\x88\2\3\350", 4);
	wire_free(wire);
}

static void test_accept(void **state)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];

	(void)state;
	websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", accept); /* RFC 6455, section 1.3 */
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void open_stream(struct queue *in, struct packer *packer, uint32_t id, const char *type)
{
	const char *const pairs[] = { "streamtype", type, NULL };

	put_syn(in, packer, id, pairs);
}

static void test_spdy(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct packer packer = { 0 };
	struct log log;
	struct wire_options options = options_of(&log, 4, false);
	struct wire *wire = wire_new_spdy(&options);
	const struct status status = { .exit_code = 7 };
	static const char expected[] =
		"\0\0\0\1\0\0\0\250{\"status\":\"Failure\",\"metadata\":{},\"message\":\"command terminated with exit "
		"code 7\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":"
		"\"7\"}]}}"
		"\0\0\0\3\1\0\0\0\0\0\0\5\1\0\0\0\0\0\0\1\1\0\0\0\0\0\0\7\1\0\0\0"
		"\x80\3\0\7\0\0\0\x8\0\0\0\xb\0\0\0\0";

	(void)state;
	open_stream(&in, &packer, 1, "error");
	open_stream(&in, &packer, 3, "stdin");
	open_stream(&in, &packer, 5, "stdout");
	put_data(&in, 3, "x", 1, false);
	feed(wire, &in);
	assert_false(wire_ready(wire));
	queue_clear(&in);
	open_stream(&in, &packer, 7, "resize");
	open_stream(&in, &packer, 9, "stdin"); /* a second one: refused */
	open_stream(&in, &packer, 11, "strange");
	put_data(&in, 3, "", 0, true);
	feed(wire, &in);
	assert_true(wire_ready(wire));
	assert_string_equal(log.text, "0:x\n0 ended\n");
	queue_clear(wire_out(wire));
	wire_send(wire, CHANNEL_STDOUT, "out", 3);
	expect_out(wire, "\0\0\0\5\0\0\0\3out", 11);
	wire_finish(wire, &status);
	expect_out(wire, expected, sizeof(expected) - 1);
	wire_free(wire);
	packer_done(&packer);
}

/* A client that resets the error stream does not want to know any more. */
static void test_spdy_left(void **state)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct packer packer = { 0 };
	struct log log;
	struct wire_options options = options_of(&log, 4, false);
	struct wire *wire = wire_new_spdy(&options);

	(void)state;
	open_stream(&in, &packer, 1, "error");
	feed(wire, &in);
	assert_false(wire_closed(wire));
	queue_clear(&in);
	put_u32_control(&in, 3, 1, 5, 2);
	feed(wire, &in);
	assert_true(wire_closed(wire));
	wire_free(wire);
	packer_done(&packer);
}

static void test_status(void **state)
{
	static const struct {
		struct status status;
		int version;
		const char *text;
	} cases[] = {
		{ { 0 }, 4, "{\"status\":\"Success\",\"metadata\":{}}" },
		{ { 0 }, 3, "" },
		{ { .exit_code = 137 }, 1, "command terminated with exit code 137" },
		{ { .failed = true, .err = { RPC_INTERNAL, "no \"x\"" } }, 3, "no \"x\"" },
		{ { .failed = true, .err = { RPC_INTERNAL, "no \"x\"" } },
		  5,
		  "{\"status\":\"Failure\",\"metadata\":{},\"message\":\"no \\\"x\\\"\",\"reason\":\"InternalError\","
		  "\"code\":500}" },
		{ { .failed = true, .err = { RPC_INTERNAL, "\xff" } },
		  5,
		  "{\"status\":\"Failure\",\"metadata\":{},\"message\":\"the cause cannot be told in UTF-8\",\"reason\":"
		  "\"InternalError\",\"code\":500}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text CLEANUP(str_done) = STR_INIT;

		status_write(&cases[i].status, cases[i].version, &text);
		assert_string_equal(str_get(&text), cases[i].text);
	}
}

static void test_resize(void **state)
{
	static const struct {
		const char *text;
		int width, height; /* 0: no size */
	} cases[] = {
		{ "{\"Width\":80,\"Height\":24}\n", 80, 24 },
		{ "{\"Width\":80,\"Height\":24}{\"Width\":65535,\"Height\":1}", 65535, 1 },
		{ "{\"Width\":0,\"Height\":24}", 0, 0 },
		{ "{\"Width\":80}", 0, 0 },
		{ "{\"Width\":65536,\"Height\":24}", 0, 0 },
		{ "{\"Width\":\"80\",\"Height\":24}", 0, 0 },
		{ "}}}}[[nonsense}{\"Width\":5,\"Height\":6}", 5, 6 },
	};
	char flood[2 * RESIZE_TEXT_MAX];
	struct resize resize = { 0 };
	struct terminal_size size;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool any = false;

		resize = (struct resize){ 0 };
		size = (struct terminal_size){ 0 };
		for (const char *c = cases[i].text; *c; c++)
			any = resize_feed(&resize, (const uint8_t *)c, 1, &size) || any;
		assert_int_equal(any, cases[i].width != 0);
		assert_int_equal(size.width, cases[i].width);
		assert_int_equal(size.height, cases[i].height);
	}
	memset(flood, ' ', sizeof(flood));
	assert_false(resize_feed(&resize, (uint8_t *)flood, sizeof(flood), &size));
	assert_false(resize_feed(&resize, (const uint8_t *)"}", 1, &size));
	assert_true(resize_feed(&resize, (const uint8_t *)cases[0].text, 24, &size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_websocket_v5),
		cmocka_unit_test(test_websocket_base64),
		cmocka_unit_test(test_websocket_breaches),
		cmocka_unit_test(test_websocket_close),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_spdy),
		cmocka_unit_test(test_spdy_left),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_resize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
