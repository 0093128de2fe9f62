/*
 * ListImages: every image, or the one that the filter names. A name that no image has gives an empty list.
 */
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/image_message.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int list_images(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ListImagesRequest *request = message;
	Cri__ListImagesResponse *response = answer;

	return image_messages(call_service(call)->images, request->filter, call_arena(call), response, err);
}

const struct rpc rpc_list_images = {
	.service = "ImageService",
	.method = "ListImages",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = list_images,
};
