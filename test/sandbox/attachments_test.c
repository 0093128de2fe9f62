/* What the network holds for pods: kept for those in the store, to be undone or in quarantine, released for
 * all others, and tried again while that fails. The only plugin notes whom it releases in "released". */
#include "test/sandbox/state_dir.h"

#include "sandbox/store.h"

static char kept[ID_SIZE], unfinished[ID_SIZE], unreadable[ID_SIZE], stranger[ID_SIZE];

static void add_attachment(const struct state_dir *state, const char *id)
{
	/* {"cniVersion":"1.0.0","name":"n","plugins":[{"type":"fake"}]} */
	static const char config[] =
		"eyJjbmlWZXJzaW9uIjoiMS4wLjAiLCJuYW1lIjoibiIsInBsdWdpbnMiOlt7InR5cGUiOiJmYWtlIn1dfQ==";
	CLEANUP(freep) char *name = xasprintf("root/cni/results/n-%s-eth0", id);

	state_dir_put_json(state, name,
			   json_pack("{ssssssssss}", "kind", "cniCacheV1", "containerId", id, "config",
				     config, "ifName", "eth0", "networkName", "n"));
}

static void add_plugin(const struct state_dir *state)
{
	CLEANUP(freep) char *path = state_dir_path(state, "cni/fake");
	CLEANUP(freep)
	char *script = xasprintf("#!/bin/sh\ncat >/dev/null\n"
				 "[ -e %s/stuck ] && { echo '{\"code\":7,\"msg\":\"stuck\"}'; exit 1; }\n"
				 "echo \"$CNI_COMMAND $CNI_CONTAINERID [$CNI_NETNS]\" >>%s/released\n",
				 state->scratch.path, state->scratch.path);

	state_dir_mkdir(state, "cni");
	state_dir_put(state, "cni/fake", script);
	assert_int_equal(chmod(path, 0755), 0);
}

static int setup(void **data)
{
	struct state_dir *state = state_dir_new();

	state_dir_id(kept, "1", 'a');
	state_dir_id(unfinished, "2", 'a');
	state_dir_id(unreadable, "3", 'a');
	state_dir_id(stranger, "4", 'a');
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = kept, .name = "kept", .not_ready = true });
	state_dir_add_pod(state, &(struct pod_on_disk){ .id = unreadable, .name = "unreadable" });
	state_dir_damage(state, "pods", unreadable, "config.json", "{");
	state_dir_mkdir(state, "root/cni/results");
	add_attachment(state, kept);
	add_attachment(state, unreadable);
	add_attachment(state, stranger);
	add_plugin(state);
	*data = state;
	return 0;
}

static int teardown(void **data)
{
	struct state_dir *state = *data;

	state_dir_close(state);
	state_dir_free(state);
	return 0;
}

static void settle(struct state_dir *state)
{
	assert_true(pool_wait_quiet(state->pool, clock_deadline_in(60 * NS_PER_SEC)));
}

static bool has_attachment(const struct state_dir *state, const char *id)
{
	CLEANUP(freep) char *name = xasprintf("root/cni/results/n-%s-eth0", id);

	return state_dir_has(state, name);
}

static void assert_released(const struct state_dir *state, const char *id)
{
	CLEANUP(freep) char *want = xasprintf("DEL %s []\n", id);
	CLEANUP(freep) char *have = NULL;
	struct err err = { 0 };

	assert_ok(file_read(state->scratch.dir, "released", 4096, &have, NULL, &err));
	assert_string_equal(have, want);
}

static void test_strangers_are_released(void **data)
{
	struct state_dir *state = *data;

	state_dir_open(state);
	settle(state);
	assert_released(state, stranger);
	assert_false(has_attachment(state, stranger));
	assert_true(has_attachment(state, kept));
	assert_true(has_attachment(state, unreadable));
	/* Once is enough. */
	add_attachment(state, stranger);
	attachments_retry(state->sandboxes, clock_mono() + 3600 * NS_PER_SEC);
	settle(state);
	assert_true(has_attachment(state, stranger));
}

static void test_tried_again(void **data)
{
	struct state_dir *state = *data;

	state_dir_put(state, "stuck", "");
	state_dir_open(state);
	settle(state);
	assert_true(has_attachment(state, stranger));
	assert_int_equal(unlinkat(state->scratch.dir, "stuck", 0), 0);
	attachments_retry(state->sandboxes, clock_mono()); /* not due yet */
	settle(state);
	assert_true(has_attachment(state, stranger));
	attachments_retry(state->sandboxes, clock_mono() + 11 * NS_PER_SEC);
	settle(state);
	assert_false(has_attachment(state, stranger));
	assert_released(state, stranger);
}

/* A pod cut short releases what it has itself: once, whoever is first. */
static void test_leftovers_release_their_own(void **data)
{
	struct state_dir *state = *data;
	CLEANUP(freep) char *have = NULL;
	struct err err = { 0 };

	state_dir_add_pod(state,
			  &(struct pod_on_disk){ .id = unfinished,
						 .name = "unfinished",
						 .namespaces = "{\"network\":\"POD\",\"ipc\":\"NODE\"}",
						 .no_state = true });
	add_attachment(state, unfinished);
	state_dir_open(state);
	settle(state);
	assert_ok(file_read(state->scratch.dir, "released", 4096, &have, NULL, &err));
	CLEANUP(strv_done) struct strv lines = STRV_INIT;
	CLEANUP(freep) char *own = xasprintf("DEL %s []", unfinished);
	CLEANUP(freep) char *other = xasprintf("DEL %s []", stranger);
	strv_split(&lines, have, '\n');
	assert_int_equal(lines.len, 3); /* with the empty one behind the last */
	assert_true(strv_has(&lines, own));
	assert_true(strv_has(&lines, other));
	assert_false(has_attachment(state, unfinished));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_strangers_are_released),
		TEST(test_tried_again),
		TEST(test_leftovers_release_their_own),
	};

	if (state_dir_isolate() < 0) {
		print_message("needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
