/*
 * SPDY: frames captured of real clients, what is answered byte by byte, and what ends a connection.
 */
#include "server/streaming/spdy.h"
#include "test/streaming/peer.h"

struct log {
	struct spdy spdy;
	char text[8192];
	bool reply;
};

static void note(struct log *log, const char *fmt, ...) PRINTF(2, 3);
static void note(struct log *log, const char *fmt, ...)
{
	size_t len = strlen(log->text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(log->text + len, sizeof(log->text) - len, fmt, args);
	va_end(args);
}

static void on_opened(void *data, uint32_t id, const struct spdy_headers *headers)
{
	struct log *log = data;

	note(log, "open %u %s %s %s\n", id, headers->stream_type, headers->port, headers->request_id);
	if (log->reply)
		spdy_reply(&log->spdy, id);
}

static void on_received(void *data, uint32_t id, const uint8_t *bytes, size_t len)
{
	note(data, "data %u %.*s\n", id, (int)len, (const char *)bytes);
}

static void on_ended(void *data, uint32_t id, bool reset)
{
	note(data, "%s %u\n", reset ? "reset" : "end", id);
}

static const struct spdy_events events = { on_opened, on_received, on_ended };

/* As crictl sent it: exec, no terminal, no stdin. */
static const uint8_t captured[] = {
	0x80, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0x62, 0x60, 0x60, 0x60, 0x04, 0xa7, 0xb3, 0x92, 0xa2, 0xd4,
	0xc4, 0x5c, 0x68, 0x51, 0xc2, 0x9a, 0x0a, 0x0a, 0x68, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x80, 0x03,
	0x00, 0x01, 0x00, 0x00, 0x00, 0x19, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc2,
	0x2a, 0xc5, 0x56, 0x5c, 0x92, 0x92, 0x5f, 0x5a, 0x02, 0x00, 0x00, 0x00, 0xff, 0xff, 0x80, 0x03, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x15, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc2, 0x29,
	0x97, 0x5a, 0x54, 0x04, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x03, 0x01, 0x00, 0x00, 0x00,
	0x80, 0x03, 0x00, 0x06, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01, 0x80, 0x03, 0x00, 0x07, 0x00,
	0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void log_init(struct log *log)
{
	*log = (struct log){ .reply = true };
	spdy_init(&log->spdy, &events, log);
}

static void test_captured(void **state)
{
	(void)state;
	for (size_t step = 1; step <= sizeof(captured); step += 6) {
		struct log log;
		struct err err = { 0 };

		log_init(&log);
		for (size_t at = 0; at < sizeof(captured); at += step)
			assert_ok(spdy_feed(&log.spdy, captured + at,
					    at + step < sizeof(captured) ? step : sizeof(captured) - at,
					    &err));
		assert_string_equal(log.text, "open 1 error  \nopen 3 stdout  \nopen 5 stderr  \nend 3\n");
		assert_true(log.spdy.gone_away);
		spdy_done(&log.spdy);
	}
}

static void test_answers(void **state)
{
	static const uint8_t first[] = { 0x80, 0x03, 0x00, 0x02, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00,
					 0x01, 0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2, 0x00, 0x04, 0x00, 0xfb,
					 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff };
	static const uint8_t second[] = { 0x80, 0x03, 0x00, 0x02, 0x00, 0x00, 0x00, 0x12, 0x00,
					  0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0xfb, 0xff, 0x00,
					  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff };
	static const uint8_t ping[] = {
		0x80, 0x03, 0x00, 0x06, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01
	};
	struct err err = { 0 };
	struct log log;

	(void)state;
	log_init(&log);
	/* Nothing before the first stream, not even a ping's answer. */
	assert_ok(spdy_feed(&log.spdy, ping, sizeof(ping), &err));
	spdy_go_away(&log.spdy);
	assert_int_equal(log.spdy.out.len, 0);
	assert_ok(spdy_feed(&log.spdy, captured, 49 + 33, &err));
	assert_int_equal(log.spdy.out.len, sizeof(first) + sizeof(second));
	assert_memory_equal(queue_front(&log.spdy.out), first, sizeof(first));
	assert_memory_equal(queue_front(&log.spdy.out) + sizeof(first), second, sizeof(second));
	queue_clear(&log.spdy.out);
	assert_ok(spdy_feed(&log.spdy, ping, sizeof(ping), &err));
	assert_int_equal(log.spdy.out.len, sizeof(ping));
	assert_memory_equal(queue_front(&log.spdy.out), ping, sizeof(ping));
	spdy_done(&log.spdy);
}

static void test_sending(void **state)
{
	static char large[SPDY_DATA_MAX + 10];
	struct log log;

	(void)state;
	log_init(&log);
	spdy_send(&log.spdy, 5, "ab", 2, true);
	assert_memory_equal(queue_front(&log.spdy.out), "\0\0\0\5\1\0\0\2ab", 10);
	queue_clear(&log.spdy.out);
	spdy_send(&log.spdy, 5, large, sizeof(large), true);
	assert_int_equal(log.spdy.out.len, sizeof(large) + 16);
	assert_memory_equal(queue_front(&log.spdy.out), "\0\0\0\5\0\1\0\0", 8);
	assert_memory_equal(queue_front(&log.spdy.out) + 8 + SPDY_DATA_MAX, "\0\0\0\5\1\0\0\12", 8);
	queue_clear(&log.spdy.out);
	memcpy(spdy_send_room(&log.spdy), "xyz", 3);
	spdy_send_grown(&log.spdy, 7, 3);
	assert_int_equal(log.spdy.out.len, 11);
	assert_memory_equal(queue_front(&log.spdy.out), "\0\0\0\7\0\0\0\3xyz", 11);
	spdy_done(&log.spdy);
}

static void test_port_forward_headers(void **state)
{
	static const char *const pairs[] = { "streamtype", "data", "port", "80", "requestid", "17", NULL };
	CLEANUP(queue_done) struct queue in = { 0 };
	struct packer packer = { 0 };
	struct err err = { 0 };
	struct log log;

	(void)state;
	log_init(&log);
	put_syn(&in, &packer, 1, pairs);
	put_data(&in, 1, "hello", 5, false);
	put_u32_control(&in, 3, 1, 5, 2);
	put_u32_control(&in, 9, 1, 5, 2); /* WINDOW_UPDATE */
	assert_ok(spdy_feed(&log.spdy, queue_front(&in), in.len, &err));
	assert_string_equal(log.text, "open 1 data 80 17\ndata 1 hello\nreset 1\n");
	spdy_done(&log.spdy);
	packer_done(&packer);
}

/* Each ends the connection. */
static void expect_refusal(const struct queue *in, const char *text)
{
	struct err err = { 0 };
	struct log log;

	log_init(&log);
	assert_fails(spdy_feed(&log.spdy, queue_front(in), in->len, &err), RPC_INVALID_ARGUMENT);
	if (!strstr(err.text, text))
		fail_msg("%s: %s expected", err.text, text);
	spdy_done(&log.spdy);
}

static void test_bad_frames(void **state)
{
	static const char *const pairs[] = { "streamtype", "error", NULL };
	CLEANUP(queue_done) struct queue in = { 0 };
	struct packer packer = { 0 };

	(void)state;
	put_syn(&in, &packer, 2, pairs);
	expect_refusal(&in, "out of order");
	queue_clear(&in);
	packer_done(&packer);
	put_syn(&in, &packer, 3, pairs);
	put_syn(&in, &packer, 3, pairs);
	expect_refusal(&in, "out of order");
	queue_clear(&in);
	put_data(&in, 0, "x", 1, false);
	expect_refusal(&in, "stream 0");
	queue_clear(&in);
	queue_add(&in, "\x80\x02\0\1\0\0\0\0", 8);
	expect_refusal(&in, "version");
	queue_clear(&in);
	queue_add(&in, "\x80\x03\0\1\0\xff\xff\xff", 8);
	expect_refusal(&in, "control frame");
	queue_clear(&in);
	queue_add(&in, "\x80\x03\0\3\0\0\0\1x", 9);
	expect_refusal(&in, "short");
	packer_done(&packer);
}

/* 60 KiB of one letter are less than 100 bytes on the wire. */
static void test_bomb(void **state)
{
	static char large[SPDY_HEADERS_MAX];
	const char *const pairs[] = { "streamtype", large, NULL };
	CLEANUP(queue_done) struct queue in = { 0 };
	struct packer packer = { 0 };

	(void)state;
	memset(large, 'a', sizeof(large) - 1);
	put_syn(&in, &packer, 1, pairs);
	assert_true(in.len < 200);
	expect_refusal(&in, "too long");
	packer_done(&packer);
}

static void test_header_blocks(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool good;
	} cases[] = {
		{ "\0\0\0\0", 4, true },
		{ "\0\0\0\1\0\0\0\4port\0\0\0\2"
		  "80",
		  18, true },
		{ "", 0, false },
		{ "\0\0\0\1", 4, false },
		{ "\0\0\0\1\0\0\0\4po", 10, false },
		{ "\0\0\0\1\377\377\377\377port", 12, false },
		{ "\0\0\0\0x", 5, false },
		{ "\0\1\0\0", 4, false },
	};
	struct spdy_headers headers;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if ((spdy_headers_parse((const uint8_t *)cases[i].bytes, cases[i].len, &headers, &err) ==
		     0) != cases[i].good)
			fail_msg("case %zu", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captured),      cmocka_unit_test(test_answers),
		cmocka_unit_test(test_sending),       cmocka_unit_test(test_port_forward_headers),
		cmocka_unit_test(test_bad_frames),    cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_header_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
