/* Exclusion, order of arrival, deadlines and cancellation while queued, and leaving from another thread. */
#include "test/base/check.h"

#include <pthread.h>

#include "base/gate.h"

enum { THREADS = 16, ROUNDS = 200 };

struct visitor {
	struct gate *gate;
	struct ctx *ctx; /* NULL for those who wait for ever */
	int *order, *next;
	int number;
	int failed;
	struct err err;
};

static size_t queue_len(struct gate *gate)
{
	size_t len = 0;

	lock_take(&gate->lock);
	list_for_each (node, &gate->queue)
		len++;
	lock_drop(&gate->lock);
	return len;
}

static void wait_for_queue(struct gate *gate, size_t len)
{
	for (int i = 0; i < 5000 && queue_len(gate) != len; i++)
		usleep(1000);
	assert_int_equal(queue_len(gate), len);
}

static void *visit(void *data)
{
	struct visitor *visitor = data;

	visitor->failed = gate_enter(visitor->gate, visitor->ctx, "stop pod", &visitor->err);
	if (visitor->failed)
		return NULL;
	visitor->order[(*visitor->next)++] = visitor->number; /* the gate is what guards it */
	gate_leave(visitor->gate);
	return NULL;
}

static void first_come_first_in(void **state)
{
	struct gate gate;
	struct ctx ctx;
	pthread_t threads[THREADS];
	struct visitor visitors[THREADS];
	int order[THREADS], next = 0;

	(void)state;
	gate_init(&gate);
	ctx_init(&ctx, NO_DEADLINE);
	assert_true(gate_try(&gate));
	assert_false(gate_try(&gate));
	for (int i = 0; i < THREADS; i++) {
		visitors[i] = (struct visitor){
			.gate = &gate, .ctx = i % 2 ? &ctx : NULL, .order = order, .next = &next, .number = i
		};
		assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
		wait_for_queue(&gate, (size_t)i + 1);
	}
	assert_int_equal(next, 0);
	gate_leave(&gate);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(order[i], i);
	ctx_done(&ctx);
	gate_done(&gate);
}

static void waiters_leave_by_their_own_deadline(void **state)
{
	struct gate gate;
	struct ctx ctx;
	struct err err = { 0 };

	(void)state;
	gate_init(&gate);
	assert_ok(gate_enter(&gate, NULL, "x", &err));
	ctx_init(&ctx, clock_deadline_in(20 * NS_PER_MS));
	int64_t start = clock_mono();
	assert_fails(gate_enter(&gate, &ctx, "stop pod", &err), RPC_DEADLINE_EXCEEDED);
	assert_contains(err.text, "stop pod");
	assert_between(clock_mono() - start, 19 * NS_PER_MS, 5 * NS_PER_SEC);
	assert_int_equal(queue_len(&gate), 0);
	gate_leave(&gate);
	assert_fails(gate_enter(&gate, &ctx, "stop pod", &err), RPC_DEADLINE_EXCEEDED); /* free, but over */
	ctx_done(&ctx);
	gate_done(&gate);
}

static void cancelled_waiter_does_not_hold_up_the_next(void **state)
{
	struct gate gate;
	struct ctx first, second;
	pthread_t threads[2];
	int order[2], next = 0;

	(void)state;
	gate_init(&gate);
	ctx_init(&first, NO_DEADLINE);
	ctx_init(&second, NO_DEADLINE);
	struct visitor visitors[2] = {
		{ .gate = &gate, .ctx = &first, .order = order, .next = &next, .number = 1 },
		{ .gate = &gate, .ctx = &second, .order = order, .next = &next, .number = 2 },
	};
	assert_true(gate_try(&gate));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
		wait_for_queue(&gate, (size_t)i + 1);
	}
	ctx_cancel(&first);
	pthread_join(threads[0], NULL);
	assert_int_equal(visitors[0].failed, -1);
	assert_int_equal(visitors[0].err.code, RPC_CANCELLED);
	gate_leave(&gate);
	pthread_join(threads[1], NULL);
	assert_int_equal(visitors[1].failed, 0);
	assert_int_equal(next, 1);
	assert_int_equal(order[0], 2);
	ctx_done(&first);
	ctx_done(&second);
	gate_done(&gate);
}

static void *leave(void *data)
{
	gate_leave(data);
	return NULL;
}

static void another_thread_may_leave(void **state)
{
	struct gate gate;
	pthread_t thread;

	(void)state;
	gate_init(&gate);
	assert_true(gate_try(&gate));
	assert_int_equal(pthread_create(&thread, NULL, leave, &gate), 0);
	pthread_join(thread, NULL);
	assert_true(gate_try(&gate));
	gate_leave(&gate);
	gate_done(&gate);
}

struct crowd {
	struct gate gate;
	long counter; /* guarded by the gate */
	long entered; /* the same */
};

/* Deadlines so short that many give up at the very moment they are let in. */
static void *push_through(void *data)
{
	struct crowd *crowd = data;
	struct err err;

	for (int i = 0; i < ROUNDS; i++) {
		struct ctx ctx;
		ctx_init(&ctx, i % 3 ? clock_deadline_in(i % 50 * 10 * NS_PER_US) : NO_DEADLINE);
		if (gate_enter(&crowd->gate, &ctx, "x", &err) == 0) {
			crowd->counter++;
			crowd->entered++;
			gate_leave(&crowd->gate);
		}
		ctx_done(&ctx);
	}
	return NULL;
}

static void a_crowd_with_short_deadlines(void **state)
{
	struct crowd crowd = { 0 };
	pthread_t threads[THREADS];

	(void)state;
	gate_init(&crowd.gate);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, push_through, &crowd), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd.counter, crowd.entered);
	assert_true(crowd.entered >= THREADS * ROUNDS / 3);
	assert_true(gate_try(&crowd.gate));
	gate_leave(&crowd.gate);
	gate_done(&crowd.gate);
}

static void misuse_aborts(void **state)
{
	(void)state;
	assert_aborts("leave-empty", "entered");
	assert_aborts("done-inside", "entered");
}

static int scenario(const char *name)
{
	struct gate gate;

	gate_init(&gate);
	if (strcmp(name, "leave-empty") == 0)
		gate_leave(&gate);
	if (gate_try(&gate))
		gate_done(&gate);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_come_first_in),
		cmocka_unit_test(waiters_leave_by_their_own_deadline),
		cmocka_unit_test(cancelled_waiter_does_not_hold_up_the_next),
		cmocka_unit_test(another_thread_may_leave),
		cmocka_unit_test(a_crowd_with_short_deadlines),
		cmocka_unit_test(misuse_aborts),
	};

	if (argc > 1)
		return scenario(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
