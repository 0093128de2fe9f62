/*
 * Trace contexts read from metadata, sampling, and the sender against a collector of the test's own: an HTTP
 * server that decodes what it is sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/lock.h"
#include "proto/otlp.pb-c.h"
#include "server/trace/tracer.h"

#define PATIENCE (60 * NS_PER_SEC)

static const char parent_text[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/* ---- contexts ---- */

static void a_context_is_read(void **state UNUSED)
{
	struct trace_context context = { 0 };
	char hex[2 * TRACE_ID_SIZE + 1];

	assert_true(trace_context_parse(parent_text, strlen(parent_text), &context));
	assert_true(context.sampled);
	hex_encode(context.trace_id, TRACE_ID_SIZE, hex);
	assert_string_equal(hex, "0af7651916cd43dd8448eb211c80319c");
	hex_encode(context.span_id, TRACE_SPAN_ID_SIZE, hex);
	assert_string_equal(hex, "b7ad6b7169203331");
	assert_true(
		trace_context_parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02", 55, &context));
	assert_false(context.sampled);
	/* a later version, with more behind */
	assert_true(trace_context_parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", 57,
					&context));
	assert_true(context.sampled);
}

static void bad_contexts_are_none(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"00",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
		"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
		"0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
	};
	struct trace_context context = { .sampled = true };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (trace_context_parse(bad[i], strlen(bad[i]), &context))
			fail_msg("accepted: %s", bad[i]);
	assert_true(context.sampled); /* as it was */
}

static void the_binary_form_is_read(void **state UNUSED)
{
	uint8_t data[29] = { [0] = 0, [1] = 0, [2] = 7, [18] = 1, [19] = 9, [27] = 2, [28] = 1 };
	struct trace_context context;

	assert_true(trace_context_parse_binary(data, sizeof(data), &context));
	assert_true(context.sampled);
	assert_int_equal(context.trace_id[0], 7);
	assert_int_equal(context.span_id[0], 9);
	assert_false(trace_context_parse_binary(data, sizeof(data) - 1, &context));
	data[28] = 0;
	assert_true(trace_context_parse_binary(data, sizeof(data), &context));
	assert_false(context.sampled);
	data[27] = 3;
	assert_false(trace_context_parse_binary(data, sizeof(data), &context));
	data[27] = 2;
	data[19] = 0; /* no span */
	assert_false(trace_context_parse_binary(data, sizeof(data), &context));
}

static void the_rate_is_kept(void **state UNUSED)
{
	uint8_t id[TRACE_ID_SIZE];
	int sampled = 0;

	for (int i = 0; i < 20000; i++) {
		random_bytes(id, sizeof(id));
		assert_false(trace_id_is_sampled(id, 0));
		assert_true(trace_id_is_sampled(id, 1000000));
		sampled += trace_id_is_sampled(id, 250000);
	}
	/* 5000 expected; beyond 10 standard deviations it is no chance */
	assert_in_range(sampled, 4380, 5620);
}

/* ---- the collector ---- */

struct collector {
	int listener, port;
	pthread_t thread;
	struct lock lock;
	struct cond changed;
	/* under lock */
	bool stopping;
	int refusals; /* so many requests are answered with 503 first */
	bool silent;  /* nothing is answered */
	int posts;    /* whole requests that were read */
	Otlp__ExportTraceServiceRequest *requests[64];
	size_t requests_len;
};

static size_t read_request(int fd, char *data, size_t size)
{
	size_t len = 0, wanted = size;

	while (len < wanted) {
		ssize_t got = recv(fd, data + len, size - len, 0);
		const char *end, *length;

		if (got <= 0)
			return 0;
		len += (size_t)got;
		data[len < size ? len : size - 1] = '\0';
		end = strstr(data, "\r\n\r\n");
		length = strcasestr(data, "\ncontent-length:");
		if (end && length && length < end)
			wanted = (size_t)(end + 4 - data) + strtoul(length + 16, NULL, 10);
		/* libcurl asks before it sends much */
		if (end && wanted > len && strcasestr(data, "expect: 100-continue"))
			(void)!write(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		assert_true(wanted <= size);
	}
	return len;
}

static void take(struct collector *collector, const char *data, size_t len)
{
	const char *body = strstr(data, "\r\n\r\n") + 4;
	ProtobufCMessage *message;

	assert_non_null(strstr(data, "POST /v1/traces HTTP/1.1\r\n"));
	assert_non_null(strcasestr(data, "content-type: application/x-protobuf\r\n"));
	message = protobuf_c_message_unpack(&otlp__export_trace_service_request__descriptor, NULL,
					    len - (size_t)(body - data), (const uint8_t *)body);
	assert_non_null(message);
	assert_true(collector->requests_len < ARRAY_LEN(collector->requests));
	collector->requests[collector->requests_len++] = (Otlp__ExportTraceServiceRequest *)message;
}

static void answer(struct collector *collector, int fd)
{
	static char data[1 << 20];
	size_t len = read_request(fd, data, sizeof(data));
	const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	bool silent;

	if (!len)
		return;
	lock_take(&collector->lock);
	collector->posts++;
	silent = collector->silent;
	if (collector->refusals) {
		collector->refusals--;
		text = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	} else if (!silent) {
		take(collector, data, len);
	}
	cond_broadcast(&collector->changed);
	while (silent && !collector->stopping)
		cond_wait(&collector->changed, &collector->lock);
	lock_drop(&collector->lock);
	if (!silent)
		(void)!write(fd, text, strlen(text));
}

static void *collect(void *data)
{
	struct collector *collector = data;

	for (;;) {
		CLEANUP(fd_closep) int fd = accept(collector->listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		answer(collector, fd);
	}
}

static int set_up(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct collector *collector = xnew(struct collector);
	socklen_t len = sizeof(address);

	collector->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(collector->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(collector->listener, 16), 0);
	assert_int_equal(getsockname(collector->listener, (struct sockaddr *)&address, &len), 0);
	collector->port = ntohs(address.sin_port);
	lock_init(&collector->lock, "collector", LOCK_SERVER);
	cond_init(&collector->changed);
	assert_int_equal(pthread_create(&collector->thread, NULL, collect, collector), 0);
	*state = collector;
	return 0;
}

static int tear_down(void **state)
{
	struct collector *collector = *state;

	lock_take(&collector->lock);
	collector->stopping = true;
	cond_broadcast(&collector->changed);
	lock_drop(&collector->lock);
	shutdown(collector->listener, SHUT_RDWR);
	pthread_join(collector->thread, NULL);
	close(collector->listener);
	for (size_t i = 0; i < collector->requests_len; i++)
		protobuf_c_message_free_unpacked(&collector->requests[i]->base, NULL);
	cond_done(&collector->changed);
	lock_done(&collector->lock);
	free(collector);
	return 0;
}

static void wait_for(struct collector *collector, int posts, size_t requests)
{
	int64_t deadline = clock_deadline_in(PATIENCE);
	bool in_time = true;

	lock_take(&collector->lock);
	while ((collector->posts < posts || collector->requests_len < requests) && in_time)
		in_time = cond_wait_until(&collector->changed, &collector->lock, deadline);
	lock_drop(&collector->lock);
	assert_true(in_time);
}

static struct tracer *tracer_for(const struct collector *collector, int64_t rate)
{
	CLEANUP(freep) char *endpoint = xasprintf("127.0.0.1:%d", collector->port);
	struct config_tracing config = { true, endpoint, rate };
	struct err err = { 0 };
	struct tracer *tracer = tracer_new(&config, &err);

	if (!tracer)
		fail_msg("%s", err.text);
	return tracer;
}

/* A call with this metadata; NULL: none. True when it is sampled. */
static bool call(struct tracer *tracer, const char *traceparent, const struct trace_facts *facts)
{
	grpc_metadata item = { .key = grpc_slice_from_static_string("traceparent") };
	grpc_metadata_array metadata = { .count = traceparent != NULL, .metadata = &item };
	struct trace_span span;

	if (traceparent)
		item.value = grpc_slice_from_static_string(traceparent);
	tracer_begin(tracer, &metadata, &span);
	tracer_end(tracer, &span, facts);
	return span.sampled;
}

static const Otlp__AnyValue *attribute(const Otlp__Span *span, const char *key)
{
	for (size_t i = 0; i < span->n_attributes; i++)
		if (strcmp(span->attributes[i]->key, key) == 0)
			return span->attributes[i]->value;
	return NULL;
}

static const Otlp__Span *span_at(const struct collector *collector, size_t at)
{
	const Otlp__ExportTraceServiceRequest *request = collector->requests[0];

	assert_int_equal(request->n_resource_spans, 1);
	assert_int_equal(request->resource_spans[0]->n_scope_spans, 1);
	assert_string_equal(request->resource_spans[0]->resource->attributes[0]->key, "service.name");
	assert_string_equal(request->resource_spans[0]->resource->attributes[0]->value->string_value,
			    "crispd");
	assert_true(request->resource_spans[0]->scope_spans[0]->n_spans > at);
	return request->resource_spans[0]->scope_spans[0]->spans[at];
}

static const struct trace_facts version = { .service = "RuntimeService", .method = "Version" };

static void spans_arrive_whole(void **state)
{
	struct collector *collector = *state;
	struct tracer *tracer = tracer_for(collector, 1000000);
	uint64_t sent = metric_get_at(&metric_spans_sent, 0, 0);
	struct trace_facts facts = { .service = "RuntimeService",
				     .method = "StopPodSandbox",
				     .pod = "p1",
				     .name = "a/b",
				     .image = "\xff" };
	int64_t before = clock_real();
	char hex[2 * TRACE_ID_SIZE + 1];
	struct err err;

	err_set(&err, RPC_UNAVAILABLE, "no network");
	facts.err = &err;
	assert_true(call(tracer, parent_text, &facts));
	assert_true(call(tracer, NULL, &version));
	wait_for(collector, 1, 1);
	tracer = tracer_free(tracer);

	const Otlp__Span *span = span_at(collector, 0);
	assert_string_equal(span->name, "runtime.v1.RuntimeService/StopPodSandbox");
	assert_int_equal(span->kind, OTLP__SPAN__SPAN_KIND__SPAN_KIND_SERVER);
	assert_int_equal(span->trace_id.len, 16);
	hex_encode(span->trace_id.data, 16, hex);
	assert_string_equal(hex, "0af7651916cd43dd8448eb211c80319c");
	assert_int_equal(span->span_id.len, 8);
	assert_int_equal(span->parent_span_id.len, 8);
	hex_encode(span->parent_span_id.data, 8, hex);
	assert_string_equal(hex, "b7ad6b7169203331");
	assert_true((int64_t)span->start_time_unix_nano >= before);
	assert_true(span->end_time_unix_nano >= span->start_time_unix_nano);
	assert_int_equal(span->status->code, OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR);
	assert_string_equal(span->status->message, "no network");
	assert_string_equal(attribute(span, "rpc.system")->string_value, "grpc");
	assert_string_equal(attribute(span, "crisp.pod.id")->string_value, "p1");
	assert_int_equal(attribute(span, "rpc.grpc.status_code")->int_value, RPC_UNAVAILABLE);
	assert_null(attribute(span, "container.id"));

	span = span_at(collector, 1); /* a root */
	assert_int_equal(span->trace_id.len, 16);
	assert_int_equal(span->parent_span_id.len, 0);
	assert_int_equal(span->status->code, OTLP__STATUS__STATUS_CODE__STATUS_CODE_UNSET);
	assert_int_equal(attribute(span, "rpc.grpc.status_code")->int_value, 0);
	assert_int_equal(metric_get_at(&metric_spans_sent, 0, 0), sent + 2);
}

static void the_client_decides(void **state)
{
	struct tracer *tracer = tracer_for(*state, 0);
	struct tracer *all = tracer_for(*state, 1000000);

	assert_false(call(tracer, NULL, &version));
	assert_true(call(tracer, parent_text, &version));
	assert_false(call(all, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", &version));
	assert_true(call(all, "nonsense", &version)); /* as if not sent */
	assert_false(call(NULL, parent_text, &version));
	tracer_free(tracer);
	tracer_free(all);
}

static void a_busy_collector_is_tried_again(void **state)
{
	struct collector *collector = *state;
	struct tracer *tracer = tracer_for(collector, 1000000);
	uint64_t dropped = metric_get_at(&metric_spans_dropped, 0, 0);

	lock_take(&collector->lock);
	collector->refusals = 1;
	lock_drop(&collector->lock);
	call(tracer, NULL, &version);
	wait_for(collector, 2, 1);
	tracer_free(tracer);
	assert_int_equal(metric_get_at(&metric_spans_dropped, 0, 0), dropped);
}

/* Nobody waits for it: calls end, the queue is bounded, what does not fit is counted, and so is the end. */
static void a_silent_collector_holds_up_nobody(void **state)
{
	enum { MANY = 6000, KEPT = 2048 + 512 };
	struct collector *collector = *state;
	struct tracer *tracer = tracer_for(collector, 1000000);
	uint64_t dropped = metric_get_at(&metric_spans_dropped, 0, 0);
	uint64_t sent = metric_get_at(&metric_spans_sent, 0, 0);

	lock_take(&collector->lock);
	collector->silent = true;
	lock_drop(&collector->lock);
	for (int i = 0; i < MANY; i++)
		call(tracer, NULL, &version);
	assert_true(metric_get_at(&metric_spans_dropped, 0, 0) - dropped >= MANY - KEPT);
	tracer_free(tracer);
	/* All but what was in the queue when the time was over, which nobody counts any more. */
	assert_int_equal(metric_get_at(&metric_spans_sent, 0, 0), sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_context_is_read),
		cmocka_unit_test(bad_contexts_are_none),
		cmocka_unit_test(the_binary_form_is_read),
		cmocka_unit_test(the_rate_is_kept),
		cmocka_unit_test_setup_teardown(spans_arrive_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_client_decides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_busy_collector_is_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_silent_collector_holds_up_nobody, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
