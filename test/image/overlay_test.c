/*
 * Overlay mounts, in a mount namespace of their own: the program unshares before the first test, while it has
 * one thread. Layers come from tar streams, so that what unpacking writes is proved to mean to overlayfs what
 * it should.
 *
 * All tests run three times: as the kernel is, with fsconfig(2) refusing every option, and without fsopen(2),
 * by seccomp filters.
 */
#include "test/base/check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/layer.h"
#include "image/overlay.h"
#include "test/image/tar_stream.h"

struct scene {
	struct scratch scratch;
	char *upper, *work, *target;
	struct strv lowers; /* top first */
};

static void make(struct scene *scene, const char *name, char **path)
{
	assert_int_equal(mkdirat(scene->scratch.dir, name, 0755), 0);
	if (path)
		*path = xasprintf("%s/%s", scene->scratch.path, name);
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	scratch_init(&scene->scratch);
	/* /tmp may be an overlay itself, which can't be an upper layer. */
	assert_int_equal(mount("none", scene->scratch.path, "tmpfs", 0, NULL), 0);
	close(scene->scratch.dir);
	scene->scratch.dir = open(scene->scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make(scene, "upper", &scene->upper);
	make(scene, "work", &scene->work);
	make(scene, "target", &scene->target);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	assert_ok(overlay_unmount(scene->target, &err));
	assert_int_equal(umount2(scene->scratch.path, MNT_DETACH), 0);
	scratch_done(&scene->scratch);
	free(scene->upper);
	free(scene->work);
	free(scene->target);
	strv_done(&scene->lowers);
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

/* Unpacks a tar as a new layer on top of those there are. */
static void add_layer(struct scene *scene, struct str *tar)
{
	CLEANUP(freep) char *name = xasprintf("layer%zu", scene->lowers.len);
	CLEANUP(layer_output_done) struct layer_output output = { 0 };
	struct once once = { tar, false };
	const struct byte_source source = { give_once, &once };
	struct strv lowers = STRV_INIT;
	struct digest digest;
	struct err err = { 0 };
	char *path;

	tar_end(tar);
	digest_of(DIGEST_SHA256, tar->data, tar->len, &digest);
	make(scene, name, &path);
	CLEANUP(fd_closep) int root = openat(scene->scratch.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct layer_input input = { .blob = &source,
					   .digest = &digest,
					   .diff_id = &digest,
					   .limits = &layer_limits_default,
					   .root = root };

	assert_ok(layer_unpack(&input, &output, &err));
	strv_add_take(&lowers, path);
	strv_add_all(&lowers, (const char *const *)scene->lowers.items, scene->lowers.len);
	strv_done(&scene->lowers);
	scene->lowers = lowers;
	str_done(tar);
}

static void add_layers(struct scene *scene)
{
	struct str tar = STR_INIT;

	tar_file(&tar, "kept", "below");
	tar_file(&tar, "gone", "below");
	tar_file(&tar, "dir/old", "below");
	tar_file(&tar, "merged/old", "below");
	tar_file(&tar, "replaced/old", "below");
	add_layer(scene, &tar);
	tar_file(&tar, ".wh.gone", "");
	tar_file(&tar, "dir/.wh..wh..opq", "");
	tar_file(&tar, "dir/new", "above");
	tar_file(&tar, "merged/new", "above");
	tar_file(&tar, ".wh.replaced", "");
	tar_dir(&tar, "replaced/");
	add_layer(scene, &tar);
}

static bool exists(struct scene *scene, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("target/%s", name);
	struct stat st;

	return fstatat(scene->scratch.dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void check_merged(struct scene *scene)
{
	assert_true(exists(scene, "kept") && exists(scene, "merged/old") && exists(scene, "merged/new"));
	assert_true(exists(scene, "dir/new") && exists(scene, "replaced"));
	assert_false(exists(scene, "gone") || exists(scene, "dir/old") || exists(scene, "replaced/old"));
}

static void test_writable(void **state)
{
	struct scene *scene = *state;
	const struct overlay_mount mount = { &scene->lowers, scene->upper, scene->work, scene->target };
	struct err err = { 0 };

	add_layers(scene);
	assert_false(overlay_mounted(scene->target));
	assert_ok(overlay_mount(&mount, &err));
	assert_true(overlay_mounted(scene->target));
	check_merged(scene);
	put_file(scene->scratch.dir, "target/written", "x");
	assert_ok(overlay_unmount(scene->target, &err));
	assert_false(overlay_mounted(scene->target) || exists(scene, "written"));
	assert_int_equal(faccessat(scene->scratch.dir, "upper/written", F_OK, 0), 0);
	assert_ok(overlay_unmount(scene->target, &err)); /* again */
}

/* A volatile upper layer is marked until it is unmounted cleanly; after a crash of crispd alone the mark may
 * go. */
static void test_remount(void **state)
{
	struct scene *scene = *state;
	const struct overlay_mount mount = { &scene->lowers, scene->upper, scene->work, scene->target };
	struct err err = { 0 };

	add_layers(scene);
	assert_ok(overlay_reuse_work(scene->work, &err));
	for (int i = 0; i < 3; i++) {
		assert_ok(overlay_mount(&mount, &err));
		put_file(scene->scratch.dir, "target/written", "x");
		assert_ok(overlay_unmount(scene->target, &err));
		assert_ok(overlay_reuse_work(scene->work, &err));
	}
}

static void test_read_only(void **state)
{
	struct scene *scene = *state;
	const struct overlay_mount mount = { &scene->lowers, NULL, NULL, scene->target };
	struct err err = { 0 };

	add_layers(scene);
	assert_ok(overlay_mount(&mount, &err));
	check_merged(scene);
	assert_true(openat(scene->scratch.dir, "target/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0);
}

static void test_one_layer(void **state)
{
	struct scene *scene = *state;
	struct str tar = STR_INIT;
	const struct overlay_mount mount = { &scene->lowers, NULL, NULL, scene->target };
	struct err err = { 0 };

	tar_file(&tar, "kept", "x");
	add_layer(scene, &tar);
	assert_ok(overlay_mount(&mount, &err));
	assert_true(overlay_mounted(scene->target) && exists(scene, "kept"));
	assert_true(openat(scene->scratch.dir, "target/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0);
}

/* Characters that the option string of mount(2) gives a meaning to, and a path too long for fsconfig(2). */
static void test_awkward_paths(void **state)
{
	struct scene *scene = *state;
	CLEANUP(str_done) struct str name = STR_INIT;
	const struct overlay_mount mount = { &scene->lowers, scene->upper, scene->work, scene->target };
	struct err err = { 0 };

	for (int i = 0; i < 4; i++) {
		str_addf(&name, "%sa:b,c\\d=e-%060d", i ? "/" : "", i);
		make(scene, str_get(&name), NULL);
	}
	CLEANUP(freep) char *inside = xasprintf("%s/inside", str_get(&name));

	put_file(scene->scratch.dir, inside, "x");
	strv_addf(&scene->lowers, "%s/%s", scene->scratch.path, str_get(&name));
	make(scene, "a:b", NULL);
	strv_addf(&scene->lowers, "%s/a:b", scene->scratch.path);
	assert_ok(overlay_mount(&mount, &err));
	assert_true(exists(scene, "inside"));
}

static void test_many_layers(void **state)
{
	struct scene *scene = *state;
	const struct overlay_mount mount = { &scene->lowers, scene->upper, scene->work, scene->target };
	struct err err = { 0 };

	for (int i = 0; i < 127; i++) {
		CLEANUP(freep) char *name = xasprintf("layer%d", i);
		CLEANUP(freep) char *file = xasprintf("layer%d/file%d", i, i);

		make(scene, name, NULL);
		put_file(scene->scratch.dir, file, "x");
		strv_addf(&scene->lowers, "%s/%s", scene->scratch.path, name);
	}
	assert_ok(overlay_mount(&mount, &err));
	assert_true(exists(scene, "file0") && exists(scene, "file126"));
}

static void test_refused(void **state)
{
	struct scene *scene = *state;
	const struct overlay_mount mount = { &scene->lowers, scene->upper, scene->work, scene->target };
	struct err err = { 0 };

	assert_fails(overlay_mount(&mount, &err), RPC_INVALID_ARGUMENT);
	strv_add(&scene->lowers, "/nonexistent/layer");
	assert_true(overlay_mount(&mount, &err) < 0);
	assert_contains(err.text, "/nonexistent/layer");
	assert_false(overlay_mounted(scene->target));
	assert_false(overlay_mounted("/nonexistent"));
	assert_ok(overlay_unmount("/nonexistent", &err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int fail_syscall(unsigned int number, unsigned int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_LEN(code), code };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_writable),      TEST(test_remount),     TEST(test_read_only), TEST(test_one_layer),
		TEST(test_awkward_paths), TEST(test_many_layers), TEST(test_refused),
	};
	int failed;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "a mount namespace is needed: %m\n");
		return 1;
	}
	failed = cmocka_run_group_tests_name("new mount API", tests, NULL, NULL);
	if (fail_syscall(SYS_fsconfig, EINVAL) < 0) {
		fprintf(stderr, "a seccomp filter is needed: %m\n");
		return 1;
	}
	failed += cmocka_run_group_tests_name("options refused", tests, NULL, NULL);
	if (fail_syscall(SYS_fsopen, ENOSYS) < 0)
		return 1;
	return failed + cmocka_run_group_tests_name("no new mount API", tests, NULL, NULL);
}
