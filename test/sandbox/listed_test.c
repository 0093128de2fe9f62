/* Items that were encoded once are in every state what encoding them anew would give. */
#include "sandbox/listed.h"

#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "test/base/check.h"

struct answer {
	struct arena *arena;
	size_t max, len;
	uint8_t *bytes;
};

static uint8_t *give_room(void *data, size_t len, struct err *err)
{
	struct answer *answer = data;

	answer->len = len;
	if (len > answer->max) {
		err_set(err, RPC_RESOURCE_EXHAUSTED, "too long");
		return NULL;
	}
	answer->bytes = arena_alloc(answer->arena, len + 1);
	return answer->bytes;
}

/* A container whose note is so long. */
static Cri__Container *container_new(struct arena *arena, const char *id, size_t note_len)
{
	Cri__Container *item = message_new(arena, &cri__container__descriptor);
	char *note = arena_alloc(arena, note_len + 1);

	memset(note, 'n', note_len);
	item->id = arena_strdup(arena, id);
	item->metadata = message_new(arena, &cri__container_metadata__descriptor);
	item->metadata->name = arena_strdup(arena, "name");
	item->metadata->attempt = 7;
	item->created_at = 1700000000000000000;
	item->annotations = arena_array(arena, 1, sizeof(*item->annotations));
	item->annotations[0] = (void *)map_entry_new(arena, "note", note);
	item->n_annotations = 1;
	return item;
}

static const Cri__ListContainersResponse *written(const struct listed_item *items, size_t count,
						  struct arena *arena)
{
	struct answer answer = { .arena = arena, .max = SIZE_MAX };
	const struct list_room room = { give_room, &answer };
	ProtobufCMessage *message;
	struct err err = { 0 };

	assert_ok(listed_write(items, count, &room, &err));
	assert_ok(message_unpack(&cri__list_containers_response__descriptor, answer.bytes, answer.len, arena,
				 &message, &err));
	return (const Cri__ListContainersResponse *)message;
}

static void test_every_state(void **data UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct listed listed = { 0 };
	Cri__Container *item = container_new(arena, "one", 10), *expected = container_new(arena, "one", 10);

	item->state = CRI__CONTAINER_STATE__CONTAINER_EXITED; /* is not kept */
	listed_init(&listed, &item->base, arena);
	for (unsigned state = 0; state <= CRI__CONTAINER_STATE__CONTAINER_UNKNOWN; state++) {
		const struct listed_item one = { &listed, state };

		expected->state = state;
		assert_true(message_equal(&written(&one, 1, arena)->containers[0]->base, &expected->base));
	}
	listed_done(&listed);
}

/* Where the length of a length grows. */
static void test_every_length(void **data UNUSED)
{
	static const size_t lens[] = { 0, 1, 40, 60, 80, 100, 127, 128, 16200, 16383, 16384, 70000 };
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct listed listed[ARRAY_LEN(lens)] = { 0 };
	struct listed_item items[ARRAY_LEN(lens)];

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		listed_init(&listed[i], &container_new(arena, "one", lens[i])->base, arena);
		items[i] = (struct listed_item){ &listed[i], i % 4 };
	}
	const Cri__ListContainersResponse *answer = written(items, ARRAY_LEN(lens), arena);
	assert_int_equal(answer->n_containers, ARRAY_LEN(lens));
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		Cri__Container *expected = container_new(arena, "one", lens[i]);

		expected->state = i % 4;
		assert_true(message_equal(&answer->containers[i]->base, &expected->base));
		listed_done(&listed[i]);
	}
}

static void test_none(void **data UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);

	assert_int_equal(written(NULL, 0, arena)->n_containers, 0);
}

static void test_no_room(void **data UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct listed listed = { 0 };
	struct answer answer = { .arena = arena, .max = 100 };
	const struct list_room room = { give_room, &answer };
	struct err err = { 0 };

	listed_init(&listed, &container_new(arena, "one", 200)->base, arena);
	assert_fails(listed_write(&(struct listed_item){ &listed, 1 }, 1, &room, &err),
		     RPC_RESOURCE_EXHAUSTED);
	listed_done(&listed);
}

static void test_mended(void **data UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct listed listed = { 0 };
	Cri__Container *item = container_new(arena, "one", 1);
	const struct listed_item one = { &listed, 1 };

	item->image_ref = arena_strdup(arena, "a\xff"
					      "b"); /* a client would refuse the whole list */
	listed_init(&listed, &item->base, arena);
	assert_string_equal(written(&one, 1, arena)->containers[0]->image_ref, "a\xef\xbf\xbd"
									       "b");
	listed_done(&listed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_state), cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_none),        cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_mended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
