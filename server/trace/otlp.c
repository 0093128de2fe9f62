/*
 * Attributes are named as OpenTelemetry's conventions for RPCs have them (semantic-conventions, rpc), the ids
 * of pods and containers as for Kubernetes and containers; what has no convention begins with "crisp.".
 */
#include "server/trace/otlp.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "proto/message.h"
#include "proto/otlp.pb-c.h"
#include "proto/utf8.h"

enum { ATTRIBUTES_MAX = 8 };

struct ended_span *ended_span_new(const struct trace_span *span, const struct trace_facts *facts)
{
	struct ended_span *ended = xnew(struct ended_span);

	ended->span = *span;
	ended->ended = clock_real();
	if (ended->ended < span->began) /* the clock was set back */
		ended->ended = span->began;
	ended->code = facts->err ? facts->err->code : RPC_OK;
	ended->service = facts->service ? xasprintf("runtime.v1.%s", facts->service) : NULL;
	ended->what = xstrdup_null(facts->what);
	ended->method = xstrdup(facts->method);
	ended->pod = xstrdup_null(facts->pod);
	ended->container = xstrdup_null(facts->container);
	ended->name = xstrdup_null(facts->name);
	ended->image = xstrdup_null(facts->image);
	ended->error = facts->err ? xstrdup(facts->err->text) : NULL;
	return ended;
}

struct ended_span *ended_span_free(struct ended_span *span)
{
	free(span->service);
	free(span->method);
	free(span->what);
	free(span->pod);
	free(span->container);
	free(span->name);
	free(span->image);
	free(span->error);
	free(span);
	return NULL;
}

/* Error texts may hold anything, and a collector refuses a batch with one string that is not UTF-8.
 * (message_mend() can't do this: it knows no oneof.) */
static char *mended(struct arena *arena, const char *text)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	utf8_mend(&out, text, strlen(text));
	return arena_strdup(arena, str_get(&out));
}

static Otlp__KeyValue *attribute(struct arena *arena, const char *key)
{
	Otlp__KeyValue *pair = message_new(arena, &otlp__key_value__descriptor);

	pair->key = arena_strdup(arena, key);
	pair->value = message_new(arena, &otlp__any_value__descriptor);
	return pair;
}

static Otlp__KeyValue *text_attribute(struct arena *arena, const char *key, const char *value)
{
	Otlp__KeyValue *pair = attribute(arena, key);

	pair->value->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
	pair->value->string_value = mended(arena, value);
	return pair;
}

static Otlp__KeyValue *number_attribute(struct arena *arena, const char *key, int64_t value)
{
	Otlp__KeyValue *pair = attribute(arena, key);

	pair->value->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
	pair->value->int_value = value;
	return pair;
}

static void add_step_attributes(const struct ended_span *span, Otlp__Span *message, struct arena *arena)
{
	if (!span->what)
		return;
	message->attributes = arena_array(arena, 1, sizeof(*message->attributes));
	message->attributes[message->n_attributes++] = text_attribute(arena, "crisp.step.of", span->what);
}

static void add_attributes(const struct ended_span *span, Otlp__Span *message, struct arena *arena)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "rpc.system", "grpc" },
		{ "rpc.service", span->service },
		{ "rpc.method", span->method },
		{ "crisp.pod.id", span->pod },
		{ "container.id", span->container },
		{ "crisp.name", span->name },
		{ "container.image.name", span->image },
	};

	_Static_assert(ARRAY_LEN(texts) < ATTRIBUTES_MAX, "and one number");
	message->attributes = arena_array(arena, ATTRIBUTES_MAX, sizeof(*message->attributes));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].value)
			message->attributes[message->n_attributes++] =
				text_attribute(arena, texts[i].key, texts[i].value);
	message->attributes[message->n_attributes++] =
		number_attribute(arena, "rpc.grpc.status_code", span->code);
}

/* What counts as the server's own failure: the conventions' list. */
static bool is_failure(enum rpc_code code)
{
	switch (code) {
	case RPC_UNKNOWN:
	case RPC_DEADLINE_EXCEEDED:
	case RPC_UNIMPLEMENTED:
	case RPC_INTERNAL:
	case RPC_UNAVAILABLE:
	case RPC_DATA_LOSS:
		return true;
	default:
		return false;
	}
}

static ProtobufCBinaryData bytes(const uint8_t *data, size_t len)
{
	return (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)data };
}

static Otlp__Span *span_message(const struct ended_span *span, struct arena *arena)
{
	Otlp__Span *message = message_new(arena, &otlp__span__descriptor);

	message->trace_id = bytes(span->span.trace_id, TRACE_ID_SIZE);
	message->span_id = bytes(span->span.span_id, TRACE_SPAN_ID_SIZE);
	if (span->span.has_parent)
		message->parent_span_id = bytes(span->span.parent_id, TRACE_SPAN_ID_SIZE);
	message->name = span->span.step ? mended(arena, span->method)
					: arena_fmt(arena, "%s/%s", span->service, span->method);
	message->kind = span->span.step ? OTLP__SPAN__SPAN_KIND__SPAN_KIND_INTERNAL
					: OTLP__SPAN__SPAN_KIND__SPAN_KIND_SERVER;
	message->start_time_unix_nano = (uint64_t)span->span.began;
	message->end_time_unix_nano = (uint64_t)span->ended;
	if (span->span.step)
		add_step_attributes(span, message, arena);
	else
		add_attributes(span, message, arena);
	message->status = message_new(arena, &otlp__status__descriptor);
	if (span->span.failed)
		message->status->code = OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
	if (span->error && is_failure(span->code)) {
		message->status->code = OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
		message->status->message = mended(arena, span->error);
	}
	return message;
}

static Otlp__Resource *resource(const char *host, struct arena *arena)
{
	Otlp__Resource *message = message_new(arena, &otlp__resource__descriptor);

	message->attributes = arena_array(arena, 3, sizeof(*message->attributes));
	message->attributes[message->n_attributes++] = text_attribute(arena, "service.name", "crispd");
	message->attributes[message->n_attributes++] =
		text_attribute(arena, "service.version", CRISP_VERSION);
	message->attributes[message->n_attributes++] = text_attribute(arena, "host.name", host);
	return message;
}

static Otlp__ScopeSpans *scope(struct ended_span *const *spans, size_t count, struct arena *arena)
{
	Otlp__ScopeSpans *message = message_new(arena, &otlp__scope_spans__descriptor);

	message->scope = message_new(arena, &otlp__instrumentation_scope__descriptor);
	message->scope->name = arena_strdup(arena, "crisp");
	message->scope->version = arena_strdup(arena, CRISP_VERSION);
	message->spans = arena_array(arena, count + 1, sizeof(*message->spans));
	for (size_t i = 0; i < count; i++)
		message->spans[message->n_spans++] = span_message(spans[i], arena);
	return message;
}

void otlp_pack(struct ended_span *const *spans, size_t count, const char *host, struct str *out)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Otlp__ExportTraceServiceRequest *request =
		message_new(arena, &otlp__export_trace_service_request__descriptor);
	Otlp__ResourceSpans *from = message_new(arena, &otlp__resource_spans__descriptor);
	size_t len;

	from->resource = resource(host, arena);
	from->scope_spans = arena_array(arena, 1, sizeof(*from->scope_spans));
	from->scope_spans[from->n_scope_spans++] = scope(spans, count, arena);
	request->resource_spans = arena_array(arena, 1, sizeof(*request->resource_spans));
	request->resource_spans[request->n_resource_spans++] = from;
	str_clear(out);
	len = protobuf_c_message_get_packed_size(&request->base);
	protobuf_c_message_pack(&request->base, (uint8_t *)str_room(out, len + 1));
	str_grown(out, len);
}
