/*
 * StreamImages: ListImages in several messages, for nodes whose list outgrows one.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/image_message.h"
#include "server/rpc/item_stream.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int stream_images(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__StreamImagesRequest *request = message;
	Cri__ListImagesResponse list = CRI__LIST_IMAGES_RESPONSE__INIT;

	if (image_messages(call_service(call)->images, request->filter, call_arena(call), &list, err) < 0)
		return -1;
	return item_stream(call, answer, (ProtobufCMessage **)list.images, list.n_images, err);
}

const struct rpc rpc_stream_images = {
	.service = "ImageService",
	.method = "StreamImages",
	.speed = RPC_SLOW,
	.effect = RPC_READS,
	.streaming = true,
	.handle = stream_images,
};
