/*
 * What is made inside the root filesystem before the runtime sees it: the image's volumes and the working
 * directory.
 *
 * The image chooses these names, so they are resolved with make_in_root(): a link in the image leads nowhere
 * but inside (CVE-2024-5154, CVE-2026-55686, CVE-2022-23648). Nothing is made where a mount will lie on top,
 * nor below /proc, /sys and /dev.
 */
#include "sandbox/spec_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

enum { VOLUMES_MAX = 256 };

/* Who is root in there, as the host sees it. */
static uid_t root_uid(const struct spec_input *input)
{
	return input->userns ? userns_root_uid(input->userns) : 0;
}

static gid_t root_gid(const struct spec_input *input)
{
	return input->userns ? userns_root_gid(input->userns) : 0;
}

static int make_inside(const struct spec_context *context, const char *path, struct err *err)
{
	uid_t uid = root_uid(context->input);
	gid_t gid = root_gid(context->input);
	CLEANUP(fd_closep)
	int made = make_in_root_owned(context->input->rootfs_fd, path, 0755, uid, gid, err);

	return made < 0 ? -1 : 0;
}

static int bind_volume(struct spec_context *context, const char *path, size_t number, json_t *mounts,
		       struct err *err)
{
	CLEANUP(freep) char *source = xasprintf("%s/%zu", context->input->volumes_dir, number);
	CLEANUP(fd_closep) int made = dir_make(AT_FDCWD, source, 0755, err);

	if (made < 0)
		return -1;
	if (fchown(made, root_uid(context->input), root_gid(context->input)) < 0)
		return err_errno(err, "chown %s", source);
	json_array_append_new(mounts,
			      json_pack("{s:o, s:s, s:o, s:[s, s, s]}", "destination",
					spec_text(context, path), "type", "bind", "source",
					spec_text(context, source), "options", "rbind", "rprivate", "rw"));
	return 0;
}

static int make_volumes(struct spec_context *context, json_t *mounts, struct err *err)
{
	const struct spec_input *input = context->input;
	enum config_image_volumes kind = input->settings->image.image_volumes;
	const struct strv *volumes = input->image ? &input->image->volumes : NULL;

	if (!volumes || kind == CONFIG_VOLUMES_IGNORE)
		return 0;
	if (volumes->len > VOLUMES_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "the image has more than %d volumes", VOLUMES_MAX);
	for (size_t i = 0; i < volumes->len; i++) {
		CLEANUP(freep) char *path = NULL;

		if (spec_path_clean(volumes->items[i], "a volume of the image", &path, err) < 0)
			return -1;
		if (str_eq(path, "/") || spec_mounts_cover(mounts, path))
			continue;
		if (kind == CONFIG_VOLUMES_BIND && input->volumes_dir) {
			if (bind_volume(context, path, i, mounts, err) < 0)
				return -1;
		} else if (make_inside(context, path, err) < 0) {
			return err_prefix(err, "volume %s of the image", path);
		}
	}
	return 0;
}

int spec_rootfs(struct spec_context *context, json_t *mounts, struct err *err)
{
	CLEANUP(freep) char *cwd = NULL;

	if (make_volumes(context, mounts, err) < 0 || spec_working_dir(context->input, &cwd, err) < 0)
		return -1;
	if (str_eq(cwd, "/") || spec_mounts_cover(mounts, cwd))
		return 0;
	return make_inside(context, cwd, err) < 0 ? err_prefix(err, "working directory %s", cwd) : 0;
}
