/* The layer store: claims, waiting, publishing, collection, restart. */
#include "test/base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/clock.h"
#include "image/layers.h"
#include "test/image/fake_sync.h"

struct scene {
	struct scratch scratch;
	struct pool *pool;
	struct layers *layers;
	struct digest chains[3]; /* each on top of the one before */
	struct ctx ctx;
};

static int setup(void **state)
{
	const struct pool_options pool = {
		.name = "layers", .threads_max = 4, .queue_max = 100, .idle_ns = NS_PER_SEC
	};
	struct scene *scene = xnew(struct scene);
	struct err err = { 0 };

	scratch_init(&scene->scratch);
	scene->pool = pool_new(&pool);
	assert_ok(layers_open(scene->scratch.dir, scene->pool, &scene->layers, &err));
	for (size_t i = 0; i < 3; i++)
		digest_of(DIGEST_SHA256, &i, sizeof(i), &scene->chains[i]);
	ctx_init(&scene->ctx, NO_DEADLINE);
	syncs = 0;
	sync_fails = false;
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	layers_free(scene->layers);
	pool_free(scene->pool);
	ctx_done(&scene->ctx);
	scratch_done(&scene->scratch);
	free(scene);
	return 0;
}

static int publish(struct scene *scene, size_t i, struct layer_draft *draft, struct err *err)
{
	const struct layers_place place = { &scene->chains[i], scene->chains, i };

	draft->output.usage = (struct tree_usage){ 4096 * (i + 1), i + 1 };
	return layers_publish(scene->layers, &place, draft, err);
}

static void make_layer(struct scene *scene, size_t i)
{
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };

	assert_int_equal(layers_claim(scene->layers, &scene->chains[i]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	put_file(draft.root, "file", "x");
	assert_ok(publish(scene, i, &draft, &err));
}

static bool has(struct scene *scene, size_t i)
{
	char text[DIGEST_TEXT_SIZE];

	digest_text(&scene->chains[i], text);
	return layers_has(scene->layers, text);
}

static bool keep_none(void *data UNUSED, const char *chain UNUSED)
{
	return false;
}

static bool keep_all(void *data UNUSED, const char *chain UNUSED)
{
	return true;
}

static void check_usage(struct scene *scene, uint64_t bytes, uint64_t inodes)
{
	struct tree_usage usage;

	layers_usage(scene->layers, &usage);
	assert_int_equal(usage.bytes, bytes);
	assert_int_equal(usage.inodes, inodes);
}

static void test_claims(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *path = layers_path(&scene->chains[0]);

	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_BUSY);
	assert_false(has(scene, 0));
	layers_abandon(scene->layers, &scene->chains[0]);
	make_layer(scene, 0);
	assert_true(has(scene, 0));
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_PRESENT);
	assert_int_equal(faccessat(scene->scratch.dir, path, F_OK, 0), 0);
	check_usage(scene, 4096, 1);
}

static void test_holds(void **state)
{
	struct scene *scene = *state;

	make_layer(scene, 0);
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_PRESENT);
	layers_collect(scene->layers, keep_none, NULL);
	assert_true(has(scene, 0));
	layers_release(scene->layers, &scene->chains[0]);
	layers_collect(scene->layers, keep_none, NULL);
	assert_true(has(scene, 0));
	layers_release(scene->layers, &scene->chains[0]);
	layers_collect(scene->layers, keep_all, NULL);
	assert_true(has(scene, 0));
	layers_collect(scene->layers, keep_none, NULL);
	assert_false(has(scene, 0));
	check_usage(scene, 0, 0);
	make_layer(scene, 0); /* and it can come back */
}

static void test_restart(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *path = layers_path(&scene->chains[1]);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err = { 0 };

	make_layer(scene, 0);
	make_layer(scene, 1);
	layers_free(scene->layers);
	CLEANUP(freep) char *record = xasprintf("%.*s/layer.json", (int)(strrchr(path, '/') - path), path);

	put_file(scene->scratch.dir, record, "{\"version\":1"); /* a power cut */
	assert_ok(layers_open(scene->scratch.dir, scene->pool, &scene->layers, &err));
	assert_true(has(scene, 0));
	assert_false(has(scene, 1));
	check_usage(scene, 4096, 1);
	layers_collect(scene->layers, keep_all, NULL); /* a container may run on it */
	assert_false(has(scene, 1));
	assert_ok(dir_list(scene->scratch.dir, "layers", &names, &err));
	assert_int_equal(names.len, 2);
	layers_collect(scene->layers, keep_none, NULL);
	strv_done(&names);
	assert_ok(dir_list(scene->scratch.dir, "layers", &names, &err));
	assert_int_equal(names.len, 0);
	check_usage(scene, 0, 0);
}

/* An implied directory looks like that of the layer below, and stays as it is below a whiteout. */
static void test_implied(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };
	struct stat st;

	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	assert_int_equal(mkdirat(draft.root, "tmp", 0700), 0);
	assert_int_equal(mkdirat(draft.root, "hidden", 0700), 0);
	CLEANUP(fd_closep) int tmp = openat(draft.root, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct timespec times[2] = { { .tv_sec = 5 }, { .tv_sec = 6 } };

	assert_int_equal(fchmod(tmp, 01777) | fchown(tmp, 11, 12) | futimens(tmp, times), 0);
	assert_ok(publish(scene, 0, &draft, &err));
	assert_int_equal(layers_claim(scene->layers, &scene->chains[1]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	assert_int_equal(mknodat(draft.root, "hidden", S_IFCHR, 0), 0);
	assert_ok(publish(scene, 1, &draft, &err));
	assert_int_equal(layers_claim(scene->layers, &scene->chains[2]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	assert_int_equal(mkdirat(draft.root, "tmp", 0755) | mkdirat(draft.root, "hidden", 0755), 0);
	strv_add(&draft.output.implied, "tmp");
	strv_add(&draft.output.implied, "hidden");
	strv_add(&draft.output.implied, "../../../etc");
	strv_add(&draft.output.implied, "absent");
	assert_ok(publish(scene, 2, &draft, &err));
	CLEANUP(freep) char *path = layers_path(&scene->chains[2]);
	CLEANUP(fd_closep) int top = openat(scene->scratch.dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(fstatat(top, "tmp", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
	assert_int_equal(st.st_uid * 100 + st.st_gid, 1112);
	assert_int_equal(st.st_mtime, 6);
	assert_int_equal(fstatat(top, "hidden", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void *wait_layer(void *data)
{
	struct scene *scene = data;
	struct err err = { 0 };

	if (layers_wait(scene->layers, &scene->ctx, &scene->chains[0], &err) < 0)
		return (void *)(uintptr_t)err.code;
	return NULL;
}

static void test_waiting(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };
	pthread_t threads[4];
	void *result;

	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_create(&threads[i], NULL, wait_layer, scene);
	usleep(20000);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	assert_ok(publish(scene, 0, &draft, &err));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_null(wait_layer(scene)); /* present: no waiting */
}

static void test_waiting_ends(void **state)
{
	struct scene *scene = *state;
	pthread_t thread;
	void *result;

	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, clock_deadline_in(20 * NS_PER_MS));
	assert_int_equal((uintptr_t)wait_layer(scene), RPC_DEADLINE_EXCEEDED);
	ctx_done(&scene->ctx);
	ctx_init(&scene->ctx, NO_DEADLINE);
	pthread_create(&thread, NULL, wait_layer, scene);
	usleep(20000);
	ctx_cancel(&scene->ctx);
	pthread_join(thread, &result);
	assert_int_equal((uintptr_t)result, RPC_CANCELLED);
	layers_abandon(scene->layers, &scene->chains[0]);
}

static size_t count_tmp(struct scene *scene)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err = { 0 };

	assert_ok(dir_list(scene->scratch.dir, "tmp", &names, &err));
	return names.len;
}

/* Deletions run in the background. */
static void check_tmp_empties(struct scene *scene)
{
	for (int i = 0; i < 10000 && count_tmp(scene) > 0; i++)
		usleep(1000);
	assert_int_equal(count_tmp(scene), 0);
}

static void test_failed_publish(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	CLEANUP(fd_closep) int tmp = openat(scene->scratch.dir, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	assert_ok(tree_remove(tmp, draft.name, &err));
	assert_true(publish(scene, 0, &draft, &err) < 0);
	assert_null(draft.name);
	assert_int_equal(count_tmp(scene), 0);
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	layers_abandon(scene->layers, &scene->chains[0]);
}

/* What has the name of a layer but is none does not keep the layer out. */
static void test_in_the_way(void **state)
{
	struct scene *scene = *state;
	char hex[DIGEST_HEX_SIZE];

	digest_hex(&scene->chains[0], hex);
	CLEANUP(freep) char *in_the_way = xasprintf("layers/%s", hex);
	CLEANUP(freep) char *file = xasprintf("layers/%s/x", hex);

	assert_int_equal(mkdirat(scene->scratch.dir, in_the_way, 0700), 0);
	put_file(scene->scratch.dir, file, "x");
	make_layer(scene, 0);
	assert_int_equal(faccessat(scene->scratch.dir, file, F_OK, 0), -1);
	layers_collect_replaced(scene->layers, keep_none, NULL);
	check_tmp_empties(scene);
}

static void test_park(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };

	assert_false(layers_unpark(scene->layers, &scene->chains[0], &draft));
	for (int round = 0; round < 2; round++) {
		assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
		if (round == 0) {
			assert_ok(layers_draft(scene->layers, &draft, &err));
			put_file(draft.root, "file", "x");
			draft.output.usage = (struct tree_usage){ 4096, 1 };
		} else {
			assert_true(layers_unpark(scene->layers, &scene->chains[0], &draft));
			check_usage(scene, 0, 0);
		}
		layers_park(scene->layers, &scene->chains[0], &draft);
		assert_null(draft.name);
		check_usage(scene, 4096, 1);
		assert_false(has(scene, 0));
	}
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	assert_true(layers_unpark(scene->layers, &scene->chains[0], &draft));
	assert_ok(publish(scene, 0, &draft, &err));
	assert_true(has(scene, 0));
	check_usage(scene, 4096, 1);

	assert_int_equal(layers_claim(scene->layers, &scene->chains[1]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	layers_park(scene->layers, &scene->chains[1], &draft);
	assert_int_equal(count_tmp(scene), 1);
	layers_collect(scene->layers, keep_all, NULL);
	assert_false(layers_unpark(scene->layers, &scene->chains[1], &draft));
	check_tmp_empties(scene);
	check_usage(scene, 4096, 1);
}

/* What a pull in progress will come for stays, and what was let go of too lately. */
static void test_idle(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };
	int64_t before, idle;

	make_layer(scene, 0);
	assert_int_equal(layers_claim(scene->layers, &scene->chains[1]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	layers_park(scene->layers, &scene->chains[1], &draft);
	assert_true(layers_collect_idle(scene->layers, clock_mono(), keep_all, NULL) == NO_DEADLINE);
	check_tmp_empties(scene);
	assert_true(layers_collect_idle(scene->layers, 0, keep_none, NULL) == NO_DEADLINE); /* held */
	before = clock_mono();
	layers_release(scene->layers, &scene->chains[0]);
	idle = layers_collect_idle(scene->layers, before - 1, keep_none, NULL);
	assert_between(idle, before, clock_mono());
	assert_true(has(scene, 0));
	layers_want(scene->layers, scene->chains, 2);
	layers_want(scene->layers, scene->chains, 1);
	layers_unwant(scene->layers, scene->chains, 1);
	layers_collect(scene->layers, keep_none, NULL);
	assert_true(layers_collect_idle(scene->layers, clock_mono(), keep_none, NULL) == NO_DEADLINE);
	assert_true(has(scene, 0));
	before = clock_mono();
	layers_unwant(scene->layers, scene->chains, 2);
	assert_true(layers_collect_idle(scene->layers, before - 1, keep_none, NULL) >= before);
	assert_true(has(scene, 0));
	assert_true(layers_collect_idle(scene->layers, clock_mono(), keep_none, NULL) == NO_DEADLINE);
	assert_false(has(scene, 0));
	check_tmp_empties(scene);
	check_usage(scene, 0, 0);
}

/* A parked draft is as good as a layer. */
static void test_idle_parked(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };
	int64_t before = clock_mono();

	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	layers_park(scene->layers, &scene->chains[0], &draft);
	assert_between(layers_collect_idle(scene->layers, before - 1, keep_none, NULL), before, clock_mono());
	layers_want(scene->layers, scene->chains, 1);
	layers_collect(scene->layers, keep_none, NULL);
	assert_int_equal(count_tmp(scene), 1);
	before = clock_mono();
	layers_unwant(scene->layers, scene->chains, 1);
	assert_between(layers_collect_idle(scene->layers, before - 1, keep_none, NULL), before, clock_mono());
	assert_int_equal(count_tmp(scene), 1);
	assert_true(layers_collect_idle(scene->layers, clock_mono(), keep_none, NULL) == NO_DEADLINE);
	check_tmp_empties(scene);
}

/* Lessons, fault 24: who finds the files gone makes the layer again; holds of others stay what they were. */
static void test_gone(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *path = layers_path(&scene->chains[0]);
	CLEANUP(fd_closep) int dir = openat(scene->scratch.dir, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };
	char hex[DIGEST_HEX_SIZE];

	digest_hex(&scene->chains[0], hex);
	make_layer(scene, 0); /* held */
	assert_ok(tree_remove(dir, hex, &err));
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	layers_abandon(scene->layers, &scene->chains[0]);
	assert_false(has(scene, 0));
	assert_int_equal(layers_claim(scene->layers, &scene->chains[0]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	assert_ok(publish(scene, 0, &draft, &err));
	assert_int_equal(faccessat(scene->scratch.dir, path, F_OK, 0), 0);
	check_usage(scene, 4096, 1);
	layers_release(scene->layers, &scene->chains[0]);
	layers_collect(scene->layers, keep_none, NULL);
	assert_true(has(scene, 0));
	layers_release(scene->layers, &scene->chains[0]);
	layers_collect(scene->layers, keep_none, NULL);
	assert_false(has(scene, 0));
	check_usage(scene, 0, 0);
}

/* What a container runs on outlives the repair of its layer, and a restart. */
static void test_replaced(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *path = layers_path(&scene->chains[0]);
	CLEANUP(freep) char *file = xasprintf("%s/old", path);
	CLEANUP(fd_closep) int old = -1;
	char text[DIGEST_TEXT_SIZE];
	struct err err = { 0 };

	digest_text(&scene->chains[0], text);
	make_layer(scene, 0);
	put_file(scene->scratch.dir, file, "x");
	old = openat(scene->scratch.dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* as overlayfs has it */
	layers_lose(scene->layers, text);
	assert_false(layers_any_replaced(scene->layers));
	make_layer(scene, 0);
	for (int round = 0; round < 2; round++) {
		assert_true(layers_any_replaced(scene->layers));
		layers_collect_replaced(scene->layers, keep_all, NULL);
		layers_collect(scene->layers, keep_all, NULL);
		assert_int_equal(faccessat(old, "old", F_OK, 0), 0);
		assert_int_equal(faccessat(scene->scratch.dir, file, F_OK, 0), -1);
		layers_free(scene->layers);
		assert_ok(layers_open(scene->scratch.dir, scene->pool, &scene->layers, &err));
		assert_true(has(scene, 0));
	}
	layers_collect_replaced(scene->layers, keep_none, NULL);
	assert_false(layers_any_replaced(scene->layers));
	check_tmp_empties(scene);
	assert_true(has(scene, 0));
}

static void test_sync(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	make_layer(scene, 0);
	make_layer(scene, 1);
	assert_ok(layers_sync(scene->layers, scene->chains, 1, &err));
	assert_ok(layers_sync(scene->layers, scene->chains, 2, &err)); /* covered by the one before */
	assert_int_equal(syncs, 1);
	make_layer(scene, 2);
	assert_ok(layers_sync(scene->layers, scene->chains, 3, &err));
	assert_int_equal(syncs, 2);
}

/* Lessons, fault 21: after a sync that failed another one proves nothing. */
static void test_sync_fails(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };

	make_layer(scene, 0);
	assert_ok(layers_sync(scene->layers, scene->chains, 1, &err));
	make_layer(scene, 1);
	make_layer(scene, 2);
	sync_fails = true;
	assert_fails(layers_sync(scene->layers, scene->chains, 2, &err), RPC_DATA_LOSS);
	sync_fails = false;
	assert_true(has(scene, 0));
	assert_false(has(scene, 1) || has(scene, 2));
	assert_fails(layers_sync(scene->layers, scene->chains, 3, &err), RPC_DATA_LOSS);
	layers_release(scene->layers, &scene->chains[1]);
	assert_int_equal(layers_claim(scene->layers, &scene->chains[1]), LAYER_YOURS);
	assert_ok(layers_draft(scene->layers, &draft, &err));
	put_file(draft.root, "new", "x");
	assert_ok(publish(scene, 1, &draft, &err));
	assert_ok(layers_sync(scene->layers, scene->chains, 2, &err));
	CLEANUP(freep) char *path = layers_path(&scene->chains[1]);
	CLEANUP(freep) char *file = xasprintf("%s/new", path);

	assert_int_equal(faccessat(scene->scratch.dir, file, F_OK, 0), 0);
	check_usage(scene, 4096 * 6, 6);
	layers_collect_replaced(scene->layers, keep_none, NULL);
	check_tmp_empties(scene);
}

/* An opaque directory hides what lower layers say of the directories in it. */
static void test_implied_in_opaque(void **state)
{
	struct scene *scene = *state;
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct err err = { 0 };
	struct stat st;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(layers_claim(scene->layers, &scene->chains[i]), LAYER_YOURS);
		assert_ok(layers_draft(scene->layers, &draft, &err));
		assert_int_equal(mkdirat(draft.root, "a", 0755), 0);
		if (i != 1)
			assert_int_equal(mkdirat(draft.root, "a/b", i ? 0755 : 0700) |
						 mkdirat(draft.root, "a/b/c", i ? 0755 : 0700),
					 0);
		if (i == 1) {
			CLEANUP(fd_closep)
			int dir = openat(draft.root, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			assert_int_equal(fsetxattr(dir, "trusted.overlay.opaque", "y", 1, 0), 0);
		}
		if (i == 2) {
			strv_add(&draft.output.implied, "a/b");
			strv_add(&draft.output.implied, "a/b/c");
		}
		assert_ok(publish(scene, i, &draft, &err));
	}
	CLEANUP(freep) char *path = layers_path(&scene->chains[2]);
	CLEANUP(fd_closep) int top = openat(scene->scratch.dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(fstatat(top, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(top, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_claims),
		TEST(test_holds),
		TEST(test_restart),
		TEST(test_implied),
		TEST(test_implied_in_opaque),
		TEST(test_waiting),
		TEST(test_waiting_ends),
		TEST(test_failed_publish),
		TEST(test_in_the_way),
		TEST(test_park),
		TEST(test_idle),
		TEST(test_idle_parked),
		TEST(test_gone),
		TEST(test_replaced),
		TEST(test_sync),
		TEST(test_sync_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
