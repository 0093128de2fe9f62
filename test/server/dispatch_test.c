/*
 * Requests and answers over a real connection: what clients send wrongly, and how errors come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "proto/cri.pb-c.h"
#include "test/server/fakes.h"

static void test_unary(void **data)
{
	struct state *state = *data;

	assert_connected(state->client);
}

static void test_unknown_methods(void **data)
{
	struct state *state = *data;
	static const char *const paths[] = {
		"/runtime.v1.RuntimeService/Nothing",    "/runtime.v1.OtherService/Version",
		"/runtime.v1.RuntimeService/version",    "/runtime.v1.RuntimeService/Version/",
		"//runtime.v1.RuntimeService/Version",   "/runtime.v1alpha2.RuntimeService/Version",
		"/runtime.v1.RuntimeService/../Version", "/",
	};
	char *endless = xcalloc(1, 4001);

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		expect(state->client, &(struct client_request){ .path = paths[i] }, RPC_UNIMPLEMENTED,
		       paths[i]);
	memset(endless, '/', 4000);
	expect(state->client, &(struct client_request){ .path = endless }, RPC_UNIMPLEMENTED,
	       "unknown method");
	free(endless);
	expect(state->client, &(struct client_request){ .path = RUNTIME("Exec") }, RPC_UNIMPLEMENTED, "Exec");
	assert_connected(state->client);
}

static void test_large_request(void **data)
{
	struct state *state = *data;
	size_t len = 17 * 1024 * 1024;
	char *bytes = xcalloc(1, len);

	expect(state->client,
	       &(struct client_request){ .path = RUNTIME("Version"), .data = bytes, .len = len },
	       RPC_RESOURCE_EXHAUSTED, NULL);
	free(bytes);
	assert_connected(state->client);
}

/* Just below the limit a request is read, whatever it says. */
static void test_large_valid_request(void **data)
{
	struct state *state = *data;
	size_t len = 16 * 1024 * 1024 - 64;
	Cri__VersionRequest request = CRI__VERSION_REQUEST__INIT;
	ProtobufCMessage *answer;
	char *text = xcalloc(1, len + 1);

	memset(text, 'v', len);
	request.version = text;
	assert_int_equal(client_ask(state->client, RUNTIME("Version"), &request.base,
				    &cri__version_response__descriptor, &answer),
			 RPC_OK);
	assert_int_equal(strlen(((Cri__VersionResponse *)answer)->version), len);
	protobuf_c_message_free_unpacked(answer, NULL);
	free(text);
}

static void test_large_answer(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = IMAGE("PullImage") }, RPC_RESOURCE_EXHAUSTED,
	       "the answer has");
	assert_connected(state->client);
}

static void test_broken_requests(void **data)
{
	struct state *state = *data;
	static const struct {
		const char *bytes;
		size_t len;
		int code;
	} cases[] = {
		{ "\xff\xff\xff", 3, RPC_INTERNAL },
		{ "\x0a\x05"
		  "ab",
		  4, RPC_INTERNAL },                     /* shorter than it says */
		{ "\x0a\x02\xc3\x28", 4, RPC_INTERNAL }, /* not UTF-8 */
		{ "\x0a\x03"
		  "a\0b",
		  5, RPC_INVALID_ARGUMENT },     /* NUL in a string */
		{ "\x08\x01", 2, RPC_INTERNAL }, /* a number where text belongs */
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, RPC_INTERNAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		expect(state->client,
		       &(struct client_request){
			       .path = RUNTIME("Version"), .data = cases[i].bytes, .len = cases[i].len },
		       cases[i].code, NULL);
		assert_connected(state->client);
	}
	expect(state->client, &(struct client_request){ .path = RUNTIME("Version"), .no_message = true },
	       RPC_INTERNAL, "without a whole request");
	assert_connected(state->client);
}

static size_t gzip(const void *bytes, size_t len, uint8_t *out, size_t max)
{
	z_stream zlib = { 0 };

	assert_int_equal(
		deflateInit2(&zlib, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY),
		Z_OK);
	zlib.next_in = (Bytef *)bytes;
	zlib.avail_in = (uInt)len;
	zlib.next_out = out;
	zlib.avail_out = (uInt)max;
	assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
	deflateEnd(&zlib);
	return max - zlib.avail_out;
}

static void test_compressed(void **data)
{
	struct state *state = *data;
	struct client *client = client_new(fixture_socket(state->fixture), true);
	size_t bomb_len = 64 * 1024 * 1024, len;
	uint8_t *bomb = xcalloc(1, bomb_len), *packed = xmalloc(1024 * 1024);
	struct client_request request = { .path = RUNTIME("Version"), .data = packed, .compressed = true };

	request.len = gzip("\x0a\x05"
			   "0.1.0",
			   7, packed, 1024 * 1024);
	expect(client, &request, RPC_OK, NULL);
	request.len -= 9; /* cut short */
	expect(client, &request, RPC_INTERNAL, "cut short");
	len = gzip("\x0a\x05"
		   "0.1.0",
		   7, packed, 1024 * 1024);
	packed[len] = 'x';
	request.len = len + 1;
	expect(client, &request, RPC_INTERNAL, "bytes follow");
	packed[12] ^= 0xff;
	request.len = len;
	expect(client, &request, RPC_INTERNAL, "broken");
	request.len = gzip(bomb, bomb_len, packed, 1024 * 1024);
	expect(client, &request, RPC_RESOURCE_EXHAUSTED, "decompressed");
	assert_connected(client);
	/* gRPC itself compresses what is worth it: a long text. */
	memset(bomb, 'a', 4 + 99997);
	memcpy(bomb, "\x0a\x9d\x8d\x06", 4);
	expect(client, &(struct client_request){ .path = RUNTIME("Version"), .data = bomb, .len = 4 + 99997 },
	       RPC_OK, NULL);
	free(bomb);
	free(packed);
	client_free(client);
}

/* The flag says compressed, no encoding is named: the bytes are no message then. */
static void test_compression_lie(void **data)
{
	struct state *state = *data;
	struct client_answer answer;
	struct client_request request = {
		.path = RUNTIME("Version"), .data = "\x1f\x8b\x08", .len = 3, .lie = true
	};

	client_run(state->client, &request, &answer);
	assert_int_not_equal(answer.code, RPC_OK);
	client_answer_done(&answer);
	assert_connected(state->client);
}

/* Headers past the limit cost the call, perhaps the connection, but never the server. */
static void test_large_headers(void **data)
{
	struct state *state = *data;
	char *value = xcalloc(1, 1000001);
	struct client *other = client_new(fixture_socket(state->fixture), false);
	struct client_answer answer;

	memset(value, 'h', 1000000);
	client_run(other, &(struct client_request){ .path = RUNTIME("Version"), .big_header = value },
		   &answer);
	assert_int_not_equal(answer.code, RPC_OK);
	client_answer_done(&answer);
	client_free(other);
	value[20000] = '\0';
	expect(state->client, &(struct client_request){ .path = RUNTIME("Version"), .big_header = value },
	       RPC_RESOURCE_EXHAUSTED, NULL);
	free(value);
	for (int i = 0; i < 100 && !answers(state->client);
	     i++) /* gRPC may have dropped the connection, too */
		usleep(20 * 1000);
	assert_connected(state->client);
}

static void test_error_texts(void **data)
{
	struct state *state = *data;

	expect(state->client, &(struct client_request){ .path = RUNTIME("RemoveContainer") },
	       RPC_FAILED_PRECONDITION, "100% of \xc3\xa4 \xef\xbf\xbd  two\nlines");
	expect(state->client, &(struct client_request){ .path = RUNTIME("ContainerStatus") }, RPC_INTERNAL,
	       "ContainerStatus failed without a reason");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unary),         TEST(test_unknown_methods),
		TEST(test_large_request), TEST(test_large_valid_request),
		TEST(test_large_answer),  TEST(test_broken_requests),
		TEST(test_compressed),    TEST(test_compression_lie),
		TEST(test_large_headers), TEST(test_error_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
