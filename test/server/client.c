/*
 * Messages are read one after another until there is none, so unary and streamed answers are the same here.
 */
#include "test/server/client.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct client {
	grpc_channel *channel;
};

struct client_call {
	grpc_call *core;
	grpc_completion_queue *queue;
	grpc_metadata_array headers, trailers;
	grpc_metadata extra;
	grpc_byte_buffer *received;
	grpc_status_code code;
	grpc_slice text;
	int pending;
	bool unread;
};

static char tag_send, tag_receive, tag_status;

struct client *client_new(const char *socket, bool compress)
{
	grpc_arg args[] = {
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)"grpc.use_local_subchannel_pool",
		  .value.integer = 1 },
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
		  .value.integer = -1 },
		{ .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES, .value.integer = 0 },
		/* windows stay small, so that who does not read soon holds up the sender */
		{ .type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0 },
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)GRPC_ARG_MAX_METADATA_SIZE,
		  .value.integer = 1 << 20 },
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
		  .value.integer = GRPC_COMPRESS_GZIP },
	};
	grpc_channel_args list = { .num_args = compress ? ARRAY_LEN(args) : ARRAY_LEN(args) - 1,
				   .args = args };
	struct client *client = xnew(struct client);
	char *target = xasprintf("unix:%s", socket);
	grpc_channel_credentials *plain;

	grpc_init();
	plain = grpc_insecure_credentials_create();
	client->channel = grpc_channel_create(target, plain, &list);
	grpc_channel_credentials_release(plain);
	free(target);
	return client;
}

void client_free(struct client *client)
{
	grpc_channel_destroy(client->channel);
	free(client);
	grpc_shutdown();
}

static void start(struct client_call *call, grpc_op *ops, size_t count, void *tag)
{
	grpc_call_error error = grpc_call_start_batch(call->core, ops, count, tag, NULL);

	assert(error == GRPC_CALL_OK);
	call->pending++;
}

static grpc_byte_buffer *message_of(const struct client_request *request)
{
	grpc_slice slice = grpc_slice_from_copied_buffer(request->data ? request->data : "", request->len);
	grpc_byte_buffer *buffer =
		request->compressed ? grpc_raw_compressed_byte_buffer_create(&slice, 1, GRPC_COMPRESS_GZIP)
				    : grpc_raw_byte_buffer_create(&slice, 1);

	grpc_slice_unref(slice);
	return buffer;
}

static void send_request(struct client_call *call, const struct client_request *request)
{
	grpc_byte_buffer *message = message_of(request);
	grpc_op ops[3] = { 0 };
	size_t count = 0;

	ops[count].op = GRPC_OP_SEND_INITIAL_METADATA;
	if (request->big_header) {
		call->extra.key = grpc_slice_from_static_string("x-big");
		call->extra.value = grpc_slice_from_copied_string(request->big_header);
		ops[count].data.send_initial_metadata.count = 1;
		ops[count].data.send_initial_metadata.metadata = &call->extra;
	}
	count++;
	if (!request->no_message) {
		ops[count].op = GRPC_OP_SEND_MESSAGE;
		ops[count].flags = request->lie ? 0x80000000u /* GRPC_WRITE_INTERNAL_COMPRESS */ : 0;
		ops[count++].data.send_message.send_message = message;
	}
	ops[count++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	start(call, ops, count, &tag_send);
	grpc_byte_buffer_destroy(message);
}

static void receive(struct client_call *call)
{
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

	call->received = NULL;
	op.data.recv_message.recv_message = &call->received;
	start(call, &op, 1, &tag_receive);
}

static void receive_status(struct client_call *call)
{
	grpc_op ops[2] = { { .op = GRPC_OP_RECV_STATUS_ON_CLIENT }, { .op = GRPC_OP_RECV_INITIAL_METADATA } };

	ops[0].data.recv_status_on_client.trailing_metadata = &call->trailers;
	ops[0].data.recv_status_on_client.status = &call->code;
	ops[0].data.recv_status_on_client.status_details = &call->text;
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &call->headers;
	start(call, ops, 2, &tag_status);
}

struct client_call *client_start(struct client *client, const struct client_request *request)
{
	struct client_call *call = xnew(struct client_call);
	grpc_slice path = grpc_slice_from_copied_string(request->path);
	gpr_timespec deadline =
		request->timeout_ms ? gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
						   gpr_time_from_millis(request->timeout_ms, GPR_TIMESPAN))
				    : gpr_inf_future(GPR_CLOCK_MONOTONIC);

	call->queue = grpc_completion_queue_create_for_next(NULL);
	call->core = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, call->queue,
					      path, NULL, deadline, NULL);
	grpc_slice_unref(path);
	grpc_metadata_array_init(&call->headers);
	grpc_metadata_array_init(&call->trailers);
	send_request(call, request);
	receive(call);
	receive_status(call);
	return call;
}

void client_cancel(struct client_call *call)
{
	grpc_call_cancel(call->core, NULL);
}

static void keep(struct client_call *call, struct client_answer *ret)
{
	grpc_byte_buffer_reader reader;
	grpc_slice all;

	assert(ret->messages < CLIENT_MESSAGES_MAX);
	grpc_byte_buffer_reader_init(&reader, call->received);
	all = grpc_byte_buffer_reader_readall(&reader);
	grpc_byte_buffer_reader_destroy(&reader);
	ret->data[ret->messages] = xmemdup(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all));
	ret->len[ret->messages++] = GRPC_SLICE_LENGTH(all);
	grpc_slice_unref(all);
	grpc_byte_buffer_destroy(call->received);
}

static void drop(struct client_call *call)
{
	grpc_completion_queue_shutdown(call->queue);
	while (grpc_completion_queue_next(call->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
	       GRPC_QUEUE_SHUTDOWN)
		;
	grpc_metadata_array_destroy(&call->headers);
	grpc_metadata_array_destroy(&call->trailers);
	grpc_slice_unref(call->text);
	grpc_slice_unref(call->extra.value);
	grpc_call_unref(call->core);
	grpc_completion_queue_destroy(call->queue);
	free(call);
}

void client_sent(struct client_call *call)
{
	grpc_event event;

	do {
		event = grpc_completion_queue_next(call->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		assert(event.type == GRPC_OP_COMPLETE);
		call->pending--;
		call->unread = call->unread || event.tag == &tag_receive;
	} while (event.tag != &tag_send);
}

void client_await(struct client_call *call, struct client_answer *ret)
{
	*ret = (struct client_answer){ 0 };
	if (call->unread && call->received) {
		keep(call, ret);
		receive(call);
	}
	while (call->pending) {
		grpc_event event =
			grpc_completion_queue_next(call->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);

		assert(event.type == GRPC_OP_COMPLETE);
		call->pending--;
		if (event.tag != &tag_receive || !call->received)
			continue;
		keep(call, ret);
		receive(call);
	}
	ret->code = (int)call->code;
	ret->text = grpc_slice_to_c_string(call->text);
	drop(call);
}

void client_answer_done(struct client_answer *answer)
{
	for (size_t i = 0; i < answer->messages; i++)
		free(answer->data[i]);
	gpr_free(answer->text);
	*answer = (struct client_answer){ 0 };
}

void client_run(struct client *client, const struct client_request *request, struct client_answer *ret)
{
	client_await(client_start(client, request), ret);
}

int client_ask(struct client *client, const char *path, const ProtobufCMessage *request,
	       const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret)
{
	size_t len = protobuf_c_message_get_packed_size(request);
	uint8_t *data = xmalloc(len + 1);
	struct client_answer answer;
	int code;

	protobuf_c_message_pack(request, data);
	client_run(client, &(struct client_request){ .path = path, .data = data, .len = len }, &answer);
	free(data);
	code = answer.code;
	if (ret) {
		*ret = NULL;
		if (code == 0 && answer.messages == 1)
			*ret = protobuf_c_message_unpack(type, NULL, answer.len[0], answer.data[0]);
	}
	client_answer_done(&answer);
	return code;
}
