/*
 * Layers from hostile tar streams. Each test unpacks into <scratch>/root; beside it lies a canary tree that
 * must be the same afterwards, and nothing else may have appeared.
 */
#include "test/base/check.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "image/layer.h"
#include "image/unpack.h"
#include "test/image/tar_stream.h"

struct scene {
	struct scratch scratch;
	int root;
	struct str tar;
	struct layer_output output;
	struct layer_limits limits;
	struct err err;
};

static int setup(void **state)
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

static int teardown(void **state)
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
static int unpack_blob(struct scene *scene, const struct str *blob, const struct digest *diff_id,
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

static int run(struct scene *scene)
{
	return unpack_blob(scene, &scene->tar, NULL, NULL);
}

static void check_good(const struct scene *scene, int result)
{
	if (result < 0)
		fail_msg("%s: %s", rpc_code_name(scene->err.code), scene->err.text);
}

static void check_code(const struct scene *scene, int result, enum rpc_code code)
{
	if (result == 0)
		fail_msg("no error, %s expected", rpc_code_name(code));
	if (scene->err.code != code)
		fail_msg("%s (%s), %s expected", rpc_code_name(scene->err.code), scene->err.text,
			 rpc_code_name(code));
}

static void check_runs(struct scene *scene)
{
	tar_end(&scene->tar);
	check_good(scene, run(scene));
}

static void check_refused(struct scene *scene, const char *why)
{
	tar_end(&scene->tar);
	check_code(scene, run(scene), RPC_INVALID_ARGUMENT);
	assert_contains(scene->err.text, why);
}

static struct stat stat_of(struct scene *scene, const char *path)
{
	struct stat st;

	if (fstatat(scene->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s is not there", path);
	return st;
}

static bool exists(struct scene *scene, const char *path)
{
	struct stat st;

	return fstatat(scene->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_whiteout(struct scene *scene, const char *path)
{
	struct stat st = stat_of(scene, path);

	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static bool is_opaque(struct scene *scene, const char *path)
{
	CLEANUP(fd_closep) int fd = openat(scene->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char value[8];

	assert_true(fd >= 0);
	return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

static void check_content(struct scene *scene, const char *path, const char *expected)
{
	CLEANUP(freep) char *content = NULL;
	struct err err = { 0 };

	assert_ok(file_read(scene->root, path, 100000, &content, NULL, &err));
	assert_string_equal(content, expected);
}

static void test_everything(void **state)
{
	struct scene *scene = *state;
	struct stat st, other;
	char target[32] = { 0 };

	tar_add(&scene->tar, &(struct tar_member){ .name = "./", .type = '5', .mode = 0755, .mtime = 1000 });
	tar_add(&scene->tar,
		&(struct tar_member){
			.name = "d/", .type = '5', .mode = 01777, .uid = 5, .gid = 6, .mtime = 2000 });
	tar_add(&scene->tar, &(struct tar_member){ .name = "d/suid",
						   .mode = 04755,
						   .uid = 7,
						   .gid = 8,
						   .mtime = 3000,
						   .data = "content" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "d/link", .type = '1', .link = "d/suid" });
	tar_add(&scene->tar,
		&(struct tar_member){
			.name = "d/sym", .type = '2', .link = "/etc/passwd", .uid = 9, .mtime = 4000 });
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "d/null", .type = '3', .mode = 0666, .major = 1, .minor = 3 });
	tar_add(&scene->tar,
		&(struct tar_member){
			.name = "d/disk", .type = '4', .mode = 0660, .gid = 6, .major = 8, .minor = 1 });
	tar_add(&scene->tar, &(struct tar_member){ .name = "d/fifo", .type = '6', .mode = 0600 });
	check_runs(scene);

	st = stat_of(scene, "d");
	assert_int_equal(st.st_mode & 07777, 01777);
	assert_int_equal(st.st_uid * 10 + st.st_gid, 56);
	assert_int_equal(st.st_mtime, 2000);
	assert_int_equal(stat_of(scene, ".").st_mtime, 1000);
	st = stat_of(scene, "d/suid");
	other = stat_of(scene, "d/link");
	assert_int_equal(st.st_mode & 07777, 04755);
	assert_int_equal(st.st_uid * 10 + st.st_gid, 78);
	assert_int_equal(st.st_mtime, 3000);
	assert_int_equal(st.st_ino, other.st_ino);
	check_content(scene, "d/suid", "content");
	assert_int_equal(readlinkat(scene->root, "d/sym", target, sizeof(target)), 11);
	assert_string_equal(target, "/etc/passwd");
	assert_int_equal(stat_of(scene, "d/sym").st_uid, 9);
	assert_int_equal(stat_of(scene, "d/sym").st_mtime, 4000);
	st = stat_of(scene, "d/null");
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && (st.st_mode & 07777) == 0666);
	assert_true(S_ISBLK(stat_of(scene, "d/disk").st_mode) && S_ISFIFO(stat_of(scene, "d/fifo").st_mode));
	assert_int_equal(scene->output.usage.inodes, 7);
	assert_int_equal(scene->output.usage.bytes, 3 * 4096);
	assert_int_equal(scene->output.implied.len, 0);
}

static void test_names(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str name = STR_INIT;

	for (int i = 0; i < 15; i++)
		str_add(&name, "a-long-directory-name/");
	str_add(&name, "\xc3\xa9\xe6\x97\xa5"); /* two letters in UTF-8 */
	tar_file(&scene->tar, str_get(&name), "deep");
	tar_file(&scene->tar, "latin-\xe9", "1");
	tar_file(&scene->tar, "utf-\xc3\xa9", "2");
	tar_pax(&scene->tar, "path", "pax-\xe6\x97\xa5");
	tar_file(&scene->tar, "short", "3");
	check_runs(scene);
	check_content(scene, str_get(&name), "deep");
	check_content(scene, "latin-\xe9", "1");
	check_content(scene, "utf-\xc3\xa9", "2");
	check_content(scene, "pax-\xe6\x97\xa5", "3");
	assert_int_equal(scene->output.implied.len, 15);
	assert_string_equal(scene->output.implied.items[1], "a-long-directory-name/a-long-directory-name");
}

static void test_dotdot(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "../canary/file", "dead");
	check_refused(scene, "..");
}

static void test_dotdot_inside(void **state)
{
	struct scene *scene = *state;

	tar_dir(&scene->tar, "a/");
	tar_file(&scene->tar, "a/../../canary/file", "dead");
	check_refused(scene, "..");
}

static void test_absolute(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "/etc/x", "inside");
	tar_file(&scene->tar, "//y", "inside");
	check_runs(scene);
	check_content(scene, "etc/x", "inside");
	check_content(scene, "y", "inside");
}

/* A link to the canary, then a write "through" it, in all the ways a path may go. */
static void test_link_then_write(void **state)
{
	struct scene *scene = *state;

	tar_dir(&scene->tar, "canary/");
	tar_add(&scene->tar, &(struct tar_member){ .name = "up", .type = '2', .link = "../canary" });
	tar_file(&scene->tar, "up/file", "inside");
	check_runs(scene);
	check_content(scene, "canary/file", "inside"); /* of the layer: ".." stops at its root */
}

static void test_link_then_write_absolute(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *canary = xasprintf("%s/canary", scene->scratch.path);

	tar_add(&scene->tar, &(struct tar_member){ .name = "abs", .type = '2', .link = canary });
	tar_file(&scene->tar, "abs/file", "dead");
	check_refused(scene, "no directory");
}

static void test_file_through_link(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "f", .type = '2', .link = "../canary/file" });
	tar_file(&scene->tar, "f", "replaced");
	check_runs(scene);
	check_content(scene, "f", "replaced");
	assert_true(S_ISREG(stat_of(scene, "f").st_mode));
}

/* CVE-2021-32760: mode and owner of a later entry must not reach through a link of the same name. */
static void test_chmod_through_link(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "d", .type = '2', .link = "../canary" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "d", .type = '5', .mode = 0777, .uid = 1 });
	tar_add(&scene->tar, &(struct tar_member){ .name = "e", .type = '2', .link = "../canary/file" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = "e" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .mode = 0777, .uid = 1, .data = "x" });
	check_runs(scene);
	assert_true(S_ISDIR(stat_of(scene, "d").st_mode));
	assert_true(S_ISLNK(stat_of(scene, "e").st_mode));
	assert_true(S_ISREG(stat_of(scene, "h").st_mode));
}

/* CVE-2025-47290: a directory that was just written to becomes a link. */
static void test_directory_swapped(void **state)
{
	struct scene *scene = *state;

	tar_dir(&scene->tar, "d/");
	tar_file(&scene->tar, "d/one", "1");
	tar_add(&scene->tar, &(struct tar_member){ .name = "d", .type = '2', .link = "../canary" });
	tar_file(&scene->tar, "d/file", "dead");
	tar_end(&scene->tar);
	check_code(scene, run(scene), RPC_INVALID_ARGUMENT);
	assert_false(exists(scene, "d/one"));
}

static void test_directory_swapped_for_other(void **state)
{
	struct scene *scene = *state;

	tar_dir(&scene->tar, "d/sub/");
	tar_file(&scene->tar, "d/sub/one", "1");
	tar_dir(&scene->tar, "e/sub/");
	tar_add(&scene->tar, &(struct tar_member){ .name = "d", .type = '2', .link = "e" });
	tar_file(&scene->tar, "d/sub/two", "2");
	check_runs(scene);
	check_content(scene, "e/sub/two", "2");
	assert_false(exists(scene, "e/sub/one"));
}

static void test_hard_link_out(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = "../canary/file" });
	check_refused(scene, "..");
}

static void test_hard_link_through_link(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "up", .type = '2', .link = "../canary" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = "up/file" });
	check_refused(scene, "not in the layer");
}

static void test_hard_link_absent(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *canary = xasprintf("%s/canary/file", scene->scratch.path);

	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = canary });
	check_refused(scene, "not in the layer");
}

static void test_hard_link_self(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "kept");
	tar_add(&scene->tar, &(struct tar_member){ .name = "f", .type = '1', .link = "f" });
	check_runs(scene);
	check_content(scene, "f", "kept");
}

static void test_hard_link_directory(void **state)
{
	struct scene *scene = *state;

	tar_dir(&scene->tar, "d/");
	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = "d" });
	check_refused(scene, "directory");
}

static void test_whiteouts(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "a/.wh.gone", "");
	tar_file(&scene->tar, "b/.wh..wh..opq", "");
	tar_file(&scene->tar, "b/new", "1");
	tar_file(&scene->tar, ".wh.top", "");
	/* A name that this layer has too: what is below goes, what is here stays, in either order. */
	tar_file(&scene->tar, ".wh.first", "");
	tar_file(&scene->tar, "first", "stays");
	tar_file(&scene->tar, "second", "stays");
	tar_file(&scene->tar, ".wh.second", "");
	tar_file(&scene->tar, ".wh.third", "");
	tar_file(&scene->tar, "third/x", "stays");
	tar_dir(&scene->tar, "fourth/");
	tar_file(&scene->tar, ".wh.fourth", "");
	tar_file(&scene->tar, ".wh.fifth", "");
	tar_dir(&scene->tar, "fifth/");
	check_runs(scene);
	assert_true(is_whiteout(scene, "a/gone") && is_whiteout(scene, "top"));
	assert_true(is_opaque(scene, "b"));
	check_content(scene, "b/new", "1");
	check_content(scene, "first", "stays");
	check_content(scene, "second", "stays");
	check_content(scene, "third/x", "stays");
	assert_true(is_opaque(scene, "third") && is_opaque(scene, "fourth") && is_opaque(scene, "fifth"));
	assert_false(is_opaque(scene, "a"));
	assert_false(exists(scene, "a/.wh.gone") || exists(scene, "b/.wh..wh..opq"));
}

static void test_opaque_root(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, ".wh..wh..opq", "");
	check_runs(scene);
	assert_true(is_opaque(scene, "."));
}

static void test_whiteout_of_dotdot(void **state)
{
	static const char *const names[] = { ".wh...",   ".wh..",         ".wh.",
					     "a/.wh...", "../.wh.canary", "../canary/.wh..wh..opq" };
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		str_clear(&scene->tar);
		tar_file(&scene->tar, names[i], "");
		tar_end(&scene->tar);
		if (run(scene) == 0)
			fail_msg("%s was accepted", names[i]);
		assert_int_equal(scene->err.code, RPC_INVALID_ARGUMENT);
	}
}

static void test_aufs_names(void **state)
{
	struct scene *scene = *state;

	tar_dir(&scene->tar, ".wh..wh.plnk/");
	tar_file(&scene->tar, ".wh..wh.plnk/123.456", "x");
	tar_file(&scene->tar, ".wh..wh.aufs", "x");
	tar_file(&scene->tar, "kept", "x");
	check_runs(scene);
	assert_false(exists(scene, ".wh..wh.plnk") || exists(scene, ".wh..wh.aufs"));
	assert_true(exists(scene, "kept"));
}

/* A device 0:0 of the layer itself is a whiteout to overlayfs, whatever its author meant; it must not hide a
 * name. */
static void test_device_zero(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "stays");
	tar_add(&scene->tar, &(struct tar_member){ .name = "f", .type = '3' });
	tar_add(&scene->tar, &(struct tar_member){ .name = "g", .type = '3' });
	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = "g" });
	check_refused(scene, "not in the layer");
	check_content(scene, "f", "stays");
	assert_true(is_whiteout(scene, "g"));
}

static ssize_t xattr_len(struct scene *scene, const char *path, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(scene->root, path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fgetxattr(fd, name, NULL, 0);
}

static void test_xattrs(void **state)
{
	struct scene *scene = *state;
	const struct vfs_cap_data capability = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
						 .data = { { .permitted = 1 << 10 } } };

	tar_pax_bytes(&scene->tar, "SCHILY.xattr.security.capability", &capability, XATTR_CAPS_SZ_2);
	tar_add(&scene->tar, &(struct tar_member){ .name = "f", .mode = 04755, .uid = 3, .data = "x" });
	tar_pax(&scene->tar, "SCHILY.xattr.user.note", "hello");
	tar_dir(&scene->tar, "d/");
	tar_pax(&scene->tar, "SCHILY.xattr.trusted.overlay.opaque", "y");
	tar_dir(&scene->tar, "e/");
	tar_pax(&scene->tar, "SCHILY.xattr.trusted.overlay.redirect", "/canary");
	tar_dir(&scene->tar, "g/");
	tar_pax(&scene->tar, "SCHILY.xattr.user.overlay.opaque", "y");
	tar_dir(&scene->tar, "h/");
	tar_pax(&scene->tar, "SCHILY.xattr.security.selinux", "system_u:object_r:shadow_t:s0");
	tar_file(&scene->tar, "i", "x");
	check_runs(scene);
	assert_int_equal(xattr_len(scene, "f", "security.capability"), XATTR_CAPS_SZ_2);
	assert_int_equal(stat_of(scene, "f").st_mode & 07777, 04755);
	assert_int_equal(xattr_len(scene, "d", "user.note"), 5);
	assert_int_equal(xattr_len(scene, "e", "trusted.overlay.opaque"), -1);
	assert_int_equal(xattr_len(scene, "g", "trusted.overlay.redirect"), -1);
	assert_int_equal(xattr_len(scene, "h", "user.overlay.opaque"), -1);
	assert_int_equal(xattr_len(scene, "i", "security.selinux"), -1);
}

static void test_replacements(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "a", "file");
	tar_dir(&scene->tar, "a/");
	tar_file(&scene->tar, "a/b/c", "deep");
	tar_file(&scene->tar, "a/b", "file again");
	tar_file(&scene->tar, "x", "one");
	tar_file(&scene->tar, "x", "two");
	tar_add(&scene->tar, &(struct tar_member){ .name = "y", .type = '2', .link = "x" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "y", .type = '6' });
	check_runs(scene);
	check_content(scene, "a/b", "file again");
	check_content(scene, "x", "two");
	assert_true(S_ISFIFO(stat_of(scene, "y").st_mode));
}

static void test_entry_below_file(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "a", "file");
	tar_file(&scene->tar, "a/b", "x");
	check_refused(scene, "no directory");
}

static void test_root_as_file(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "./", .type = '2', .link = "/" });
	check_refused(scene, "root of a layer");
}

/* GNU sparse 1.0: the map is at the head of the data. */
static void test_sparse(void **state)
{
	struct scene *scene = *state;
	char data[1024] = "2\n0\n3\n1000000\n4\n";
	struct stat st;

	memcpy(data + 512, "abcwxyz", 7);
	tar_add(&scene->tar, &(struct tar_member){
				     .name = "pax",
				     .type = 'x',
				     .data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
					     "26 GNU.sparse.name=sparse\n31 GNU.sparse.realsize=1000004\n" });
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "GNUSparseFile.0/sparse", .data = data, .size = 519 });
	check_runs(scene);
	st = stat_of(scene, "sparse");
	assert_int_equal(st.st_size, 1000004);
	assert_true(st.st_blocks * 512 < 100000);
	assert_true(scene->output.usage.bytes <= 3 * 4096);
}

/* CVE-2025-58183: a map of millions of entries in few compressed bytes. */
static void test_sparse_bomb(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str map = STR_INIT;

	str_add(&map, "9000000\n");
	while (map.len < 2 * UNPACK_HEADER_MAX)
		str_add(&map, "0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n");
	tar_add(&scene->tar, &(struct tar_member){
				     .name = "pax",
				     .type = 'x',
				     .data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
					     "26 GNU.sparse.name=sparse\n31 GNU.sparse.realsize=1000004\n" });
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "GNUSparseFile.0/sparse", .data = map.data, .size = map.len });
	tar_end(&scene->tar);
	CLEANUP(str_done) struct str gzip = STR_INIT;

	compress_gzip(scene->tar.data, scene->tar.len, &gzip);
	check_code(scene, unpack_blob(scene, &gzip, NULL, NULL), RPC_INVALID_ARGUMENT);
}

static void test_pax_bomb(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str value = STR_INIT;

	while (value.len < 8 * 1024 * 1024)
		str_add(&value, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	tar_pax(&scene->tar, "comment", str_get(&value));
	tar_file(&scene->tar, "f", "x");
	check_refused(scene, "tar");
}

static void test_huge_size_field(void **state)
{
	struct scene *scene = *state;

	tar_pax(&scene->tar, "size", "9223372036854775807");
	tar_file(&scene->tar, "f", "x");
	check_refused(scene, "tar: ");
}

static void test_negative_size(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "x");
	memset(scene->tar.data + 124, 0xff, 12); /* base-256: -1 */
	unsigned int sum = 0;
	memset(scene->tar.data + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)scene->tar.data[i];
	snprintf(scene->tar.data + 148, 8, "%06o", sum);
	check_refused(scene, "tar: ");
}

static void test_owner_out_of_range(void **state)
{
	static const char *const ids[] = { "4294967295", "99999999999", "-1" };
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		str_clear(&scene->tar);
		tar_pax(&scene->tar, "uid", ids[i]);
		tar_file(&scene->tar, "f", "x");
		check_refused(scene, "owner");
	}
}

static void test_name_lengths(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *component = xmalloc(300);
	CLEANUP(str_done) struct str path = STR_INIT;

	memset(component, 'c', 256);
	component[256] = '\0';
	tar_file(&scene->tar, component, "x");
	check_refused(scene, "too long");
	str_clear(&scene->tar);
	for (int i = 0; i < 1000; i++)
		str_add(&path, "abcd/");
	tar_file(&scene->tar, str_get(&path), "x");
	check_refused(scene, "too");
	str_clear(&scene->tar);
	str_clear(&path);
	for (int i = 0; i <= TREE_DEPTH_MAX; i++)
		str_add(&path, "a/");
	tar_dir(&scene->tar, str_get(&path));
	check_refused(scene, "deep");
}

static void test_too_many_entries(void **state)
{
	struct scene *scene = *state;

	scene->limits.tree.entries_max = 10;
	for (int i = 0; i < 4; i++) {
		CLEANUP(freep) char *name = xasprintf("d%d/e/f", i);

		tar_file(&scene->tar, name, "x"); /* three entries each: two are implied */
	}
	check_refused(scene, "entries");
}

static void test_too_many_names(void **state)
{
	struct scene *scene = *state;

	scene->limits.tree.names_max = 1000;
	for (int i = 0; i < 20; i++) {
		CLEANUP(freep) char *name = xasprintf("directory%d/", i);

		tar_dir(&scene->tar, name);
	}
	check_refused(scene, "directories");
}

static void test_bomb(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str gzip = STR_INIT;
	char *zeros = xcalloc(1, 8 << 20);

	scene->limits.unpacked_free = 1 << 20;
	tar_add(&scene->tar, &(struct tar_member){ .name = "zeros", .data = zeros, .size = 8 << 20 });
	tar_end(&scene->tar);
	free(zeros);
	compress_gzip(scene->tar.data, scene->tar.len, &gzip);
	check_code(scene, unpack_blob(scene, &gzip, NULL, NULL), RPC_INVALID_ARGUMENT);
	assert_contains(scene->err.text, "bomb");
	scene->limits.unpacked_free = 16 << 20;
	scene->limits.unpacked_max = 4 << 20;
	check_code(scene, unpack_blob(scene, &gzip, NULL, NULL), RPC_INVALID_ARGUMENT);
	assert_contains(scene->err.text, "larger than");
}

static void test_digests(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str gzip = STR_INIT;
	struct digest wrong;

	tar_file(&scene->tar, "f", "x");
	tar_end(&scene->tar);
	compress_gzip(scene->tar.data, scene->tar.len, &gzip);
	digest_of(DIGEST_SHA256, "other", 5, &wrong);
	check_code(scene, unpack_blob(scene, &gzip, &wrong, NULL), RPC_DATA_LOSS);
	assert_contains(scene->err.text, "diff_id");
	check_code(scene, unpack_blob(scene, &gzip, NULL, &wrong), RPC_DATA_LOSS);
	assert_contains(scene->err.text, "blob");
	check_code(scene, unpack_blob(scene, &scene->tar, &wrong, NULL), RPC_DATA_LOSS);
	check_good(scene, unpack_blob(scene, &gzip, NULL, NULL));
	check_good(scene, unpack_blob(scene, &scene->tar, NULL, NULL));
	digest_of(DIGEST_SHA512, scene->tar.data, scene->tar.len, &wrong);
	check_good(scene,
		   unpack_blob(scene, &scene->tar, &wrong, NULL)); /* of another algorithm, but right */
}

/* What follows the end of the tar belongs to the digests too. */
static void test_trailing(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "x");
	tar_end(&scene->tar);
	tar_file(&scene->tar, "hidden", "x");
	check_runs(scene);
	assert_false(exists(scene, "hidden"));
}

static void test_truncated_tar(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "some content that is cut");
	scene->tar.len = 520;
	check_code(scene, run(scene), RPC_INVALID_ARGUMENT);
}

static void test_no_tar(void **state)
{
	struct scene *scene = *state;

	str_add(&scene->tar, "<html>this is not a tar, but long enough to be looked at");
	for (int i = 0; i < 100; i++)
		str_add(&scene->tar, "................................................................");
	check_code(scene, run(scene), RPC_INVALID_ARGUMENT);
	str_clear(&scene->tar);
	check_good(scene, run(scene)); /* nothing at all is an empty layer, to Go's reader too */
	tar_end(&scene->tar);
	check_good(scene, run(scene));
}

/* Control characters of a name stay out of the error text. */
static void test_error_text(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "a\nb/../x\x1b[31m", "x");
	tar_end(&scene->tar);
	check_code(scene, run(scene), RPC_INVALID_ARGUMENT);
	for (const char *c = scene->err.text; *c; c++)
		assert_true((unsigned char)*c >= 0x20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything),
		TEST(test_names),
		TEST(test_dotdot),
		TEST(test_dotdot_inside),
		TEST(test_absolute),
		TEST(test_link_then_write),
		TEST(test_link_then_write_absolute),
		TEST(test_file_through_link),
		TEST(test_chmod_through_link),
		TEST(test_directory_swapped),
		TEST(test_directory_swapped_for_other),
		TEST(test_hard_link_out),
		TEST(test_hard_link_through_link),
		TEST(test_hard_link_absent),
		TEST(test_hard_link_self),
		TEST(test_hard_link_directory),
		TEST(test_whiteouts),
		TEST(test_opaque_root),
		TEST(test_whiteout_of_dotdot),
		TEST(test_aufs_names),
		TEST(test_device_zero),
		TEST(test_xattrs),
		TEST(test_replacements),
		TEST(test_entry_below_file),
		TEST(test_root_as_file),
		TEST(test_sparse),
		TEST(test_sparse_bomb),
		TEST(test_pax_bomb),
		TEST(test_huge_size_field),
		TEST(test_negative_size),
		TEST(test_owner_out_of_range),
		TEST(test_name_lengths),
		TEST(test_too_many_entries),
		TEST(test_too_many_names),
		TEST(test_bomb),
		TEST(test_digests),
		TEST(test_trailing),
		TEST(test_truncated_tar),
		TEST(test_no_tar),
		TEST(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
