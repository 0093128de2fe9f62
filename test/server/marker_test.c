/* The mark of crisp on its root: made once, kept, and refused when it is another's or of a newer crisp. */
#include "server/marker.h"

#include "test/base/check.h"

/* The folders "root" and "run". */
struct place {
	struct scratch scratch;
	char *root, *run;
};

static void make_folder(const struct place *place, const char *name)
{
	struct err err = { 0 };
	int dir = dir_make(place->scratch.dir, name, 0700, &err);

	assert_true(dir >= 0);
	close(dir);
}

static int setup(void **data)
{
	struct place *place = xnew(struct place);

	scratch_init(&place->scratch);
	make_folder(place, "root");
	make_folder(place, "run");
	place->root = xasprintf("%s/root", place->scratch.path);
	place->run = xasprintf("%s/run", place->scratch.path);
	*data = place;
	return 0;
}

static int teardown(void **data)
{
	struct place *place = *data;

	scratch_done(&place->scratch);
	free(place->root);
	free(place->run);
	free(place);
	return 0;
}

static void test_made_and_kept(void **data)
{
	struct place *place = *data;
	struct err err = { 0 };

	assert_int_equal(marker_check(place->root, &err), -1);
	assert_int_equal(err.code, RPC_NOT_FOUND);
	assert_ok(marker_write(place->root, place->run, &err));
	assert_ok(marker_check(place->root, &err));
	assert_ok(marker_write(place->root, place->run, &err));
	put_file(place->scratch.dir, "root/version", "{\"crisp\":\"0.0.1\",\"state\":1,\"more\":[]}");
	assert_ok(marker_check(place->root, &err));
	assert_ok(marker_write(place->root, place->run, &err)); /* is of this version now */
	assert_ok(marker_check(place->root, &err));
}

static void test_refused(void **data)
{
	static const char *const others[] = {
		"", "{", "[]", "{\"crisp\":1,\"state\":1}", "{\"state\":1}", "{\"crisp\":\"9\",\"state\":2}"
	};
	struct place *place = *data;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct err err = { 0 };

		put_file(place->scratch.dir, "root/version", others[i]);
		assert_int_equal(marker_check(place->root, &err), -1);
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		assert_int_equal(marker_write(place->root, place->run, &err), -1);
		assert_int_equal(marker_check_pair(place->root, place->run, &err), -1);
	}
}

static void move(const struct place *place, const char *from, const char *to)
{
	assert_int_equal(renameat(place->scratch.dir, from, place->scratch.dir, to), 0);
}

static void assert_other_root(const struct place *place)
{
	struct err err = { 0 };

	assert_int_equal(marker_check_pair(place->root, place->run, &err), -1);
	assert_int_equal(marker_write(place->root, place->run, &err), -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "not mounted");
}

/* What runs is no reason to serve an empty folder, or another's. */
static void test_root_not_mounted(void **data)
{
	static const char *const objects[] = {
		"run/pods/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"run/containers/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};
	struct place *place = *data;
	struct err err = { 0 };

	assert_ok(marker_write(place->root, place->run, &err));
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		make_folder(place, objects[i]);
		assert_ok(marker_write(place->root, place->run, &err));
		move(place, "root", "disk");
		make_folder(place, "root");
		assert_other_root(place);
		assert_int_equal(faccessat(place->scratch.dir, "root/version", F_OK, 0), -1);
		assert_int_equal(unlinkat(place->scratch.dir, "root", AT_REMOVEDIR), 0);
		move(place, "disk", "root");
		assert_ok(marker_check_pair(place->root, place->run, &err));
		assert_ok(marker_write(place->root, place->run, &err));
		assert_int_equal(unlinkat(place->scratch.dir, objects[i], AT_REMOVEDIR), 0);
	}
}

static void test_another_root(void **data)
{
	struct place *place = *data;
	struct err err = { 0 };

	assert_ok(marker_write(place->root, place->run, &err));
	move(place, "root", "disk");
	make_folder(place, "root");
	make_folder(place, "run/pods/some-other-name");
	assert_ok(marker_write(place->root, place->run, &err)); /* nothing there: a new beginning */
	make_folder(place, "run/pods/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	assert_ok(marker_write(place->root, place->run, &err));
	move(place, "root", "other");
	move(place, "disk", "root");
	assert_other_root(place);
	assert_int_equal(unlinkat(place->scratch.dir, "run/root.json", 0), 0); /* as the text says */
	assert_ok(marker_write(place->root, place->run, &err));
}

/* Neither a note nor an id were there before there were any. */
static void test_older(void **data)
{
	struct place *place = *data;
	struct err err = { 0 };

	make_folder(place, "run/pods/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	put_file(place->scratch.dir, "root/version", "{\"crisp\":\"" CRISP_VERSION "\",\"state\":1}");
	assert_ok(marker_write(place->root, place->run, &err));
	put_file(place->scratch.dir, "root/version", "{\"crisp\":\"0.0.1\",\"state\":1}");
	assert_ok(marker_write(place->root, place->run, &err));
	assert_ok(marker_check_pair(place->root, place->run, &err));
	put_file(place->scratch.dir, "run/root.json", "{");
	assert_ok(marker_write(place->root, place->run, &err));
	move(place, "root", "disk");
	make_folder(place, "root");
	assert_other_root(place);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_made_and_kept), TEST(test_refused), TEST(test_root_not_mounted),
		TEST(test_another_root),  TEST(test_older),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
