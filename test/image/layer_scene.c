/* The layer is given in one piece; test/image/inflate_test.c cuts streams up. */
#include "test/image/layer_scene.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

int layer_setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	scratch_init(&scene->scratch);
	scene->limits = layer_limits_default;
	assert_int_equal(mkdirat(scene->scratch.dir, "root", 0755), 0);
	assert_int_equal(mkdirat(scene->scratch.dir, "canary", 0755), 0);
	put_file(scene->scratch.dir, "canary/file", "tweet");
	scene->root = openat(scene->scratch.dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = scene;
	return 0;
}

static void check_canary(struct scene *scene)
{
	CLEANUP(strv_done) struct strv top = STRV_INIT;
	CLEANUP(strv_done) struct strv canary = STRV_INIT;
	CLEANUP(freep) char *content = NULL;
	struct err err = { 0 };
	struct stat st;

	assert_ok(dir_list(scene->scratch.dir, ".", &top, &err));
	assert_int_equal(top.len, 2);
	assert_ok(dir_list(scene->scratch.dir, "canary", &canary, &err));
	assert_int_equal(canary.len, 1);
	assert_ok(file_read(scene->scratch.dir, "canary/file", 100, &content, NULL, &err));
	assert_string_equal(content, "tweet");
	assert_int_equal(fstatat(scene->scratch.dir, "canary/file", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_uid, 0);
}

int layer_teardown(void **state)
{
	struct scene *scene = *state;

	check_canary(scene);
	close(scene->root);
	scratch_done(&scene->scratch);
	str_done(&scene->tar);
	layer_output_done(&scene->output);
	free(scene);
	return 0;
}

struct once {
	const struct str *data;
	bool given;
};

static int give_once(void *data, const uint8_t **ret, size_t *ret_len, struct err *err UNUSED)
{
	struct once *once = data;

	*ret = (const uint8_t *)str_get(once->data);
	*ret_len = once->given ? 0 : once->data->len;
	once->given = true;
	return 0;
}

/* Unpacks blob; digests of what is in it unless given. */
int unpack_blob(struct scene *scene, const struct str *blob, const struct digest *diff_id,
		const struct digest *digest)
{
	struct once once = { blob, false };
	const struct byte_source source = { give_once, &once };
	struct digest of_blob, of_tar;
	const struct layer_input input = {
		.blob = &source,
		.digest = digest ? digest : &of_blob,
		.diff_id = diff_id ? diff_id : &of_tar,
		.limits = &scene->limits,
		.root = scene->root,
	};

	digest_of(DIGEST_SHA256, str_get(blob), blob->len, &of_blob);
	digest_of(DIGEST_SHA256, str_get(&scene->tar), scene->tar.len, &of_tar);
	err_clear(&scene->err);
	layer_output_done(&scene->output);
	return layer_unpack(&input, &scene->output, &scene->err);
}

int unpack_tar(struct scene *scene)
{
	return unpack_blob(scene, &scene->tar, NULL, NULL);
}

void check_good(const struct scene *scene, int result)
{
	if (result < 0)
		fail_msg("%s: %s", rpc_code_name(scene->err.code), scene->err.text);
}

void check_code(const struct scene *scene, int result, enum rpc_code code)
{
	if (result == 0)
		fail_msg("no error, %s expected", rpc_code_name(code));
	if (scene->err.code != code)
		fail_msg("%s (%s), %s expected", rpc_code_name(scene->err.code), scene->err.text,
			 rpc_code_name(code));
}

void check_runs(struct scene *scene)
{
	tar_end(&scene->tar);
	check_good(scene, unpack_tar(scene));
}

void check_refused(struct scene *scene, const char *why)
{
	tar_end(&scene->tar);
	check_code(scene, unpack_tar(scene), RPC_INVALID_ARGUMENT);
	assert_contains(scene->err.text, why);
}

struct stat stat_of(struct scene *scene, const char *path)
{
	struct stat st;

	if (fstatat(scene->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s is not there", path);
	return st;
}

bool exists(struct scene *scene, const char *path)
{
	struct stat st;

	return fstatat(scene->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool is_whiteout(struct scene *scene, const char *path)
{
	struct stat st = stat_of(scene, path);

	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

bool is_opaque(struct scene *scene, const char *path)
{
	CLEANUP(fd_closep) int fd = openat(scene->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char value[8];

	assert_true(fd >= 0);
	return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

void check_content(struct scene *scene, const char *path, const char *expected)
{
	CLEANUP(freep) char *content = NULL;
	struct err err = { 0 };

	assert_ok(file_read(scene->root, path, 100000, &content, NULL, &err));
	assert_string_equal(content, expected);
}
