/*
 * ImageFsInfo: how much the image store uses, of which filesystem.
 *
 * Layers and the containers' writable layers live below one folder, so the same filesystem is named for both:
 * that is how kubelet learns that they are not split.
 */
#include "proto/cri.pb-c.h"
#include "proto/message.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"

static Cri__UInt64Value *number(uint64_t value, struct arena *arena)
{
	Cri__UInt64Value *number = message_new(arena, &cri__uint64_value__descriptor);

	number->value = value;
	return number;
}

static Cri__FilesystemUsage *filesystem(const struct image_fs_usage *usage, struct arena *arena)
{
	Cri__FilesystemUsage *filesystem = message_new(arena, &cri__filesystem_usage__descriptor);

	filesystem->timestamp = usage->timestamp;
	filesystem->fs_id = message_new(arena, &cri__filesystem_identifier__descriptor);
	filesystem->fs_id->mountpoint = arena_strdup(arena, usage->mountpoint);
	filesystem->used_bytes = number(usage->used_bytes, arena);
	filesystem->inodes_used = number(usage->inodes_used, arena);
	return filesystem;
}

static int image_fs_info(struct call *call, const void *message, void *answer, struct err *err)
{
	Cri__ImageFsInfoResponse *response = answer;
	struct arena *arena = call_arena(call);
	struct image_fs_usage usage = { 0 };
	CLEANUP(freep) char *mountpoint = NULL;

	(void)message;
	if (images_usage(call_service(call)->images, &usage, err) < 0)
		return -1;
	mountpoint = usage.mountpoint;
	response->n_image_filesystems = response->n_container_filesystems = 1;
	response->image_filesystems = arena_array(arena, 1, sizeof(*response->image_filesystems));
	response->container_filesystems = arena_array(arena, 1, sizeof(*response->container_filesystems));
	response->image_filesystems[0] = filesystem(&usage, arena);
	response->container_filesystems[0] = filesystem(&usage, arena);
	return 0;
}

const struct rpc rpc_image_fs_info = {
	.service = "ImageService",
	.method = "ImageFsInfo",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = image_fs_info,
};
