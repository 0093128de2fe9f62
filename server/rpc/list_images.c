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
	struct arena *arena = call_arena(call);
	struct image **list;
	size_t count = 0;

	if (image_list(call_service(call)->images, request->filter, &list, err) < 0)
		return -1;
	while (list[count])
		count++;
	response->images = arena_array(arena, count + 1, sizeof(*response->images));
	for (size_t i = 0; i < count; i++)
		response->images[i] = image_message(list[i], arena);
	response->n_images = count;
	images_list_free(list);
	return 0;
}

const struct rpc rpc_list_images = {
	.service = "ImageService",
	.method = "ListImages",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = list_images,
};
