/* The lock is taken for a while after each expectation, by one thread, which stays where it is. */
#include "sandbox/move_lock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "test/base/check.h"

static struct pool *pool_of(size_t threads)
{
	return pool_new(&(struct pool_options){
		.name = "move", .threads_max = threads, .queue_max = 4, .idle_ns = NS_PER_SEC });
}

static char *where_we_are(void)
{
	char *text = NULL;
	struct err err = { 0 };

	assert_ok(file_read_virtual(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &err));
	return text;
}

/* Whether a thread may be moved to where it is, tried from here in one place after the other. */
static bool may_move(void)
{
	static const struct {
		const char *line, *root, *file;
	} places[] = { { ":freezer:", "/sys/fs/cgroup/freezer", "tasks" },
		       { "0::", "/sys/fs/cgroup", "cgroup.threads" },
		       { "0::", "/sys/fs/cgroup/unified", "cgroup.threads" } };
	CLEANUP(freep) char *text = where_we_are();
	bool may = false;

	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));)
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			const char *where = strchr(strchr(line, ':') + 1, ':') + 1;
			CLEANUP(freep)
			char *path = xasprintf("%s%s/%s", places[i].root, where, places[i].file);
			int fd = strstr(line, places[i].line) ? open(path, O_WRONLY | O_CLOEXEC) : -1;

			may = may || (fd >= 0 && dprintf(fd, "%d", (int)gettid()) > 0);
			fd_close(fd);
		}
	return may;
}

/* A task that begins late, on a busy machine, finds the expectation over: then once more. */
static void assert_taken_if_we_may(struct move_lock *lock, struct pool *pool)
{
	const uint64_t before = move_lock_taken(lock);

	for (int i = 0; i < 100 && move_lock_taken(lock) == before; i++) {
		move_lock_expect(lock);
		assert_true(pool_wait_quiet(pool, clock_deadline_in(30 * NS_PER_SEC)));
	}
	assert_int_equal(move_lock_taken(lock) > before, may_move());
}

static void test_taken_for_a_while(void **state)
{
	CLEANUP(freep) char *before = where_we_are();
	CLEANUP(cgroups_freep) struct cgroups *cgroups = NULL;
	struct pool *pool = pool_of(4);
	struct move_lock *lock;
	struct err err = { 0 };
	int64_t started = clock_mono();

	(void)state;
	cgroups = cgroups_open(NULL, &err);
	assert_non_null(cgroups);
	lock = move_lock_new(cgroups, pool);
	for (int i = 0; i < 50; i++)
		move_lock_expect(lock);
	assert_true(pool_busy(pool) <= 1);
	assert_true(pool_wait_quiet(pool, clock_deadline_in(30 * NS_PER_SEC)));
	if (move_lock_taken(lock) > 0)
		assert_true(clock_mono() - started >= MOVE_LOCK_KEPT);
	assert_true(move_lock_taken(lock) <= 60);

	CLEANUP(freep) char *after = where_we_are();
	assert_string_equal(after, before);
	/* And again, when it was over. */
	assert_taken_if_we_may(lock, pool);
	pool_free(pool);
	move_lock_free(lock);
}

static void wait_for(void *data)
{
	atomic_bool *over = data;

	while (!atomic_load(over))
		usleep(1000);
}

/* A pool without room leaves it to the next. */
static void test_no_room(void **state)
{
	CLEANUP(cgroups_freep) struct cgroups *cgroups = NULL;
	struct pool *pool = pool_new(&(struct pool_options){
		.name = "move", .threads_max = 1, .queue_max = 1, .idle_ns = NS_PER_SEC });
	struct move_lock *lock;
	atomic_bool over = false;
	struct err err = { 0 };

	(void)state;
	cgroups = cgroups_open(NULL, &err);
	assert_non_null(cgroups);
	lock = move_lock_new(cgroups, pool);
	assert_ok(pool_run(pool, wait_for, &over, &err));
	while (pool_load(pool).running == 0)
		usleep(1000);
	assert_ok(pool_run(pool, wait_for, &over, &err));
	move_lock_expect(lock);
	assert_int_equal(move_lock_taken(lock), 0);
	atomic_store(&over, true);
	assert_true(pool_wait_quiet(pool, clock_deadline_in(30 * NS_PER_SEC)));
	assert_taken_if_we_may(lock, pool);
	pool_free(pool);
	move_lock_free(lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_for_a_while),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
