/* Maps: small ones (compared directly) and large ones (hashed) must behave alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "proto/message.h"

static struct map_entry **numbered(struct arena *arena, size_t count)
{
	struct map_entry **entries = arena_array(arena, count + 1, sizeof(*entries));

	for (size_t i = 0; i < count; i++)
		entries[i] = map_entry_new(arena, arena_fmt(arena, "key-%zu", i),
					   arena_fmt(arena, "value-%zu", i));
	return entries;
}

static void test_get(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct map_entry **entries = numbered(arena, 3);

	(void)state;
	assert_string_equal(map_entry_get(entries, 3, "key-2"), "value-2");
	assert_null(map_entry_get(entries, 3, "key"));
	assert_null(map_entry_get(entries, 2, "key-2"));
	assert_null(map_entry_get(NULL, 0, "key-2"));
}

static void check_equal_at(size_t count)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct map_entry **a = numbered(arena, count);
	struct map_entry **b = map_entries_clone(arena, a, count);

	for (size_t i = 0; i < count / 2; i++) {
		struct map_entry *entry = b[i];

		b[i] = b[count - 1 - i];
		b[count - 1 - i] = entry;
	}
	assert_true(map_entries_equal(a, count, b, count));
	assert_false(map_entries_equal(a, count, b, count - 1));
	assert_true(map_entries_match(a, count, b, count - 1));
	assert_true(map_entries_match(a, count, b, 0));
	b[count / 2]->value = (char *)"other";
	assert_false(map_entries_equal(a, count, b, count));
	assert_false(map_entries_match(a, count, b, count));
	b[count / 2] = map_entry_new(arena, "other", "");
	assert_false(map_entries_equal(a, count, b, count));
	assert_false(map_entries_match(b, count, a, count));
}

static void test_equal(void **state)
{
	(void)state;
	assert_true(map_entries_equal(NULL, 0, NULL, 0));
	check_equal_at(1);
	check_equal_at(2);
	check_equal_at(12);
	check_equal_at(13);
	check_equal_at(1000);
}

static void check_unique_at(size_t count)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct map_entry **entries = arena_array(arena, 3 * count, sizeof(*entries));

	for (size_t i = 0; i < 3 * count; i++)
		entries[i] =
			map_entry_new(arena, arena_fmt(arena, "%zu", i % count), arena_fmt(arena, "%zu", i));
	assert_int_equal(map_entries_unique(entries, 3 * count), count);
	for (size_t i = 0; i < count; i++) {
		CLEANUP(str_done) struct str value = STR_INIT;

		str_addf(&value, "%zu", 2 * count + i);
		assert_string_equal(entries[i]->value, str_get(&value));
	}
}

static void test_unique(void **state)
{
	(void)state;
	assert_int_equal(map_entries_unique(NULL, 0), 0);
	check_unique_at(1);
	check_unique_at(4);
	check_unique_at(5);
	check_unique_at(1000);
}

/* An equal map may say a key twice: the last counts. */
static void test_equal_with_repeats(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct map_entry *a[] = { map_entry_new(arena, "k", "old"), map_entry_new(arena, "k", "new") };
	struct map_entry *b[] = { map_entry_new(arena, "k", "new") };

	(void)state;
	assert_true(map_entries_equal(a, 2, b, 1));
	assert_string_equal(map_entry_get(a, 2, "k"), "new");
}

/* Labels of one message given to another of a different type, shared and copied: what the header promises. */
static void test_across_types(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	Cri__PodSandboxConfig *config = message_new(arena, &cri__pod_sandbox_config__descriptor);
	Cri__PodSandbox pod = CRI__POD_SANDBOX__INIT, other = CRI__POD_SANDBOX__INIT;
	CLEANUP(str_done) struct str wire = STR_INIT;
	ProtobufCMessage *back = NULL;
	struct err err = { 0 };

	(void)state;
	config->labels = (void *)numbered(arena, 3);
	config->n_labels = 3;
	pod.labels = (void *)config->labels;
	pod.n_labels = config->n_labels;
	other.labels = map_entries_clone(arena, config->labels, config->n_labels);
	other.n_labels = config->n_labels;
	assert_true(message_equal(&pod.base, &other.base));
	assert_int_equal(message_pack(&pod.base, &wire, &err), 0);
	assert_int_equal(
		message_unpack(&cri__pod_sandbox__descriptor, wire.data, wire.len, arena, &back, &err), 0);
	assert_true(message_equal(back, &other.base));
	assert_true(message_equal(message_clone(&pod.base, arena), &other.base));
}

static const ProtobufCFieldDescriptor *field(const ProtobufCMessageDescriptor *desc, const char *name)
{
	const ProtobufCFieldDescriptor *found = protobuf_c_message_descriptor_get_field_by_name(desc, name);

	assert_non_null(found);
	return found;
}

static void test_is_map(void **state)
{
	const ProtobufCMessageDescriptor *config = &cri__container_config__descriptor;

	(void)state;
	assert_true(map_entry_is_map(config, field(config, "labels")));
	assert_true(map_entry_is_map(config, field(config, "annotations")));
	assert_false(map_entry_is_map(config, field(config, "envs")));
	assert_false(map_entry_is_map(config, field(config, "mounts")));
	assert_false(map_entry_is_map(config, field(config, "args")));
	assert_false(map_entry_is_map(config, field(config, "image")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),          cmocka_unit_test(test_equal),
		cmocka_unit_test(test_unique),       cmocka_unit_test(test_equal_with_repeats),
		cmocka_unit_test(test_across_types), cmocka_unit_test(test_is_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
