/*
 * StreamImages: ListImages in several messages, for nodes whose list outgrows one. Images are references
 * until their turn comes: no more than a batch of messages is in memory at a time.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/image_message.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

enum { BATCH = 64 };

static int send_batch(struct call *call, ProtobufCMessage *part, struct image *const *list, size_t count,
		      struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	ProtobufCMessage *messages[BATCH];

	for (size_t i = 0; i < count; i++)
		messages[i] = &image_message(list[i], arena)->base;
	return item_stream(call, part, messages, count, err);
}

static int send_all(struct call *call, ProtobufCMessage *part, struct image *const *list, struct err *err)
{
	while (*list) {
		size_t count = 0;

		while (count < BATCH && list[count])
			count++;
		if (send_batch(call, part, list, count, err) < 0)
			return -1;
		list += count;
	}
	return 0;
}

static int stream_images(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StreamImagesRequest *request = message;
	struct image **list;
	int result;

	if (image_list(call_service(call)->images, request->filter, &list, err) < 0)
		return -1;
	result = send_all(call, answer, list, err);
	images_list_free(list);
	return result;
}

const struct rpc rpc_stream_images = {
	.service = "ImageService",
	.method = "StreamImages",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_images,
};
