/* A list is the same whoever makes it: the caller alone, or with workers of a pool, idle or not. */
#include "sandbox/lister.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/cri.pb-c.h"
#include "proto/message.h"
#include "test/base/check.h"

enum { OBJECTS = 1000 };

struct things {
	int numbers[OBJECTS];
	void *objects[OBJECTS + 1];
	atomic_uint made[OBJECTS];
	unsigned int pause_us; /* while one is made */
};

static struct things things;

static void fill_things(size_t count, unsigned int pause_us)
{
	memset(&things, 0, sizeof(things));
	for (size_t i = 0; i < count; i++) {
		things.numbers[i] = (int)i;
		things.objects[i] = &things.numbers[i];
	}
	things.pause_us = pause_us;
}

/* Every third one is not wanted. */
static bool wanted(void *object, const void *filter UNUSED)
{
	return *(int *)object % 3 != 0;
}

/* Every fifth one is gone by now. */
static ProtobufCMessage *make_thing(void *object, const void *data, struct arena *arena)
{
	const struct things *of = data;
	int number = *(int *)object;
	Cri__UInt64Value *message;

	atomic_fetch_add(&things.made[number], 1);
	if (of->pause_us)
		usleep(of->pause_us);
	if (number % 5 == 0)
		return NULL;
	message = message_new(arena, &cri__uint64_value__descriptor);
	message->value = (uint64_t)number;
	return &message->base;
}

static void check_list(struct pool *pool, size_t count)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const struct lister lister = { .objects = things.objects,
				       .matches = wanted,
				       .make = make_thing,
				       .data = &things,
				       .pool = pool };
	size_t len = 0, at = 0;
	Cri__UInt64Value **items = (Cri__UInt64Value **)lister_all(&lister, arena, &len);

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(atomic_load(&things.made[i]), i % 3 != 0);
		if (i % 3 == 0 || i % 5 == 0)
			continue;
		assert_true(at < len);
		assert_int_equal(items[at++]->value, i);
	}
	assert_int_equal(at, len);
	assert_null(items[len]);
}

static struct pool *pool_of(size_t threads)
{
	return pool_new(&(struct pool_options){
		.name = "list", .threads_max = threads, .queue_max = 8, .idle_ns = NS_PER_SEC });
}

static void test_alone(void **state)
{
	(void)state;
	for (size_t count = 0; count < 100; count += 9) {
		fill_things(count, 0);
		check_list(NULL, count);
	}
}

static void test_together(void **state)
{
	static const size_t counts[] = { 1, 63, 64, 65, 250, OBJECTS };
	struct pool *pool = pool_of(4);

	(void)state;
	for (size_t turn = 0; turn < 20; turn++) {
		for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
			fill_things(counts[i], turn % 4 == 0 ? 20 : 0);
			check_list(pool, counts[i]);
		}
	}
	pool_free(pool);
}

static void wait_for(void *data)
{
	atomic_bool *over = data;

	while (!atomic_load(over))
		usleep(1000);
}

/* Nobody waits for help that comes too late. */
static void test_busy_pool(void **state)
{
	struct pool *pool = pool_of(1);
	atomic_bool over = false;
	struct err err = { 0 };

	(void)state;
	assert_ok(pool_run(pool, wait_for, &over, &err));
	for (int i = 0; i < 20; i++) { /* more than its queue takes */
		fill_things(OBJECTS, 0);
		check_list(pool, OBJECTS);
	}
	atomic_store(&over, true);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_busy_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
