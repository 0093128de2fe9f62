/*
 * Lessons, bad input 37, hostile tar streams: ways out of the directory (there is a canary beside it), and
 * ways to make the reader use too much. What of a layer is dropped or translated, and trailing junk, is in
 * layer_test.c.
 */
#include "test/image/layer_scene.h"

#include "image/unpack.h"

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
	check_code(scene, unpack_tar(scene), RPC_INVALID_ARGUMENT);
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

static void test_whiteout_of_dotdot(void **state)
{
	static const char *const names[] = { ".wh...",  ".wh..",  ".wh.",          "a/.wh...",
					     "a/.wh..", "a/.wh.", "../.wh.canary", "../canary/.wh..wh..opq" };
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		str_clear(&scene->tar);
		tar_file(&scene->tar, names[i], "");
		tar_end(&scene->tar);
		if (unpack_tar(scene) == 0)
			fail_msg("%s was accepted", names[i]);
		assert_int_equal(scene->err.code, RPC_INVALID_ARGUMENT);
	}
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

/* In pieces, as they come from the network. */
static void check_headers_refused(struct scene *scene)
{
	CLEANUP(str_done) struct str gzip = STR_INIT;

	tar_end(&scene->tar);
	compress_gzip(scene->tar.data, scene->tar.len, &gzip);
	check_code(scene, unpack_blob(scene, &gzip, NULL, NULL), RPC_INVALID_ARGUMENT);
	assert_contains(scene->err.text, "headers are too large");
}

/* CVE-2025-58183: a map of millions of entries in few compressed bytes. */
static void test_sparse_bomb(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str map = STR_INIT;

	/* Whole, so that nothing but its length is wrong with it. */
	str_addf(&map, "%d\n", UNPACK_HEADER_MAX / 2);
	for (int i = 0; i < UNPACK_HEADER_MAX / 2; i += 8)
		str_add(&map, "0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n");
	tar_add(&scene->tar, &(struct tar_member){
				     .name = "pax",
				     .type = 'x',
				     .data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
					     "26 GNU.sparse.name=sparse\n31 GNU.sparse.realsize=1000004\n" });
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "GNUSparseFile.0/sparse", .data = map.data, .size = map.len });
	check_headers_refused(scene);
}

/* PAX headers in a row, each of them not too long. */
static void test_pax_chain(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str value = STR_INIT;

	while (value.len < 900 * 1024)
		str_add(&value, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	for (int i = 0; i < 2 * UNPACK_HEADER_MAX / (900 * 1024); i++)
		tar_pax(&scene->tar, "comment", str_get(&value));
	tar_file(&scene->tar, "f", "x");
	check_headers_refused(scene);
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

/* A name ends at its NUL, for the checks and for the kernel alike. */
static void test_nul_in_name(void **state)
{
	static const char inside[] = "safe\0/../../canary/file", outside[] = "../canary/file\0safe";
	struct scene *scene = *state;

	tar_pax_bytes(&scene->tar, "path", inside, sizeof(inside) - 1);
	tar_file(&scene->tar, "other", "inside");
	tar_end(&scene->tar);
	if (unpack_tar(scene) == 0)
		assert_true(exists(scene, "safe") || exists(scene, "other"));
	else
		assert_int_equal(scene->err.code, RPC_INVALID_ARGUMENT);
	str_clear(&scene->tar);
	tar_pax_bytes(&scene->tar, "path", outside, sizeof(outside) - 1);
	tar_file(&scene->tar, "../canary/file", "dead");
	check_refused(scene, "..");
	str_clear(&scene->tar);
	tar_pax_bytes(&scene->tar, "linkpath", outside, sizeof(outside) - 1);
	tar_add(&scene->tar, &(struct tar_member){ .name = "h", .type = '1', .link = "../canary/file" });
	check_refused(scene, "..");
}

/* Devices of the host are made as nodes, never opened: a FIFO or device in the way of an entry is replaced.
 */
static void test_entry_over_device(void **state)
{
	struct scene *scene = *state;

	tar_add(&scene->tar, &(struct tar_member){ .name = "null", .type = '3', .major = 1, .minor = 3 });
	tar_add(&scene->tar, &(struct tar_member){ .name = "fifo", .type = '6' });
	tar_add(&scene->tar, &(struct tar_member){ .name = "loop", .type = '4', .major = 7, .minor = 99 });
	tar_file(&scene->tar, "null", "file");
	tar_file(&scene->tar, "fifo", "file");
	tar_file(&scene->tar, "loop/file", "x");
	check_refused(scene, "no directory");
	check_content(scene, "null", "file");
	check_content(scene, "fifo", "file");
	assert_true(S_ISBLK(stat_of(scene, "loop").st_mode));
}

/* A hole of a terabyte costs no block; a file that says it is larger than any file is refused. */
static void test_sparse_size(void **state)
{
	struct scene *scene = *state;
	char data[1024] = "1\n0\n1\n";

	data[512] = 'a';
	tar_add(&scene->tar,
		&(struct tar_member){
			.name = "pax",
			.type = 'x',
			.data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
				"26 GNU.sparse.name=sparse\n42 GNU.sparse.realsize=999999999999999999\n" });
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "GNUSparseFile.0/sparse", .data = data, .size = 513 });
	check_refused(scene, "out of range");
}

/* A map that leads behind the file's end. */
static void test_sparse_outside(void **state)
{
	struct scene *scene = *state;
	char data[1024] = "1\n1000\n4\n";

	memcpy(data + 512, "dead", 4);
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "pax",
				      .type = 'x',
				      .data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
					      "26 GNU.sparse.name=sparse\n27 GNU.sparse.realsize=100\n" });
	tar_add(&scene->tar,
		&(struct tar_member){ .name = "GNUSparseFile.0/sparse", .data = data, .size = 516 });
	check_refused(scene, "outside of the file");
}

static void test_too_many_xattrs(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str records = STR_INIT;

	for (int i = 0; i < 65; i++)
		str_addf(&records, "27 SCHILY.xattr.user.a%02d=1\n", i);
	tar_add(&scene->tar, &(struct tar_member){ .name = "pax", .type = 'x', .data = records.data });
	tar_file(&scene->tar, "f", "x");
	check_refused(scene, "xattrs");
}

static void test_large_xattr(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str value = STR_INIT;

	while (value.len <= 64 * 1024)
		str_add(&value, "0123456789abcdef");
	tar_pax(&scene->tar, "SCHILY.xattr.user.a", str_get(&value));
	tar_file(&scene->tar, "f", "x");
	check_refused(scene, "xattrs");
}

static void test_link_target_length(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str target = STR_INIT;

	tar_add(&scene->tar, &(struct tar_member){ .name = "empty", .type = '2', .link = "" });
	check_refused(scene, "link target");
	str_clear(&scene->tar);
	while (target.len <= TREE_PATH_MAX)
		str_add(&target, "a/");
	tar_add(&scene->tar, &(struct tar_member){ .name = "long", .type = '2', .link = str_get(&target) });
	check_refused(scene, "link target");
}

/* Nothing of these names remains to be made, or only after megabytes of "./". */
static void test_no_name(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str dots = STR_INIT;

	tar_add(&scene->tar, &(struct tar_member){ .name = "", .type = '5', .mode = 0777 });
	check_refused(scene, "usable name");
	str_clear(&scene->tar);
	while (dots.len <= 2 * TREE_PATH_MAX)
		str_add(&dots, "./");
	str_add(&dots, "f");
	tar_file(&scene->tar, str_get(&dots), "x");
	check_refused(scene, "usable name");
}

/* A record that cannot be read might be the one that names the file to other readers. */
static void test_malformed_pax(void **state)
{
	static const char *const records[] = { "7 path=other\n", "99 path=x\n", "path=x\n", "x path=x\n" };
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		str_clear(&scene->tar);
		tar_add(&scene->tar, &(struct tar_member){ .name = "pax", .type = 'x', .data = records[i] });
		tar_file(&scene->tar, "f", "x");
		check_refused(scene, "tar: ");
	}
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

	for (size_t i = 0; i < 2 * ARRAY_LEN(ids); i++) {
		str_clear(&scene->tar);
		tar_pax(&scene->tar, i % 2 ? "gid" : "uid", ids[i / 2]);
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

/* Lessons, bad input 38: 1000 to 1. */
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

static void test_truncated_tar(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "f", "some content that is cut");
	scene->tar.len = 520;
	check_code(scene, unpack_tar(scene), RPC_INVALID_ARGUMENT);
}

/* CVE-2021-20291: neither the decompressor nor the reader of tar waits for the other one. */
static void test_no_tar(void **state)
{
	struct scene *scene = *state;

	str_add(&scene->tar, "<html>this is not a tar, but long enough to be looked at");
	for (int i = 0; i < 100; i++)
		str_add(&scene->tar, "................................................................");
	check_code(scene, unpack_tar(scene), RPC_INVALID_ARGUMENT);
	str_clear(&scene->tar);
	check_good(scene, unpack_tar(scene)); /* nothing at all is an empty layer, to Go's reader too */
	tar_end(&scene->tar);
	check_good(scene, unpack_tar(scene));
}

/* Control characters of a name stay out of the error text. */
static void test_error_text(void **state)
{
	struct scene *scene = *state;

	tar_file(&scene->tar, "a\nb/../x\x1b[31m", "x");
	tar_end(&scene->tar);
	check_code(scene, unpack_tar(scene), RPC_INVALID_ARGUMENT);
	for (const char *c = scene->err.text; *c; c++)
		assert_true((unsigned char)*c >= 0x20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, layer_setup, layer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		TEST(test_whiteout_of_dotdot),
		TEST(test_device_zero),
		TEST(test_entry_below_file),
		TEST(test_root_as_file),
		TEST(test_sparse_bomb),
		TEST(test_pax_chain),
		TEST(test_pax_bomb),
		TEST(test_nul_in_name),
		TEST(test_entry_over_device),
		TEST(test_sparse_size),
		TEST(test_sparse_outside),
		TEST(test_too_many_xattrs),
		TEST(test_large_xattr),
		TEST(test_link_target_length),
		TEST(test_no_name),
		TEST(test_malformed_pax),
		TEST(test_huge_size_field),
		TEST(test_negative_size),
		TEST(test_owner_out_of_range),
		TEST(test_name_lengths),
		TEST(test_too_many_entries),
		TEST(test_too_many_names),
		TEST(test_bomb),
		TEST(test_truncated_tar),
		TEST(test_no_tar),
		TEST(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
