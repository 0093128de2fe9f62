/*
 * ImageStatus: one image by any of its names. An image that is not there is an answer without image, not an
 * error: so kubelet asks whether it must pull. Verbose adds "info": a JSON object with the image's config as
 * it was pulled.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "server/grpc/call.h"
#include "server/rpc/image_message.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

enum { CONFIG_JSON_MAX = 8 * 1024 * 1024 };

static char *info_text(const struct image *image)
{
	CLEANUP(json_decrefp) json_t *info = json_object();
	char created[CLOCK_RFC3339_SIZE];
	struct err ignored = { 0 };
	json_t *config;

	clock_rfc3339(image->created_at, created);
	json_object_set_new(info, "digest", json_string(image->digest));
	json_object_set_new(info, "pulledAt", json_string(created));
	if (image->layers.len)
		json_object_set_new(info, "chainID", json_string(image->layers.items[image->layers.len - 1]));
	if (image->config_json && json_parse(image->config_json, strlen(image->config_json), CONFIG_JSON_MAX,
					     &config, &ignored) == 0)
		json_object_set_new(info, "imageSpec", config);
	return json_text(info);
}

static void add_info(Cri__ImageStatusResponse *response, const struct image *image, struct arena *arena)
{
	CLEANUP(freep) char *text = info_text(image);
	struct map_entry **info = arena_array(arena, 1, sizeof(*info));

	info[0] = map_entry_new(arena, "info", text);
	response->info = (void *)info;
	response->n_info = 1;
}

static int image_status(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__ImageStatusRequest *request = message;
	Cri__ImageStatusResponse *response = answer;
	CLEANUP(image_unrefp) struct image *image = NULL;
	struct err find_err = { 0 };

	if (!request->image || str_empty(request->image->image))
		return err_set(err, RPC_INVALID_ARGUMENT, "image: empty");
	if (images_find(call_service(call)->images, request->image->image, &image, &find_err) < 0) {
		if (find_err.code == RPC_NOT_FOUND)
			return 0;
		*err = find_err;
		return -1;
	}
	response->image = image_message(image, call_arena(call));
	if (request->verbose)
		add_info(response, image, call_arena(call));
	return 0;
}

const struct rpc rpc_image_status = {
	.service = "ImageService",
	.method = "ImageStatus",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = image_status,
};
