/* See image_mounts.h. */
#include "sandbox/image_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/images.h"
#include "image/overlay.h"
#include "sandbox/pod_files.h"
#include "sandbox/store.h"

static const char folder[] = "image-mounts";
/* An overlay without an upper layer needs two lower ones. */
static const char nothing[] = "nothing";

bool image_mount_wanted(const Cri__Mount *mount)
{
	return mount->image && !str_empty(mount->image->image);
}

static bool has_dot_dot(const char *path)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	strv_split(&names, path, '/');
	return strv_has(&names, "..");
}

int image_mount_check(const Cri__Mount *mount, struct err *err)
{
	const char *path = mount->image_sub_path;

	if (!str_empty(mount->host_path))
		return err_set(err, RPC_INVALID_ARGUMENT, "an image and a host_path at once");
	if (path[0] == '/' || has_dot_dot(path))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "image_sub_path \"%.200s\" is absolute or has \"..\"", path);
	if (strlen(path) >= PATH_MAX || !str_is_printable(path))
		return err_set(err, RPC_INVALID_ARGUMENT, "image_sub_path is too long or not printable");
	return 0;
}

void image_mounts_done(struct image_mounts *mounts)
{
	for (size_t i = 0; i < mounts->len; i++)
		image_unref(mounts->items[i]);
	free(mounts->items);
	*mounts = (struct image_mounts){ 0 };
}

int image_mounts_find(struct sandboxes *owner, const Cri__ContainerConfig *config, struct image_mounts *ret,
		      struct err *err)
{
	CLEANUP(image_mounts_done) struct image_mounts mounts = { 0 };

	mounts.items = xcalloc(config->n_mounts + 1, sizeof(*mounts.items));
	mounts.len = config->n_mounts;
	for (size_t i = 0; i < config->n_mounts; i++) {
		const Cri__Mount *mount = config->mounts[i];

		if (image_mount_wanted(mount) &&
		    images_find(owner->images, mount->image->image, &mounts.items[i], err) < 0)
			return err_prefix(err, "ImageVolumeMountFailed: mounts[%zu]", i);
	}
	*ret = mounts;
	mounts = (struct image_mounts){ 0 };
	return 0;
}

void image_mounts_layers(const struct image_mounts *mounts, struct strv *layers)
{
	for (size_t i = 0; i < mounts->len; i++) {
		const struct image *image = mounts->items[i];

		for (size_t n = 0; image && n < image->layers.len; n++)
			if (!strv_has(layers, image->layers.items[n]))
				strv_add(layers, image->layers.items[n]);
	}
}

/* The layers as the pod's user namespace sees them: they are mounted once more for it. */
static void see_mapped(const struct container *container, struct strv *dirs)
{
	CLEANUP(freep) char *from = images_layers_path(container->owner->images);
	CLEANUP(freep) char *to = pod_files_path(container->pod->run_dir, "layers");
	struct strv mapped = STRV_INIT;

	for (size_t i = 0; i < dirs->len; i++)
		strv_addf(&mapped, "%s%s", to, dirs->items[i] + strlen(from));
	strv_done(dirs);
	*dirs = mapped;
}

int container_layer_dirs(const struct container *container, const struct image *image, struct strv *ret,
			 struct err *err)
{
	if (images_layer_dirs(container->owner->images, image, ret, err) < 0)
		return -1;
	if (pod_has_userns(container->pod))
		see_mapped(container, ret);
	return 0;
}

static int mount_image(const struct container *container, const struct image *image, const char *target,
		       struct err *err)
{
	CLEANUP(strv_done) struct strv lowers = STRV_INIT;
	CLEANUP(fd_closep) int made = dir_make(AT_FDCWD, target, 0755, err);

	if (made < 0 || container_layer_dirs(container, image, &lowers, err) < 0)
		return -1;
	strv_addf(&lowers, "%s/%s/%s", container->dir, folder, nothing);
	return overlay_mount(&(struct overlay_mount){ .lowers = &lowers, .target = target }, err);
}

/* What of it the container gets. The image does not change, so what is found here is what will be bound. */
static int find_sub_path(const Cri__Mount *mount, const char *target, char **ret, struct err *err)
{
	const char *path = mount->image_sub_path;
	CLEANUP(fd_closep) int root = dir_open(AT_FDCWD, target, err);

	if (root < 0)
		return -1;
	if (str_empty(path)) {
		*ret = xstrdup(target);
		return 0;
	}
	CLEANUP(fd_closep) int fd = open_beneath(root, path, O_PATH, 0);
	if (fd < 0 && errno == EXDEV)
		return err_set(err, RPC_INVALID_ARGUMENT, "image_sub_path \"%.200s\" leads out of the image",
			       path);
	if (fd < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "image_sub_path \"%.200s\": %m", path);
	*ret = xasprintf("%s/%s", target, path);
	return 0;
}

static int make_one(const struct container *container, const struct image *image, size_t i, char **ret,
		    struct err *err)
{
	CLEANUP(freep) char *target = xasprintf("%s/%s/%zu", container->dir, folder, i);

	if (mount_image(container, image, target, err) < 0 ||
	    find_sub_path(container->config->mounts[i], target, ret, err) < 0)
		return err_prefix(err, "ImageVolumeMountFailed: mounts[%zu]", i);
	return 0;
}

/* With a user namespace the OCI runtime goes through as its root. */
static int make_folder(const struct container *container, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", container->dir, folder);
	CLEANUP(freep) char *empty = xasprintf("%s/%s", path, nothing);
	CLEANUP(fd_closep) int fd = dir_make(AT_FDCWD, path, 0711, err);
	CLEANUP(fd_closep) int empty_fd = fd < 0 ? -1 : dir_make(AT_FDCWD, empty, 0755, err);

	return empty_fd < 0 ? -1 : 0;
}

int image_mounts_make(const struct container *container, const struct image_mounts *mounts, struct strv *ret,
		      struct err *err)
{
	bool made = false;

	for (size_t i = 0; i < mounts->len; i++) {
		CLEANUP(freep) char *source = NULL;

		if (mounts->items[i]) {
			if (!made && make_folder(container, err) < 0)
				return -1;
			made = true;
			if (make_one(container, mounts->items[i], i, &source, err) < 0)
				return -1;
		}
		strv_add(ret, source ? source : "");
	}
	return 0;
}

int image_mounts_undo(const struct container *container, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", container->dir, folder);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err list;

	if (dir_list(AT_FDCWD, path, &names, &list) < 0)
		return list.code == RPC_NOT_FOUND ? 0 : err_set(err, list.code, "%s", list.text);
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *target = xasprintf("%s/%s", path, names.items[i]);

		if (overlay_unmount(target, err) < 0)
			return -1;
	}
	return 0;
}
