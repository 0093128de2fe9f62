/*
 * Lessons, faults 2, 3, 20, 21 and, as far as the order of writes goes, 22: each system call by which a pull
 * or a removal changes the store fails once with EIO, or is the one that a kill -9 comes before; and so does
 * each read by which the store is opened. Afterwards the image is there and whole or not there at all, the
 * next try succeeds, and nothing is left behind.
 *
 * libc's functions are replaced by the ones below. Those that sync do nothing: it is the order that counts.
 */
#include "test/image/store_scene.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "test/image/tar_stream.h"

enum { TRACE_MAX = 4096, NEVER = -1, STEPS_MIN = 40, CHILD_SECONDS = 60 };

static struct {
	atomic_bool armed, fired;
	bool reads; /* else changes */
	bool kills;
	int at; /* the call that fails, from 0 */
	atomic_int calls;
	char trace[TRACE_MAX + 1]; /* a letter for each call */
} faults;

static void arm_kind(int at, bool reads)
{
	faults.reads = reads;
	memset(faults.trace, 0, sizeof(faults.trace));
	faults.at = at;
	atomic_store(&faults.fired, false);
	atomic_store(&faults.calls, 0);
	atomic_store(&faults.armed, true);
}

static void arm(int at)
{
	arm_kind(at, false);
}

/* False when the call that should have failed was never made. */
static bool disarm(void)
{
	atomic_store(&faults.armed, false);
	return atomic_load(&faults.fired);
}

static bool fault(char letter)
{
	int call;

	if (!atomic_load(&faults.armed) || faults.reads != (letter == 'R'))
		return false;
	call = atomic_fetch_add(&faults.calls, 1);
	if (call < TRACE_MAX)
		faults.trace[call] = letter;
	if (call != faults.at)
		return false;
	if (faults.kills)
		raise(SIGKILL);
	atomic_store(&faults.fired, true);
	errno = EIO;
	return true;
}

static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

#define REPLACEMENT(letter, ...) (fault(letter) ? -1 : (int)syscall(__VA_ARGS__))

ssize_t write(int fd, const void *data, size_t len) /* NOLINT: names are the point */
{
	return is_file(fd) && fault('w') ? -1 : syscall(SYS_write, fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return fault('p') ? -1 : syscall(SYS_pwrite64, fd, data, len, offset);
}

ssize_t read(int fd, void *data, size_t len)
{
	return is_file(fd) && fault('R') ? -1 : syscall(SYS_read, fd, data, len);
}

int openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT) {
		va_list arguments;

		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
		if (fault('o'))
			return -1;
	}
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

int ftruncate(int fd, off_t len)
{
	return REPLACEMENT('t', SYS_ftruncate, fd, len);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	return REPLACEMENT('d', SYS_mkdirat, dir, path, mode);
}

int mknodat(int dir, const char *path, mode_t mode, dev_t device)
{
	return REPLACEMENT('n', SYS_mknodat, dir, path, mode, device);
}

int symlinkat(const char *target, int dir, const char *path)
{
	return REPLACEMENT('l', SYS_symlinkat, target, dir, path);
}

int linkat(int from, const char *target, int dir, const char *path, int flags)
{
	return REPLACEMENT('l', SYS_linkat, from, target, dir, path, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
	return REPLACEMENT('r', SYS_renameat2, from, old, to, new, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return REPLACEMENT('u', SYS_unlinkat, dir, path, flags);
}

int fchmod(int fd, mode_t mode)
{
	return REPLACEMENT('m', SYS_fchmod, fd, mode);
}

int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	assert_int_equal(flags, 0);
	return REPLACEMENT('m', SYS_fchmodat, dir, path, mode);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
	return REPLACEMENT('c', SYS_fchown, fd, uid, gid);
}

int fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	return REPLACEMENT('c', SYS_fchownat, dir, path, uid, gid, flags);
}

int futimens(int fd, const struct timespec times[2])
{
	return REPLACEMENT('i', SYS_utimensat, fd, NULL, times, 0);
}

int utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
	return REPLACEMENT('i', SYS_utimensat, dir, path, times, flags);
}

int fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
	return REPLACEMENT('x', SYS_fsetxattr, fd, name, value, len, flags);
}

int fsync(int fd)
{
	(void)fd;
	return fault('f') ? -1 : 0;
}

int syncfs(int fd)
{
	(void)fd;
	return fault('s') ? -1 : 0;
}

static const char name[] = "plain.test/team/rich:v1";

struct rich {
	struct str tars[2];
	struct fake_image image;
	char *whole; /* the store's layers in words, once the image is there */
};

/* Something of each kind that a layer may have. */
static void make_tars(struct rich *rich)
{
	static const char capability[20] = { 0, 0, 0, 2, 1 };
	static const char sparse[513] = { [0] = '1', '\n', '0', '\n', '1', '\n', [512] = 'a' };
	struct str *base = &rich->tars[0], *top = &rich->tars[1];

	tar_add(base, &(struct tar_member){ .name = "./", .type = '5', .mtime = 1 });
	tar_add(base, &(struct tar_member){ .name = "d/", .type = '5', .mode = 02775, .gid = 5, .mtime = 2 });
	tar_add(base, &(struct tar_member){ .name = "d/suid", .mode = 04755, .uid = 7, .data = "suid" });
	tar_add(base, &(struct tar_member){ .name = "d/hard", .type = '1', .link = "d/suid" });
	tar_add(base, &(struct tar_member){ .name = "d/soft", .type = '2', .link = "suid", .mtime = 3 });
	tar_add(base,
		&(struct tar_member){ .name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3 });
	tar_pax_bytes(base, "SCHILY.xattr.security.capability", capability, sizeof(capability));
	tar_file(base, "implied/capable", "capable");
	tar_file(base, "gone", "gone");
	tar_add(base,
		&(struct tar_member){ .name = "pax",
				      .type = 'x',
				      .data = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
					      "26 GNU.sparse.name=sparse\n25 GNU.sparse.realsize=9\n" });
	tar_add(base, &(struct tar_member){ .name = "GNUSparseFile.0/s", .data = sparse, .size = 513 });
	tar_end(base);
	tar_file(top, ".wh.gone", "");
	tar_file(top, "implied/.wh..wh..opq", "");
	tar_file(top, "d/more", "more");
	tar_end(top);
}

static void describe_file(int dir, const char *path, const struct stat *st, struct str *ret)
{
	static const char *const xattrs[] = { "security.capability", "trusted.overlay.opaque" };
	CLEANUP(fd_closep) int fd = -1;
	char link[256] = { 0 };
	struct err err = { 0 };

	if (S_ISLNK(st->st_mode) && readlinkat(dir, path, link, sizeof(link) - 1) > 0)
		str_addf(ret, " -> %s", link);
	if (S_ISREG(st->st_mode)) {
		CLEANUP(freep) char *content = NULL;

		assert_ok(file_read(dir, path, 1 << 20, &content, NULL, &err));
		str_addf(ret, " \"%s\"", content);
	}
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return;
	fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(xattrs); i++)
		if (fgetxattr(fd, xattrs[i], NULL, 0) > 0)
			str_addf(ret, " %s", xattrs[i]);
}

/* Directories may be implied, and whiteouts are made by us. */
static bool has_mtime(const struct stat *st)
{
	return !S_ISDIR(st->st_mode) && !(S_ISCHR(st->st_mode) && st->st_rdev == 0);
}

static void describe(int dir, const char *path, struct str *ret)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err = { 0 };

	assert_ok(dir_list(dir, path, &names, &err));
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *below = xasprintf("%s/%s", path, names.items[i]);
		struct stat st;

		assert_int_equal(fstatat(dir, below, &st, AT_SYMLINK_NOFOLLOW), 0);
		str_addf(ret, "%s %o %u:%u %jx", below, st.st_mode, st.st_uid, st.st_gid,
			 (uintmax_t)st.st_rdev);
		if (!S_ISDIR(st.st_mode))
			str_addf(ret, " %ju %jd", (uintmax_t)st.st_nlink, (intmax_t)st.st_size);
		if (has_mtime(&st) && !str_eq(names.items[i], "layer.json"))
			str_addf(ret, " %lld", (long long)st.st_mtim.tv_sec);
		describe_file(dir, below, &st, ret);
		str_add(ret, "\n");
		if (S_ISDIR(st.st_mode))
			describe(dir, below, ret);
	}
}

static char *describe_layers(struct scene *scene)
{
	struct str text = STR_INIT;

	describe(scene->scratch.dir, "root/layers", &text);
	return str_take(&text);
}

static void check_whole(struct scene *scene, const struct rich *rich)
{
	CLEANUP(freep) char *now = describe_layers(scene);
	size_t same = 0;

	while (now[same] && now[same] == rich->whole[same])
		same++;
	if (now[same] != rich->whole[same])
		fail_msg("not whole: ...%.300s", now + (same < 150 ? 0 : same - 150));
}

static void check_empty(struct scene *scene)
{
	assert_int_equal(count_images(scene), 0);
	assert_int_equal(count_files(scene, "layers") + count_files(scene, "images") +
				 count_files(scene, "blobs/sha256"),
			 0);
	check_tmp_empties(scene);
}

/* As crispd starts. No record is ever found broken: it is written last and removed first. */
static void open_again(struct scene *scene)
{
	scene_open(scene);
	assert_int_equal(images_warnings(scene->images)->len, 0);
	images_collect(scene->images);
}

static void remove_image(struct scene *scene)
{
	struct err err = { 0 };

	assert_ok(images_remove(scene->images, name, &err));
}

static void rich_init(struct scene *scene, struct rich *rich)
{
	*rich = (struct rich){ .tars = { STR_INIT, STR_INIT } };
	make_tars(rich);
	const struct fake_layer layers[] = { { &rich->tars[0], FAKE_GZIP }, { &rich->tars[1], FAKE_ZSTD } };

	fake_image_build(&scene->content, "team/rich", "v1", "{}", layers, ARRAY_LEN(layers), &rich->image);
	check_pull(scene, name, rich->image.config_digest);
	rich->whole = describe_layers(scene);
	assert_contains(rich->whole, "d/suid 104755 7:0 0 2");
	assert_contains(rich->whole, "security.capability");
	assert_contains(rich->whole, "trusted.overlay.opaque");
	remove_image(scene);
	check_empty(scene);
}

static void rich_done(struct rich *rich)
{
	str_done(&rich->tars[0]);
	str_done(&rich->tars[1]);
	fake_image_done(&rich->image);
	free(rich->whole);
}

/* After any fault: whole or not there, and the next pull and removal are as ever. */
static void check_recovery(struct scene *scene, const struct rich *rich)
{
	if (scene_has(scene, name))
		check_whole(scene, rich);
	check_pull(scene, name, rich->image.config_digest);
	check_whole(scene, rich);
	remove_image(scene);
}

static void check_failed_pull(struct scene *scene, int at, const struct rich *rich, bool restart)
{
	CLEANUP(freep) char *id = NULL;
	struct err err = { 0 };
	int result;

	arm(at);
	result = scene_pull(scene, name, NULL, &id, &err);
	if (disarm() && result < 0)
		assert_true(err.code == RPC_INTERNAL || err.code == RPC_DATA_LOSS);
	assert_int_equal(scene_has(scene, name), result == 0);
	if (restart) {
		images_free(scene->images);
		open_again(scene);
		assert_int_equal(scene_has(scene, name), result == 0);
		if (result < 0)
			check_empty(scene);
	}
	check_recovery(scene, rich);
	images_free(scene->images); /* a deletion that failed is tried again at the next start */
	open_again(scene);
	check_empty(scene);
}

static void test_pull_fails(void **state)
{
	struct scene *scene = *state;
	struct rich rich;
	int at = 0;

	rich_init(scene, &rich);
	do {
		check_failed_pull(scene, at, &rich, false);
		check_failed_pull(scene, at++, &rich, true);
	} while (atomic_load(&faults.fired));
	assert_true(at > STEPS_MIN);
	rich_done(&rich);
}

static void test_removal_fails(void **state)
{
	struct scene *scene = *state;
	struct rich rich;
	int at = 0;

	rich_init(scene, &rich);
	do {
		struct err err = { 0 };
		int result;

		check_pull(scene, name, rich.image.config_digest);
		arm(at++);
		result = images_remove(scene->images, name, &err);
		assert_true(pool_wait_quiet(scene->pool, NO_DEADLINE)); /* deletions */
		disarm();
		if (result < 0)
			assert_int_equal(err.code, RPC_INTERNAL);
		if (scene_has(scene, name))
			check_whole(scene, &rich);
		assert_int_equal(scene_has(scene, name), result < 0);
		remove_image(scene);
		assert_int_equal(count_images(scene), 0);
		images_free(scene->images);
		open_again(scene);
		check_empty(scene);
	} while (atomic_load(&faults.fired));
	assert_true(at > STEPS_MIN / 2);
	rich_done(&rich);
}

/* The layer that a container runs on stays whatever cannot be read. */
static void check_failed_open(struct scene *scene, int at, const struct rich *rich)
{
	struct image *image;
	struct err err = { 0 };
	int result;

	check_pull(scene, name, rich->image.config_digest);
	image = scene_find(scene, name);
	snprintf(scene->in_use, sizeof(scene->in_use), "%s", image->layers.items[0]);
	CLEANUP(freep) char *file = xasprintf("layers/%s/diff/d/suid", image->layers.items[0] + 7);
	CLEANUP(freep) char *root = xasprintf("%s/root", scene->scratch.path);

	image_unref(image);
	images_free(scene->images);
	arm_kind(at, true);
	result = scene_try_open(scene, &err);
	disarm();
	if (result < 0)
		scene_open(scene);
	images_collect(scene->images);
	check_file(root, file, "suid");
	scene->in_use[0] = '\0';
	check_recovery(scene, rich);
	check_empty(scene);
}

static void test_open_fails(void **state)
{
	struct scene *scene = *state;
	struct rich rich;
	int at = 0;

	rich_init(scene, &rich);
	do
		check_failed_open(scene, at++, &rich);
	while (atomic_load(&faults.fired));
	assert_true(at > 4); /* two layers, a record, a config */
	rich_done(&rich);
}

/* Once more this program, which is killed before it makes a certain call. False when it got through. */
static bool run_killed(struct scene *scene, const char *what, int at)
{
	CLEANUP(freep) char *number = xasprintf("%d", at);
	const char *const argv[] = { "test", what, scene->scratch.path, number, NULL };
	const struct command command = { .path = "/proc/self/exe",
					 .argv = argv,
					 .stderr_max = 4096,
					 .timeout = CHILD_SECONDS * NS_PER_SEC };
	struct command_result result;
	struct err err = { 0 };
	bool killed;

	assert_ok(command_run(&command, NULL, &result, &err));
	killed = !result.exited && result.status == SIGKILL;
	if (!killed && !(result.exited && result.status == 0))
		fail_msg("%s %d: status %d: %s", what, at, result.status, str_get(&result.err_out));
	command_result_done(&result);
	return killed;
}

static void test_killed(struct scene *scene, const char *what, int steps_min)
{
	struct rich rich;
	bool killed;
	int at = 0;

	rich_init(scene, &rich);
	do {
		if (str_eq(what, "remove"))
			check_pull(scene, name, rich.image.config_digest);
		images_free(scene->images);
		killed = run_killed(scene, what, at++);
		open_again(scene);
		if (!scene_has(scene, name))
			check_empty(scene);
		check_recovery(scene, &rich);
		check_empty(scene);
	} while (killed);
	print_message("%s: killed at %d steps\n", what, at - 1);
	assert_true(at > steps_min);
	rich_done(&rich);
}

static void test_pull_killed(void **state)
{
	test_killed(*state, "pull", STEPS_MIN);
}

static void test_removal_killed(void **state)
{
	test_killed(*state, "remove", STEPS_MIN / 2);
}

/* A record promises that its layers are on disk: between the sync of all and the answer nothing is written
 * but what is synced by itself, file and directory. */
static void test_order(void **state)
{
	struct scene *scene = *state;
	struct rich rich;
	const char *after;

	rich_init(scene, &rich);
	arm(NEVER);
	check_pull(scene, name, rich.image.config_digest);
	disarm();
	after = strchr(faults.trace, 's');
	assert_non_null(after);
	assert_null(strchr(after + 1, 's'));
	assert_int_equal(strspn(after + 1, "otmwfr"), strlen(after + 1));
	for (int i = 0; i < 3; i++) { /* manifest, config, record */
		after = strchr(after, 'r');
		assert_non_null(after);
		assert_true(after[-1] == 'f' && after[1] == 'f');
		after++;
	}
	assert_null(strchr(after, 'r'));
	rich_done(&rich);
}

/* What run_killed() runs. */
static int child(const char *what, const char *dir, const char *at)
{
	const struct pool_options pool_options = {
		.name = "image", .threads_max = 16, .queue_max = 100, .idle_ns = NS_PER_SEC
	};
	CLEANUP(freep) char *file = xasprintf("%s/crisp.toml", dir);
	CLEANUP(freep) char *id = NULL;
	const struct config_paths paths = { .file = file, .dropins = "/nonexistent", .file_needed = true };
	const struct image_pull pull = { name, NULL };
	struct images_options options = { .pool = pool_new(&pool_options) };
	struct config *config;
	struct images *images;
	struct ctx ctx;
	struct err err = { 0 };
	int result;

	ctx_init(&ctx, NO_DEADLINE);
	if (config_load(&paths, &config, &err) < 0)
		return 2;
	options.config = config;
	images = images_open(&options, &err);
	if (!images)
		return 2;
	faults.kills = true;
	arm((int)strtol(at, NULL, 10));
	result = str_eq(what, "pull") ? images_pull(images, &ctx, &pull, &id, &err)
				      : images_remove(images, name, &err);
	images_free(images); /* waits for deletions */
	pool_free(options.pool);
	config_unref(config);
	ctx_done(&ctx);
	return result < 0 ? 3 : 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pull_fails),  TEST(test_removal_fails),  TEST(test_open_fails),
		TEST(test_pull_killed), TEST(test_removal_killed), TEST(test_order),
	};

	if (argc == 4)
		return child(argv[1], argv[2], argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
