/* Records on disk: what is written is read, and what a crash, a bad disk or another version left is told. */
#include "sandbox/record.h"

#include <sys/stat.h>

#include "test/base/check.h"

struct place { /* <scratch>/<id>/ with one record in it */
	struct scratch scratch;
	char path[80];
	int dir;
	struct arena *arena;
};

static int setup(void **state)
{
	struct place *place = xnew(struct place);

	scratch_init(&place->scratch);
	snprintf(place->path, sizeof(place->path), "%s/one", place->scratch.path);
	assert_int_equal(mkdirat(place->scratch.dir, "one", 0700), 0);
	place->dir = openat(place->scratch.dir, "one", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	place->arena = arena_new(0);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	close(place->dir);
	arena_free(place->arena);
	scratch_done(&place->scratch);
	free(place);
	return 0;
}

static int read_state(const struct place *place, struct pod_state_record *ret, json_t **ret_document,
		      struct err *err)
{
	const struct record_source source = { place->scratch.dir, "one", "state.json" };

	*ret = (struct pod_state_record){ 0 };
	return record_read(&source, pod_state_fields, ret, place->arena, ret_document, err);
}

static void assert_unreadable(const struct place *place, const char *content, enum rpc_code code)
{
	struct pod_state_record record;
	struct err err = { 0 };
	json_t *document = NULL;

	put_file(place->dir, "state.json", content);
	if (read_state(place, &record, &document, &err) == 0)
		fail_msg("accepted: %.200s", content);
	if (err.code != code)
		fail_msg("%s (%s), %s expected: %.200s", rpc_code_name(err.code), err.text,
			 rpc_code_name(code), content);
	assert_contains(err.text, "one/state.json");
	assert_null(document);
}

static const char whole[] = "{\"version\":1,\"bootId\":\"b\",\"ready\":true,\"stopped\":false,"
			    "\"pause\":{\"pid\":7,\"startTime\":9},\"ips\":[\"10.0.0.1\"]}";

static void test_pod_round_trip(void **state)
{
	const struct place *place = *state;
	char *ips[] = { (char *)"10.1.2.3", (char *)"fd00::3", NULL };
	const struct pod_state_record record = {
		.version = RECORD_VERSION,
		.boot_id = (char *)"boot \"quoted\"",
		.ready = true,
		.stopped = true,
		.pause = { 4711, UINT64_C(9000000000000000000) },
		.ips = { ips, 2 },
	};
	CLEANUP(json_decrefp) json_t *document = NULL;
	struct pod_state_record back;
	struct err err = { 0 };

	assert_ok(record_write(place->path, "state.json", pod_state_fields, &record, &err));
	assert_ok(read_state(place, &back, &document, &err));
	assert_int_equal(back.version, RECORD_VERSION);
	assert_string_equal(back.boot_id, record.boot_id);
	assert_true(back.ready && back.stopped);
	assert_int_equal(back.pause.pid, 4711);
	assert_true(back.pause.start_time == record.pause.start_time);
	assert_int_equal(back.ips.len, 2);
	assert_string_equal(back.ips.items[1], "fd00::3");
}

static void test_container_round_trip(void **state)
{
	const struct place *place = *state;
	CLEANUP(json_decrefp) json_t *groups = json_pack("[iiI]", 0, 5, (json_int_t)4294967295);
	const struct container_state_record record = {
		.version = RECORD_VERSION,
		.boot_id = (char *)"b",
		.state = (char *)"exited",
		.started_at = INT64_C(1700000000000000001),
		.finished_at = INT64_C(1700000000000000002),
		.exit_code = 137,
		.reason = (char *)"OOMKilled",
		.message = (char *)"two\nlines",
		.init = { 12, 34 },
		.monitor = { 56, 78 },
		.uid = 4294967295,
		.gid = 5,
		.groups = groups,
	};
	const struct record_source source = { place->scratch.dir, "one", "state.json" };
	CLEANUP(json_decrefp) json_t *document = NULL;
	struct container_state_record back = { 0 };
	struct err err = { 0 };

	assert_ok(record_write(place->path, "state.json", container_state_fields, &record, &err));
	assert_ok(record_read(&source, container_state_fields, &back, place->arena, &document, &err));
	assert_string_equal(back.state, "exited");
	assert_int_equal(back.started_at, record.started_at);
	assert_int_equal(back.finished_at, record.finished_at);
	assert_int_equal(back.exit_code, 137);
	assert_string_equal(back.reason, "OOMKilled");
	assert_string_equal(back.message, "two\nlines");
	assert_int_equal(back.init.pid, 12);
	assert_int_equal(back.monitor.start_time, 78);
	assert_int_equal(back.uid, 4294967295);
	assert_true(json_equal(back.groups, groups));
}

static void test_replacing_is_quiet(void **state)
{
	const struct place *place = *state;
	struct pod_state_record record = { .version = 1, .boot_id = (char *)"b", .ready = true };
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(json_decrefp) json_t *document = NULL;
	struct pod_state_record back;
	struct stat st;
	struct err err = { 0 };

	assert_ok(record_write(place->path, "state.json", pod_state_fields, &record, &err));
	record.ready = false;
	assert_ok(record_write(place->path, "state.json", pod_state_fields, &record, &err));
	assert_ok(read_state(place, &back, &document, &err));
	assert_false(back.ready);
	assert_ok(dir_list(place->dir, ".", &names, &err));
	assert_int_equal(names.len, 1);
	assert_int_equal(fstatat(place->dir, "state.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_unknown_members_stay(void **state)
{
	const struct place *place = *state;
	struct pod_state_record record = { .version = 1, .boot_id = (char *)"new", .ready = false };
	CLEANUP(json_decrefp) json_t *document = NULL;
	struct pod_state_record back;
	struct err err = { 0 };

	put_file(
		place->dir, "state.json",
		"{\"version\":1,\"bootId\":\"old\",\"ready\":true,\"later\":{\"a\":[1,2]},\"ips\":[\"1.1.1.1\"]}");
	assert_ok(record_write(place->path, "state.json", pod_state_fields, &record, &err));
	assert_ok(read_state(place, &back, &document, &err));
	assert_string_equal(back.boot_id, "new");
	assert_false(back.ready);
	assert_int_equal(back.ips.len, 0); /* known, so not kept */
	json_t *later = json_object_get(document, "later");
	assert_int_equal(json_integer_value(json_array_get(json_object_get(later, "a"), 1)), 2);

	/* What cannot be read is not in the way. */
	put_file(place->dir, "state.json", "{\"version\":1,");
	assert_ok(record_write(place->path, "state.json", pod_state_fields, &record, &err));
	json_decref(document);
	document = NULL;
	assert_ok(read_state(place, &back, &document, &err));
	assert_string_equal(back.boot_id, "new");
}

static void test_versions(void **state)
{
	const struct place *place = *state;

	/* Told as newer also where other members have changed their type. */
	assert_unreadable(place, "{\"version\":2,\"bootId\":\"b\",\"ready\":true}", RPC_FAILED_PRECONDITION);
	assert_unreadable(place, "{\"version\":2,\"bootId\":5,\"ready\":\"yes\"}", RPC_FAILED_PRECONDITION);
	assert_unreadable(place, "{\"bootId\":\"b\",\"ready\":true}", RPC_INVALID_ARGUMENT);
	assert_unreadable(place, "{\"version\":\"1\",\"bootId\":\"b\",\"ready\":true}", RPC_INVALID_ARGUMENT);
}

static void test_absent(void **state)
{
	const struct place *place = *state;
	const struct record_source nobody = { place->scratch.dir, "two", "state.json" };
	struct pod_state_record record;
	struct err err = { 0 };
	json_t *document = NULL;

	assert_fails(read_state(place, &record, &document, &err), RPC_NOT_FOUND);
	assert_fails(record_read(&nobody, pod_state_fields, &record, place->arena, &document, &err),
		     RPC_NOT_FOUND);
	record = (struct pod_state_record){ .version = 1, .boot_id = (char *)"b" };
	CLEANUP(freep) char *path = xasprintf("%s/two", place->scratch.path);
	assert_fails(record_write(path, "state.json", pod_state_fields, &record, &err), RPC_NOT_FOUND);
}

/* Cut after any byte, the end alone excepted. */
static void test_truncated(void **state)
{
	for (size_t len = 0; len < strlen(whole); len++) {
		CLEANUP(freep) char *cut = xstrndup(whole, len);
		assert_unreadable(*state, cut, RPC_INVALID_ARGUMENT);
	}
}

static void test_zeroed(void **state)
{
	const struct place *place = *state;
	static const char zeros[sizeof(whole)];
	struct pod_state_record record;
	struct err err = { 0 };
	json_t *document = NULL;
	int fd = openat(place->dir, "state.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write_all(fd, zeros, sizeof(zeros)), 0);
	close(fd);
	assert_fails(read_state(place, &record, &document, &err), RPC_INVALID_ARGUMENT);
}

/* Any single bit: refused or read as something, never more than that. */
static void test_bit_flips(void **state)
{
	const struct place *place = *state;
	char text[sizeof(whole)];

	for (size_t i = 0; i < (sizeof(whole) - 1) * 8; i++) {
		CLEANUP(json_decrefp) json_t *document = NULL;
		struct pod_state_record record;
		struct err err = { 0 };

		memcpy(text, whole, sizeof(text));
		text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
		int fd = openat(place->dir, "state.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(write_all(fd, text, sizeof(text) - 1), 0);
		close(fd);
		if (read_state(place, &record, &document, &err) < 0)
			assert_true(err.code == RPC_INVALID_ARGUMENT || err.code == RPC_FAILED_PRECONDITION);
		else
			assert_non_null(record.boot_id);
	}
}

static void test_no_regular_file(void **state)
{
	const struct place *place = *state;
	struct pod_state_record record;
	struct err err = { 0 };
	json_t *document = NULL;

	assert_int_equal(mkfifoat(place->dir, "state.json", 0600), 0);
	assert_fails(read_state(place, &record, &document, &err), RPC_FAILED_PRECONDITION);
	assert_int_equal(unlinkat(place->dir, "state.json", 0), 0);
	put_file(place->dir, "elsewhere", whole);
	assert_int_equal(symlinkat("elsewhere", place->dir, "state.json"), 0);
	assert_int_equal(read_state(place, &record, &document, &err), -1);
}

/* No two lists of parts look alike. */
static void test_join(void **state)
{
	const char *const a[] = { "ab", "c" }, *const b[] = { "a", "bc" }, *const c[] = { "ab", "c", "" };
	const char *const d[] = { "2:ab1:c" };
	CLEANUP(freep) char *ja = record_join(a, 2);
	CLEANUP(freep) char *jb = record_join(b, 2);
	CLEANUP(freep) char *jc = record_join(c, 3);
	CLEANUP(freep) char *jd = record_join(d, 1);

	(void)state;
	assert_string_equal(ja, "2:ab1:c");
	assert_string_not_equal(ja, jb);
	assert_string_not_equal(ja, jc);
	assert_string_not_equal(ja, jd);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pod_round_trip),
		TEST(test_container_round_trip),
		TEST(test_replacing_is_quiet),
		TEST(test_unknown_members_stay),
		TEST(test_versions),
		TEST(test_absent),
		TEST(test_truncated),
		TEST(test_zeroed),
		TEST(test_bit_flips),
		TEST(test_no_regular_file),
		TEST(test_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
