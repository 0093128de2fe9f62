/*
 * RemoveImage: drops an image with all its names. An unknown one counts as removed.
 */
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static int remove_image(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__RemoveImageRequest *request = message;

	(void)answer;
	if (!request->image || str_empty(request->image->image))
		return err_set(err, RPC_INVALID_ARGUMENT, "image: empty");
	return images_remove(call_service(call)->images, request->image->image, err);
}

const struct rpc rpc_remove_image = {
	.service = "ImageService",
	.method = "RemoveImage",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = remove_image,
};
