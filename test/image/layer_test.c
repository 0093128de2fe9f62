/* What a layer becomes on disk, and that it is the layer it should be. */
#include "test/image/layer_scene.h"

#include <linux/capability.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

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

/* GNU tar's long names, and PAX records for links, both in UTF-8. */
static void test_long_names(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str name = STR_INIT;
	CLEANUP(str_done) struct str target = STR_INIT;
	char link[1024];
	ssize_t len;

	while (name.len < 230)
		str_add(&name, "\xc3\xa9\xe6\x97\xa5");
	str_addf(&target, "dir/%s", str_get(&name));
	tar_add(&scene->tar, &(struct tar_member){ .name = "././@LongLink",
						   .type = 'L',
						   .data = str_get(&target),
						   .size = target.len + 1 });
	tar_add(&scene->tar, &(struct tar_member){ .name = "dir/cut", .data = "long" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "hard", .type = '1', .link = str_get(&target) });
	tar_add(&scene->tar, &(struct tar_member){ .name = "soft", .type = '2', .link = str_get(&target) });
	tar_add(&scene->tar, &(struct tar_member){ .name = "././@LongLink",
						   .type = 'K',
						   .data = str_get(&target),
						   .size = target.len + 1 });
	tar_add(&scene->tar, &(struct tar_member){ .name = "gnu", .type = '1', .link = "dir/cut" });
	check_runs(scene);
	check_content(scene, str_get(&target), "long");
	check_content(scene, "hard", "long");
	check_content(scene, "gnu", "long");
	assert_int_equal(stat_of(scene, "hard").st_nlink, 3);
	len = readlinkat(scene->root, "soft", link, sizeof(link) - 1);
	assert_int_equal(len, target.len);
	assert_memory_equal(link, str_get(&target), target.len);
}

/* A directory's setgid bit is for whoever writes there later, not for what the layer has in it. */
static void test_setgid_directory(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "d/", .type = '5', .mode = 02775, .gid = 50 });
	tar_file(&scene->tar, "d/file", "x");
	tar_dir(&scene->tar, "d/sub/");
	tar_file(&scene->tar, "d/implied/file", "x");
	tar_add(&scene->tar, &(struct tar_member){ .name = "d/link", .type = '2', .link = "file" });
	tar_add(&scene->tar, &(struct tar_member){ .name = "d/fifo", .type = '6' });
	tar_add(&scene->tar, &(struct tar_member){ .name = "d/own", .gid = 50, .data = "x" });
	check_runs(scene);
	static const char *const names[] = { "d/file",         "d/sub",  "d/implied",
					     "d/implied/file", "d/link", "d/fifo" };

	assert_int_equal(stat_of(scene, "d").st_mode & 07777, 02775);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct stat st = stat_of(scene, names[i]);

		if (st.st_gid != 0 || (st.st_mode & S_ISGID))
			fail_msg("%s: group %u, mode %o", names[i], st.st_gid, st.st_mode);
	}
	assert_int_equal(stat_of(scene, "d/own").st_gid, 50);
}

/* Times from before 1970 and from after 2106, to the nanosecond. */
static void test_times(void **state)
{
	struct scene *scene = *state;

	tar_pax(&scene->tar, "mtime", "-86400.25");
	tar_file(&scene->tar, "old", "x");
	tar_pax(&scene->tar, "mtime", "5000000000.123456789");
	tar_dir(&scene->tar, "new/");
	tar_file(&scene->tar, "new/file", "x"); /* changes the directory's time for a moment */
	check_runs(scene);
	assert_true(stat_of(scene, "old").st_mtim.tv_sec <= -86400);
	assert_int_equal(stat_of(scene, "new").st_mtim.tv_sec, 5000000000);
	assert_int_equal(stat_of(scene, "new").st_mtim.tv_nsec, 123456789);
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

static ssize_t xattr_len(struct scene *scene, const char *path, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(scene->root, path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fgetxattr(fd, name, NULL, 0);
}

/* Lessons, bad input 37: capabilities are kept, what overlayfs or an LSM would obey is dropped. */
static void test_xattrs(void **state)
{
	struct scene *scene = *state;
	static const char key[] = "SCHILY.xattr.user.";
	char name[300] = { 0 };
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
	memset(name, 'x', sizeof(name) - 1); /* longer than any the kernel takes */
	memcpy(name, key, strlen(key));
	tar_pax(&scene->tar, name, "y");
	tar_file(&scene->tar, "j", "x");
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

static void add_gzip(struct str *out, const struct str *tar, size_t from, size_t to)
{
	compress_gzip(tar->data + from, to - from, out);
}

/*
 * eStargz (stargz-snapshotter, docs/estargz.md): a gzip member for every chunk, an index in the last of them,
 * and a footer: an empty member whose FEXTRA field tells where the index is.
 */
static void test_estargz(void **state)
{
	static const uint8_t footer[] = { 0x1f, 0x8b, 8,   4,   0,   0,   0,   0,   0,    0xff, 26,
					  0,    'S',  'G', 22,  0,   '0', '0', '0', '0',  '0',  '0',
					  '0',  '0',  '0', '0', '0', '0', '4', '0', '0',  '0',  'S',
					  'T',  'A',  'R', 'G', 'Z', 1,   0,   0,   0xff, 0xff, 0,
					  0,    0,    0,   0,   0,   0,   0 };
	struct scene *scene = *state;
	CLEANUP(str_done) struct str blob = STR_INIT;
	size_t first, second;

	tar_file(&scene->tar, "etc/one", "1");
	first = scene->tar.len;
	tar_file(&scene->tar, "etc/two", "2");
	second = scene->tar.len;
	tar_file(&scene->tar, "stargz.index.json", "{\"version\":1,\"entries\":[]}");
	tar_end(&scene->tar);
	add_gzip(&blob, &scene->tar, 0, first);
	add_gzip(&blob, &scene->tar, first, second);
	add_gzip(&blob, &scene->tar, second, scene->tar.len);
	str_addn(&blob, footer, sizeof(footer));
	check_good(scene, unpack_blob(scene, &blob, NULL, NULL));
	check_content(scene, "etc/one", "1");
	check_content(scene, "etc/two", "2");
}

/* zstd:chunked (containers/storage, pkg/chunked): frames, and skippable frames with manifest and footer. */
static void test_zstd_chunked(void **state)
{
	static const char skippable[] = "\x50\x2a\x4d\x18\x08\x00\x00\x00manifest";
	struct scene *scene = *state;
	CLEANUP(str_done) struct str blob = STR_INIT;

	tar_file(&scene->tar, "etc/one", "1");
	tar_end(&scene->tar);
	compress_zstd(scene->tar.data, 512, &blob);
	compress_zstd(scene->tar.data + 512, scene->tar.len - 512, &blob);
	str_addn(&blob, skippable, sizeof(skippable) - 1);
	str_addn(&blob, skippable, sizeof(skippable) - 1);
	check_good(scene, unpack_blob(scene, &blob, NULL, NULL));
	check_content(scene, "etc/one", "1");
}

/* Lessons, bad input 37: what lies behind the archive's end counts for the digests only. */
static void test_trailing(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "x");
	tar_end(&scene->tar);
	tar_file(&scene->tar, "hidden", "x");
	check_runs(scene);
	assert_false(exists(scene, "hidden"));
}

/* More of it than the reader of the tar has in its hands when it stops. */
static void test_long_trailing(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str gzip = STR_INIT;

	tar_file(&scene->tar, "f", "x");
	tar_end(&scene->tar);
	for (int i = 0; i < 200000; i++)
		str_addf(&scene->tar, "%d trailing junk\n", i);
	compress_gzip(scene->tar.data, scene->tar.len, &gzip);
	check_good(scene, unpack_blob(scene, &gzip, NULL, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything),
		TEST(test_names),
		TEST(test_long_names),
		TEST(test_setgid_directory),
		TEST(test_times),
		TEST(test_hard_link_self),
		TEST(test_hard_link_directory),
		TEST(test_whiteouts),
		TEST(test_opaque_root),
		TEST(test_aufs_names),
		TEST(test_xattrs),
		TEST(test_replacements),
		TEST(test_sparse),
		TEST(test_digests),
		TEST(test_estargz),
		TEST(test_zstd_chunked),
		TEST(test_trailing),
		TEST(test_long_trailing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
