/* sandboxes_open() on as many objects as are read side by side. */
#include "test/sandbox/state_dir.h"

enum { MANY = 96, EXITED = CRI__CONTAINER_STATE__CONTAINER_EXITED };

static int setup(void **state)
{
	*state = state_dir_new();
	return 0;
}

static int teardown(void **state)
{
	state_dir_free(*state);
	return 0;
}

static const char *many_id(char id[ID_SIZE], int number, char fill)
{
	CLEANUP(freep) char *start = xasprintf("%02x%c", (unsigned int)number, fill);

	return state_dir_id(id, start, fill);
}

/* As many as are read side by side: whole ones, and of each eight a damaged one and one that was never made.
 */
static void test_many(void **data)
{
	struct state_dir *state = *data;
	char pod[ID_SIZE], container[ID_SIZE];
	size_t kept = 0;

	for (int i = 0; i < MANY; i++) {
		CLEANUP(freep) char *name = xasprintf("name-%d", i);

		many_id(pod, i, 'a');
		many_id(container, i, 'b');
		state_dir_add_pod(state,
				  &(struct pod_on_disk){ .id = pod, .name = name, .no_state = i % 8 == 5 });
		state_dir_add_container(state,
					&(struct container_on_disk){ .id = container,
								     .pod_id = pod,
								     .name = name,
								     .state = i % 2 ? "exited" : "running" });
		if (i % 8 == 3)
			state_dir_damage(state, "pods", pod, "config.json", "{");
	}
	state_dir_open(state);
	assert_int_equal(atomic_load(&state->progress.all), 2 * MANY);
	assert_int_equal(atomic_load(&state->progress.done), 2 * MANY);
	const Cri__ListPodSandboxResponse *pods = pods_listed(state, NULL);
	for (int i = 0; i < MANY; i++) {
		many_id(pod, i, 'a');
		many_id(container, i, 'b');
		if (i % 8 == 3) {
			assert_true(state_dir_warned(state, pod));
			assert_true(state_dir_warned(state, container)); /* nor can what was in it */
		} else if (i % 8 != 5) {
			assert_string_equal(pods->items[kept]->id, pod);
			kept++;
			assert_int_equal(container_status_of(state, container)->state, EXITED);
			assert_int_equal(container_status_of(state, container)->exit_code, i % 2 ? 42 : 137);
		}
	}
	assert_int_equal(pods->n_items, kept);
	state_dir_close(state);
}

/* A newer one among many is told, and nothing has been touched. */
static void test_many_and_a_newer_one(void **data)
{
	struct state_dir *state = *data;
	struct err err = { 0 };
	char pod[ID_SIZE];

	for (int i = 0; i < MANY; i++)
		state_dir_add_pod(state, &(struct pod_on_disk){ .id = many_id(pod, i, 'a'), .name = pod });
	many_id(pod, MANY / 2, 'a');
	state_dir_damage(state, "pods", pod, "state.json", "{\"version\": 2}");
	many_id(pod, 1, 'a');
	state_dir_damage(state, "pods", pod, "config.json", "{");
	assert_int_equal(state_dir_try_open(state, &err), -1);
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, "pods"));
	assert_non_null(strstr(err.text, many_id(pod, MANY / 2, 'a')));
	assert_int_equal(atomic_load(&state->progress.all), 0);
	assert_false(state_dir_has(state, "root/quarantine"));
	state_dir_close(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_and_a_newer_one, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
