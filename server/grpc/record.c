/*
 * Ids and names are found by reflection, in the few places where CRI's requests and answers keep them, so
 * that no handler has to repeat them for the log. An answer's id (what was created) counts before a
 * request's.
 */
#include "server/grpc/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/field.h"
#include "proto/message_json.h"
#include "server/metrics/rpc_metrics.h"

/* The submessage or string of that name; NULL when the type has no such field, or it is unset. */
static const void *member(const ProtobufCMessage *message, const char *name, ProtobufCType type)
{
	const ProtobufCFieldDescriptor *field;

	if (!message)
		return NULL;
	field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
	if (!field || field->type != type || field_repeated(field))
		return NULL;
	return *(const void *const *)field_at(message, field);
}

static const char *text(const ProtobufCMessage *message, const char *name)
{
	const char *value = member(message, name, PROTOBUF_C_TYPE_STRING);

	return str_empty(value) ? NULL : value;
}

static const ProtobufCMessage *submessage(const ProtobufCMessage *message, const char *name)
{
	return member(message, name, PROTOBUF_C_TYPE_MESSAGE);
}

static const char *id(const struct record *record, const char *name)
{
	const char *made = text(record->answer, name);

	return made ? made : text(record->request, name);
}

/* "namespace/name" of a pod, "name" of a container. */
static char *name_of(const ProtobufCMessage *request)
{
	const ProtobufCMessage *metadata = submessage(submessage(request, "config"), "metadata");
	const char *name = text(metadata, "name"), *namespace = text(metadata, "namespace");

	if (!name)
		return NULL;
	return namespace ? xasprintf("%s/%s", namespace, name) : xstrdup(name);
}

static const char *image_of(const ProtobufCMessage *request)
{
	const ProtobufCMessage *image = submessage(request, "image");

	if (!image)
		image = submessage(submessage(request, "config"), "image");
	return text(image, "image");
}

static enum log_level level_of(const struct rpc *rpc, const struct err *err)
{
	if (!err)
		return rpc->effect == RPC_CHANGES ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
	switch (err->code) {
	case RPC_UNIMPLEMENTED: /* a node agent asks for some of these every few seconds */
		return LOG_LEVEL_DEBUG;
	case RPC_NOT_FOUND:
		return rpc->effect == RPC_CHANGES ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
	case RPC_INTERNAL:
	case RPC_UNKNOWN:
	case RPC_DATA_LOSS:
	case RPC_RESOURCE_EXHAUSTED:
		return LOG_LEVEL_ERROR;
	default:
		return LOG_LEVEL_WARN;
	}
}

static void log_result(const struct record *record, enum log_level level, const struct trace_facts *facts,
		       int64_t ns)
{
	char took[32];

	snprintf(took, sizeof(took), "%" PRId64 "us", ns / NS_PER_US);
	log_fields(level, record->rpc->method, "pod", facts->pod, "container", facts->container, "name",
		   facts->name, "image", facts->image, "ref", text(record->answer, "image_ref"), "took", took,
		   "code", record->err ? rpc_code_name(record->err->code) : NULL, "error",
		   record->err ? record->err->text : NULL, NULL);
}

void record_result(const struct record *record)
{
	/* What could not even be decoded is the client's fault, whatever its code. */
	enum log_level level = record->request ? level_of(record->rpc, record->err) : LOG_LEVEL_WARN;
	bool traced = record->span && record->span->sampled;
	int64_t ns = clock_mono() - record->began;
	CLEANUP(freep) char *name = NULL;
	const char *pod;

	rpc_metrics_count(record->rpc, record->err, ns);
	if (!traced && !log_enabled(level))
		return;
	name = name_of(record->request);
	pod = id(record, "pod_sandbox_id");
	const struct trace_facts facts = { .service = record->rpc->service,
					   .method = record->rpc->method,
					   .pod = pod ? pod : record->pod,
					   .container = id(record, "container_id"),
					   .name = name,
					   .image = image_of(record->request),
					   .err = record->err };
	log_result(record, level, &facts, ns);
	if (traced)
		tracer_end(record->tracer, record->span, &facts);
}

void record_refusal(const struct rpc *rpc, const struct err *err)
{
	/* What is to be tried again later is, soon and often: while crispd starts. */
	enum log_level level = err->code == RPC_UNAVAILABLE ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN;

	rpc_metrics_count(rpc, err, -1);
	log_fields(level, rpc->method, "code", rpc_code_name(err->code), "error", err->text, NULL);
}

void record_request(const struct rpc *rpc, const ProtobufCMessage *request)
{
	CLEANUP(freep) char *body = NULL;

	if (!log_enabled(LOG_LEVEL_TRACE))
		return;
	body = message_json_text(request, MESSAGE_JSON_SHORT);
	log_fields(LOG_LEVEL_TRACE, rpc->method, "request", body, NULL);
}
