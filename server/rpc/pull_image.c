/*
 * PullImage: fetches an image and answers with its id, fit for CreateContainer.
 *
 * Credentials are handed on as they came and appear nowhere else; the call ends with its client's deadline,
 * and a pull that nobody waits for is given up.
 */
#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static struct image_auth image_auth(const Cri__AuthConfig *auth)
{
	return (struct image_auth){
		.username = auth->username,
		.password = auth->password,
		.auth = auth->auth,
		.server_address = auth->server_address,
		.identity_token = auth->identity_token,
		.registry_token = auth->registry_token,
	};
}

static int pull_image(struct call *call, const void *message, void *answer, struct err *err)
{
	const Cri__PullImageRequest *request = message;
	Cri__PullImageResponse *response = answer;
	struct image_auth auth;
	struct image_pull pull = { 0 };
	CLEANUP(freep) char *id = NULL;

	if (!request->image || str_empty(request->image->image))
		return err_set(err, RPC_INVALID_ARGUMENT, "image: empty");
	pull.reference = request->image->image;
	if (request->auth) {
		auth = image_auth(request->auth);
		pull.auth = &auth;
	}
	if (images_pull(call_service(call)->images, call_ctx(call), &pull, &id, err) < 0)
		return -1;
	response->image_ref = arena_strdup(call_arena(call), id);
	return 0;
}

const struct rpc rpc_pull_image = {
	.service = "ImageService",
	.method = "PullImage",
	.speed = RPC_SLOW,
	.effect = RPC_CHANGES,
	.handle = pull_image,
};
