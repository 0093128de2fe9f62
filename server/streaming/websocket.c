/*
 * wslay's event API over memory: it asks for bytes, gets those that were fed, and stops when there are no
 * more. It is told not to collect messages. Control frames it answers by itself.
 */
#include "server/streaming/websocket.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

struct websocket {
	const struct websocket_events *events;
	void *data;
	wslay_event_context_ptr wslay;
	const uint8_t *input; /* what is being fed */
	size_t input_len;
	bool in_message, final;
	struct queue out;
};

static ssize_t on_want(wslay_event_context_ptr wslay, uint8_t *buf, size_t len, int flags UNUSED, void *data)
{
	struct websocket *websocket = data;

	if (!websocket->input_len) {
		wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (len > websocket->input_len)
		len = websocket->input_len;
	memcpy(buf, websocket->input, len);
	websocket->input += len;
	websocket->input_len -= len;
	return (ssize_t)len;
}

static ssize_t on_give(wslay_event_context_ptr wslay UNUSED, const uint8_t *bytes, size_t len,
		       int flags UNUSED, void *data)
{
	struct websocket *websocket = data;

	queue_add(&websocket->out, bytes, len);
	return (ssize_t)len;
}

static void on_start(wslay_event_context_ptr wslay UNUSED,
		     const struct wslay_event_on_frame_recv_start_arg *frame, void *data)
{
	struct websocket *websocket = data;

	websocket->in_message = !wslay_is_ctrl_frame(frame->opcode);
	websocket->final = frame->fin;
}

static void on_chunk(wslay_event_context_ptr wslay UNUSED,
		     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *data)
{
	struct websocket *websocket = data;

	if (websocket->in_message && chunk->data_length)
		websocket->events->received(websocket->data, chunk->data, chunk->data_length, false);
}

static void on_end(wslay_event_context_ptr wslay UNUSED, void *data)
{
	struct websocket *websocket = data;

	if (websocket->in_message && websocket->final)
		websocket->events->received(websocket->data, NULL, 0, true);
}

struct websocket *websocket_new(const struct websocket_events *events, void *data)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_want,
		.send_callback = on_give,
		.on_frame_recv_start_callback = on_start,
		.on_frame_recv_chunk_callback = on_chunk,
		.on_frame_recv_end_callback = on_end,
	};
	struct websocket *websocket = xnew(struct websocket);

	websocket->events = events;
	websocket->data = data;
	if (wslay_event_context_server_init(&websocket->wslay, &callbacks, websocket) != 0)
		abort(); /* out of memory */
	wslay_event_config_set_no_buffering(websocket->wslay, 1);
	return websocket;
}

struct websocket *websocket_free(struct websocket *websocket)
{
	if (!websocket)
		return NULL;
	wslay_event_context_free(websocket->wslay);
	queue_done(&websocket->out);
	free(websocket);
	return NULL;
}

static void flush(struct websocket *websocket)
{
	if (wslay_event_want_write(websocket->wslay))
		(void)wslay_event_send(websocket->wslay);
}

int websocket_feed(struct websocket *websocket, const uint8_t *data, size_t len, struct err *err)
{
	int result = 0;

	websocket->input = data;
	websocket->input_len = len;
	while (result == 0 && websocket->input_len && wslay_event_get_read_enabled(websocket->wslay))
		result = wslay_event_recv(websocket->wslay);
	websocket->input = NULL;
	websocket->input_len = 0;
	flush(websocket);
	/* After a breach of the protocol wslay has a closing frame sent and reads no more. */
	if (result != 0 || (!wslay_event_get_read_enabled(websocket->wslay) && !websocket_closed(websocket)))
		return err_set(err, RPC_INVALID_ARGUMENT, "WebSocket: the client breaks the protocol");
	return 0;
}

void websocket_send(struct websocket *websocket, const void *data, size_t len, bool text)
{
	const struct wslay_event_msg message = { .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
						 .msg = data,
						 .msg_length = len };

	/* Refused after a close: then nobody reads it. */
	if (wslay_event_queue_msg(websocket->wslay, &message) == 0)
		flush(websocket);
}

void websocket_close(struct websocket *websocket, bool good)
{
	if (wslay_event_queue_close(websocket->wslay,
				    good ? WSLAY_CODE_NORMAL_CLOSURE : WSLAY_CODE_INTERNAL_SERVER_ERROR, NULL,
				    0) == 0)
		flush(websocket);
}

bool websocket_closed(const struct websocket *websocket)
{
	return wslay_event_get_close_received(websocket->wslay);
}

struct queue *websocket_out(struct websocket *websocket)
{
	return &websocket->out;
}

void websocket_accept(const char *key, char ret[WEBSOCKET_ACCEPT_SIZE])
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context || !EVP_DigestInit_ex(context, EVP_sha1(), NULL) ||
	    !EVP_DigestUpdate(context, key, strlen(key)) ||
	    !EVP_DigestUpdate(context, magic, strlen(magic)) || !EVP_DigestFinal_ex(context, digest, &len))
		len = 0;
	EVP_MD_CTX_free(context);
	assert(len == 20);
	EVP_EncodeBlock((unsigned char *)ret, digest, (int)len);
}
