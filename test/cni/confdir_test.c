/* The configuration folder at one moment, and the moment after. */
#include "test/cni/fake.h"

#include "cni/confdir.h"

static struct fake fake;

#define NET(name) "{\"cniVersion\":\"1.0.0\",\"name\":\"" name "\",\"type\":\"x\"}"

static const char *chosen_name(const struct confdir *confdir)
{
	const struct conflist *list = confdir_chosen(confdir);

	return list ? list->name : "";
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(mkdir(fake.net, 0755), 0);
	return 0;
}

static int tear_down(void **state)
{
	CLEANUP(fd_closep) int dir = open(fake.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;

	(void)state;
	return tree_remove(dir, "net.d", &err);
}

static void test_choice(void **state)
{
	struct confdir *confdir = NULL;

	(void)state;
	fake_write(fake.net, "20-b.conflist", NET("b"), 0644);
	fake_write(fake.net, "10-a.conf", NET("a"), 0644);
	fake_write(fake.net, "05-broken.conf", "{", 0644);
	fake_write(fake.net, "00-ignored.txt", NET("ignored"), 0644);
	confdir = confdir_load(fake.net, "", NULL);
	assert_string_equal(chosen_name(confdir), "a");
	CLEANUP(json_decrefp) json_t *info = confdir_info(confdir);
	assert_int_equal(json_array_size(info), 3);
	assert_non_null(json_object_get(json_array_get(info, 0), "problem"));
	assert_true(json_is_true(json_object_get(json_array_get(info, 1), "inUse")));
	assert_string_equal(json_string_value(json_object_get(json_array_get(info, 2), "network")), "b");
	confdir_free(confdir);
	confdir = confdir_load(fake.net, "b", NULL);
	assert_string_equal(chosen_name(confdir), "b");
	confdir_free(confdir);
	confdir = confdir_load(fake.net, "c", NULL);
	assert_null(confdir_chosen(confdir));
	CLEANUP(freep) char *problem = confdir_problem(confdir);
	assert_non_null(strstr(problem, "no CNI configuration of network \"c\" in "));
	assert_non_null(strstr(problem, "05-broken.conf: JSON"));
	confdir_free(confdir);
}

static void test_unchanged_keeps_its_snapshot(void **state)
{
	(void)state;
	fake_write(fake.net, "10-a.conf", NET("a"), 0644);
	struct confdir *first = confdir_load(fake.net, "", NULL);
	struct confdir *second = confdir_load(fake.net, "", first);
	assert_ptr_equal(confdir_chosen(first), confdir_chosen(second));
	fake_write(fake.net, "10-a.conf", NET("a2"), 0644);
	struct confdir *third = confdir_load(fake.net, "", second);
	assert_string_equal(chosen_name(third), "a2");
	confdir_free(first);
	confdir_free(second);
	confdir_free(third);
}

/* Fault matrix 29, lessons 3b row 45: the previous good configuration is kept. */
static void test_half_written(void **state)
{
	(void)state;
	fake_write(fake.net, "10-a.conf", NET("a"), 0644);
	struct confdir *first = confdir_load(fake.net, "", NULL);
	fake_write(fake.net, "10-a.conf", "{\"cniVersion\":\"1.0.0\",\"na", 0644);
	fake_write(fake.net, "05-new.conf", "", 0644);
	struct confdir *second = confdir_load(fake.net, "", first);
	assert_ptr_equal(confdir_chosen(first), confdir_chosen(second));
	/* Also the next time, and until the file is whole or gone. */
	struct confdir *third = confdir_load(fake.net, "", second);
	assert_ptr_equal(confdir_chosen(first), confdir_chosen(third));
	fake_write(fake.net, "05-new.conf", NET("new"), 0644);
	struct confdir *fourth = confdir_load(fake.net, "", third);
	assert_string_equal(chosen_name(fourth), "new");
	CLEANUP(freep) char *path = xasprintf("%s/05-new.conf", fake.net);
	CLEANUP(freep) char *other = xasprintf("%s/10-a.conf", fake.net);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(other), 0);
	struct confdir *fifth = confdir_load(fake.net, "", fourth);
	assert_null(confdir_chosen(fifth));
	confdir_free(first);
	confdir_free(second);
	confdir_free(third);
	confdir_free(fourth);
	confdir_free(fifth);
}

static void test_no_folder(void **state)
{
	(void)state;
	struct confdir *confdir = confdir_load("/no/such/folder", "", NULL);
	CLEANUP(freep) char *problem = confdir_problem(confdir);
	assert_null(confdir_chosen(confdir));
	assert_non_null(strstr(problem, "no CNI configuration in /no/such/folder: "));
	confdir_free(confdir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_choice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unchanged_keeps_its_snapshot, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_folder, set_up, tear_down),
	};

	fake_open(&fake);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_close(&fake);
	return failed;
}
