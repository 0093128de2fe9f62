/* Image configs, lessons, bad input 36: what is kept, what is dropped, what is refused; and chain IDs. Labels
 * are nowhere but in the JSON that "verbose" shows, CVE-2026-53488. */
#include "test/base/check.h"

#include "image/image_config.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX "\"]}"

static int parse(const char *text, size_t layers, struct image_config *config, struct err *err)
{
	CLEANUP(diff_ids_done) struct diff_ids diff_ids = { 0 };
	int result = image_config_parse(text, strlen(text), layers, config, &diff_ids, err);

	if (result == 0)
		assert_int_equal(diff_ids.len, layers);
	return result;
}

static void test_fields(void **state UNUSED)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	struct err err = { 0 };

	assert_ok(parse("{\"os\":\"linux\",\"config\":{\"User\":\"1002:3\",\"WorkingDir\":\"/w\","
			"\"StopSignal\":\"SIGQUIT\",\"Env\":[\"A=1\",\"B=\"],\"Entrypoint\":[\"/e\"],"
			"\"Cmd\":[\"c\",\"d\"],\"Labels\":{\"io.x\":\"binary:///bin/sh\"}}," ROOTFS "}",
			1, &config, &err));
	assert_string_equal(config.user, "1002:3");
	assert_string_equal(config.working_dir, "/w");
	assert_string_equal(config.stop_signal, "SIGQUIT");
	assert_int_equal(config.env.len, 2);
	assert_string_equal(config.env.items[1], "B=");
	assert_int_equal(config.entrypoint.len, 1);
	assert_int_equal(config.cmd.len, 2);
}

static void test_absent(void **state UNUSED)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	struct err err = { 0 };

	assert_ok(parse("{\"config\":{\"Env\":null,\"Cmd\":null,\"Volumes\":null}," ROOTFS "}", 1, &config,
			&err));
	assert_string_equal(config.user, "");
	assert_string_equal(config.working_dir, "");
	assert_int_equal(config.env.len + config.cmd.len + config.volumes.len, 0);
}

/* CVE-2026-57231: an entry without '=' made a peer copy its own environment. */
static void test_env(void **state UNUSED)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	struct err err = { 0 };

	assert_ok(parse("{\"config\":{\"Env\":[\"PATH\",\"*\",\"=x\",\"\",\"GOOD=a=b\"]}," ROOTFS "}", 1,
			&config, &err));
	assert_int_equal(config.env.len, 1);
	assert_string_equal(config.env.items[0], "GOOD=a=b");
}

/* CVE-2022-23648 */
static void test_volumes(void **state UNUSED)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	struct err err = { 0 };

	assert_ok(parse(
		"{\"config\":{\"Volumes\":{\"/../../etc\":{},\"a/../../b\":{},\"/\":{},\"//data/./x/\":{},"
		"\"rel\":{},\"rel/\":{}}}," ROOTFS "}",
		1, &config, &err));
	assert_int_equal(config.volumes.len, 2);
	assert_string_equal(config.volumes.items[0], "/data/x");
	assert_string_equal(config.volumes.items[1], "/rel");
}

static void test_refused(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"os\":\"windows\"," ROOTFS "}",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
		"{\"rootfs\":{\"type\":\"other\",\"diff_ids\":[\"sha256:" HEX "\"]}}",
		"{\"rootfs\":{\"diff_ids\":[\"sha256:../x\"]}}",
		"{\"rootfs\":{\"diff_ids\":[\"sha256:" HEX "\",\"sha256:" HEX "\"]}}",
		"{\"config\":{\"Env\":\"A=1\"}," ROOTFS "}",
		"{\"config\":{\"Volumes\":[]}," ROOTFS "}",
		"{\"config\":{\"User\":\"a\\u0000b\"}," ROOTFS "}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(image_config_done) struct image_config config = { 0 };
		struct err err = { 0 };

		if (parse(bad[i], 1, &config, &err) == 0)
			fail_msg("%s was accepted", bad[i]);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

static void check_refused(const struct str *text, const char *why)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	struct err err = { 0 };

	assert_fails(parse(str_get(text), 1, &config, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, why);
}

static void add_volume(struct str *text, size_t len)
{
	str_add(text, "\"/");
	while (len-- > 1)
		str_add(text, "v");
	str_add(text, "\":{}");
}

/* Many, long, and a document that is longer than its descriptor may say. */
static void test_bounds(void **state UNUSED)
{
	CLEANUP(image_config_done) struct image_config config = { 0 };
	CLEANUP(str_done) struct str user = STR_INIT;
	CLEANUP(str_done) struct str volumes = STR_INIT;
	CLEANUP(str_done) struct str lengths = STR_INIT;
	CLEANUP(str_done) struct str blanks = STR_INIT;
	struct err err = { 0 };

	str_add(&user, "{\"config\":{\"User\":\"");
	for (int i = 0; i < 4096; i++)
		str_add(&user, "7");
	str_add(&user, "\"}," ROOTFS "}");
	check_refused(&user, "longer than");
	str_add(&volumes, "{\"config\":{\"Volumes\":{\"/0\":{}");
	for (int i = 1; i <= 1000; i++)
		str_addf(&volumes, ",\"/%d\":{}", i);
	str_add(&volumes, "}}," ROOTFS "}");
	check_refused(&volumes, "more than 1000");
	while (blanks.len <= 4 * 1024 * 1024)
		str_add(&blanks, "                                                                ");
	str_add(&blanks, "{" ROOTFS "}");
	check_refused(&blanks, "longer than");

	str_add(&lengths, "{\"config\":{\"Volumes\":{");
	add_volume(&lengths, 4000);
	str_add(&lengths, ",");
	add_volume(&lengths, 5000); /* no path: nobody's */
	str_add(&lengths, "}}," ROOTFS "}");
	assert_ok(parse(str_get(&lengths), 1, &config, &err));
	assert_int_equal(config.volumes.len, 1);
	assert_int_equal(strlen(config.volumes.items[0]), 4000);
}

/* The value is printf 'sha256:<64 a> sha256:<64 b>' | sha256sum. */
static void test_chain(void **state UNUSED)
{
	struct digest a, b, chain;
	char text[DIGEST_TEXT_SIZE];
	struct err err = { 0 };

	assert_ok(digest_parse("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &a,
			       &err));
	assert_ok(digest_parse("sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", &b,
			       &err));
	chain_id_next(NULL, &a, &chain);
	assert_true(digest_equal(&chain, &a));
	chain_id_next(&a, &b, &chain);
	digest_text(&chain, text);
	assert_string_equal(text, "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),  cmocka_unit_test(test_absent),  cmocka_unit_test(test_env),
		cmocka_unit_test(test_volumes), cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
