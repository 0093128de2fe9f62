/* Blobs in parts, against a registry that serves an endless pattern: rightly, slowly, and in every wrong way.
 */
#include "test/image/registry_scene.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "image/split.h"

enum { PATTERN = 1048573, PIECE = 64 * 1024, PARTS = 4, PART = SPLIT_AHEAD / PARTS };

static const int64_t size = 5 * PART + 12345; /* the last part is short */

/* What the registry does; the scene of one test at a time. */
static struct plan {
	fake_fault *fault;
	int64_t rate;              /* bytes per second of one connection; 0: unbounded */
	_Atomic int64_t reset_at;  /* > 0: the first answer that gets there is reset */
	atomic_bool stall;         /* the first answer from part 2 on stays away */
	bool hold;                 /* part 1 is answered when parts 2 and 3 have been sent */
	bool ignore, ignore_later; /* Range is; from the second part on */
	int refuse;                /* status that says no to Range */
	long long total;           /* != 0: what Content-Range says */
	atomic_int lies;           /* requests from part 1 on whose Content-Range is of something else */
	const char *elsewhere;     /* who is sent there */
	atomic_int sent;           /* parts sent to their end */
	atomic_bool held;          /* they had been */
	atomic_int running, most;  /* answers being sent */
} plan;

static struct pool *pool;
static struct split_budget budget;
static struct split_options options;
static char pattern[PATTERN];

/* The reader, which is at part 0, shall not be the one who is lied to once. */
static void hold_until_lied(const struct fake_request *request)
{
	for (int i = 0; i < 20000 && !request->close && atomic_load(&plan.lies) == 1; i++)
		usleep(1000);
}

/* Waits for a number of parts; others don't come for ever in a test that fails. */
static void hold_back(const struct fake_request *request, int parts)
{
	for (int i = 0; i < 20000 && !request->close && atomic_load(&plan.sent) < parts; i++)
		usleep(1000);
	atomic_store(&plan.held, atomic_load(&plan.sent) >= parts);
}

static void send_pattern(struct fake_request *request, int64_t from, int64_t to)
{
	int64_t start = clock_mono(), first = from;

	while (from < to && !request->close) {
		int64_t at = from % PATTERN, n = PATTERN - at < PIECE ? PATTERN - at : PIECE;
		int64_t reset_at = atomic_load(&plan.reset_at);

		n = to - from < n ? to - from : n;
		if (reset_at > 0 && from >= reset_at && first < reset_at &&
		    atomic_exchange(&plan.reset_at, 0) > 0) {
			fake_reset(request);
			return;
		}
		fake_send(request, pattern + at, (size_t)n);
		from += n;
		while (plan.rate && (clock_mono() - start) * plan.rate / NS_PER_SEC < from - first)
			usleep(1000);
	}
}

static void answer(struct fake_request *request, bool ranged, int64_t from, int64_t to)
{
	char headers[128] = "";
	int64_t said = from;
	int running = atomic_fetch_add(&plan.running, 1) + 1;

	if (running > atomic_load(&plan.most))
		atomic_store(&plan.most, running);
	if (from >= PART && atomic_fetch_sub(&plan.lies, 1) > 0)
		said += 1;
	if (ranged)
		snprintf(headers, sizeof(headers), "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)said,
			 (long long)to - 1, plan.total ? plan.total : (long long)size);
	fake_head(request, ranged ? 206 : 200, headers, to - from);
	if (from == 0)
		hold_until_lied(request);
	send_pattern(request, from, to);
	atomic_fetch_sub(&plan.running, 1);
	atomic_fetch_add(&plan.sent, 1);
}

static void serve(struct fake_request *request, void *data UNUSED, bool *handled)
{
	unsigned long long from = 0, last = (unsigned long long)size - 1;
	bool ranged = sscanf(request->range, "bytes=%llu-%llu", &from, &last) >= 1;

	*handled = strstr(request->path, "/blobs/") != NULL || strstr(request->path, "/elsewhere");
	if (!*handled)
		return;
	if (plan.elsewhere && !strstr(request->path, "/elsewhere")) {
		CLEANUP(freep) char *to = xasprintf("Location: http://%s/elsewhere\r\n", plan.elsewhere);

		fake_reply_text(request, 307, to, "");
		return;
	}
	if (plan.refuse && ranged) {
		fake_reply_text(request, plan.refuse, "", "");
		return;
	}
	if (plan.ignore || (plan.ignore_later && from > 0)) {
		from = 0;
		last = (unsigned long long)size - 1;
		ranged = false;
	}
	if (from >= 2 * PART && atomic_exchange(&plan.stall, false)) {
		fake_stall(request);
		return;
	}
	if (plan.hold && from == PART)
		hold_back(request, 3); /* and part 0 */
	answer(request, ranged, (int64_t)from, (int64_t)last + 1);
}

static int setup(void **state)
{
	static const struct registry_options patient = { .connect_timeout = 60 * NS_PER_SEC,
							 .progress_timeout = 60 * NS_PER_SEC,
							 .retry_pause = NS_PER_MS };
	const struct pool_options pool_options = { .name = "split", .threads_max = 32, .queue_max = 100 };
	struct scene *scene;

	registry_setup(state);
	scene = *state;
	plan = (struct plan){ .fault = serve };
	for (size_t i = 0; i < PATTERN; i++)
		pattern[i] = (char)(i * 2654435761u >> 13);
	registry_configure(scene->registry, &patient);
	connect_repo(scene, NULL, true);
	scene->descriptor.size = size;
	pool = pool_new(&pool_options);
	options = (struct split_options){ 1, PARTS, pool, &budget };
	return 0;
}

static int teardown(void **state)
{
	assert_true(pool_wait_quiet(pool, clock_deadline_in(60 * NS_PER_SEC)));
	assert_int_equal(atomic_load(&budget.used), 0);
	pool_free(pool);
	return registry_teardown(state);
}

/* Lets the servers' threads see the plan. */
static void publish(struct scene *scene)
{
	fake_content_fault(&scene->content, plan.fault);
	fake_content_fault(&scene->other_content, serve);
}

static int open_split(struct scene *scene, struct registry_conn *conn, struct split **ret, struct err *err)
{
	const struct split_job job = { &options, conn, &scene->descriptor };

	publish(scene);
	assert_true(split_is_wanted(&options, &scene->descriptor));
	return split_open(&job, &scene->ctx, ret, err);
}

static void check_piece(int64_t at, const uint8_t *data, size_t len)
{
	assert_true(at + (int64_t)len <= size);
	for (size_t done = 0; done < len;) {
		size_t from = (size_t)(at + (int64_t)done) % PATTERN;
		size_t n = PATTERN - from < len - done ? PATTERN - from : len - done;

		assert_memory_equal(data + done, pattern + from, n);
		done += n;
	}
}

static int read_up_to(struct split *split, int64_t *at, int64_t end, struct err *err)
{
	const uint8_t *data;
	size_t len = 1;

	while (*at < end && len > 0) {
		if (split_read(split, &data, &len, err) < 0)
			return -1;
		check_piece(*at, data, len);
		*at += (int64_t)len;
	}
	return 0;
}

static int get(struct scene *scene, struct err *err)
{
	CLEANUP(split_freep) struct split *split = NULL;
	const uint8_t *data;
	int64_t at = 0;
	size_t len;

	if (open_split(scene, scene->conn, &split, err) < 0 || read_up_to(split, &at, size, err) < 0)
		return -1;
	assert_int_equal(at, size);
	if (split_read(split, &data, &len, err) < 0)
		return -1;
	assert_int_equal(len, 0);
	return 0;
}

static void check_good(struct scene *scene)
{
	struct err err = { 0 };

	if (get(scene, &err) < 0)
		fail_msg("%s", err.text);
}

static void test_good(void **state)
{
	struct scene *scene = *state;

	check_good(scene);
	assert_int_equal(asked(scene, "GET"), 6);
	assert_int_equal(asked(scene, "range=bytes=0-3145727 "), 1);
	assert_int_equal(asked(scene, "range=bytes=3145728-6291455 "), 1);
	assert_int_equal(asked(scene, "range=bytes=15728640- "), 1);
}

static void test_out_of_order(void **state)
{
	struct scene *scene = *state;

	plan.hold = true;
	check_good(scene);
	assert_true(atomic_load(&plan.held));
	assert_int_equal(asked(scene, "GET"), 6);
}

/* The size of a blob that is split. */
static void test_bounds(void **state UNUSED)
{
	const struct descriptor descriptor = { .size = size };

	options.above = 0;
	assert_false(split_is_wanted(&options, &descriptor));
	options.above = size;
	assert_false(split_is_wanted(&options, &descriptor));
	options.above = size - 1;
	assert_true(split_is_wanted(&options, &descriptor));
}

/* Goes on within the part. */
static void test_reset(void **state)
{
	struct scene *scene = *state;

	atomic_store(&plan.reset_at, 2 * PART + 100000);
	check_good(scene);
	assert_int_equal(atomic_load(&plan.reset_at), 0);
	assert_int_equal(asked(scene, "range=bytes=6291456-9437183 "), 1);
	assert_int_equal(asked(scene, "-9437183 "), 2);
	assert_int_equal(asked(scene, "GET"), 7);
}

static void test_range_ignored(void **state)
{
	struct scene *scene = *state;

	plan.ignore = true;
	check_good(scene);
	assert_int_equal(asked(scene, "GET"), 1);
}

static void test_range_ignored_later(void **state)
{
	struct scene *scene = *state;

	plan.ignore_later = true;
	check_good(scene);
	assert_between((long long)asked(scene, "GET"), 2, 1 + PARTS + 1);
}

static void test_range_refused(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	plan.refuse = 416;
	check_good(scene);
	assert_int_equal(asked(scene, "range= "), 1);
	assert_int_equal(asked(scene, "GET"), 2);
	plan.refuse = 404; /* is no opinion about Range */
	assert_fails(get(scene, &err), RPC_NOT_FOUND);
	assert_int_equal(asked(scene, "GET"), 3);
}

static void test_wrong_total(void **state)
{
	struct scene *scene = *state;

	plan.total = size + 1;
	check_good(scene);
	assert_int_equal(asked(scene, "range= "), 1);
	assert_int_equal(asked(scene, "GET"), 2);
}

/* A lie or two are made up for; who goes on lying gets the error of a single stream. */
static void test_wrong_range(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	atomic_store(&plan.lies, 1);
	check_good(scene);
	atomic_store(&plan.lies, 1000);
	assert_fails(get(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "another range");
}

/* The blob is shorter than its descriptor says. */
static void test_wrong_size(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	scene->descriptor.size = size + 1;
	assert_fails(get(scene, &err), RPC_DATA_LOSS);
	assert_contains(err.text, "shorter");
}

/* The progress timeout is each part's own. */
static void test_stall(void **state)
{
	static const struct registry_options impatient = { .connect_timeout = 60 * NS_PER_SEC,
							   .progress_timeout = NS_PER_SEC,
							   .retry_pause = NS_PER_MS };
	struct scene *scene = *state;
	int64_t start = clock_mono();

	registry_configure(scene->registry, &impatient);
	connect_repo(scene, NULL, true);
	atomic_store(&plan.stall, true);
	check_good(scene);
	assert_between((clock_mono() - start) / NS_PER_MS, 990, 60000);
	assert_false(atomic_load(&plan.stall));
}

/* The reader waits for a part that stalls. */
static void test_cancel(void **state)
{
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };
	pthread_t thread;

	atomic_store(&plan.stall, true);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &scene->ctx), 0);
	assert_fails(get(scene, &err), RPC_CANCELLED);
	pthread_join(thread, NULL);
	assert_true(clock_mono() - start < 30 * NS_PER_SEC); /* the progress timeout is 60 s */
}

/* The reader gives up, as after a wrong digest, while helpers are at work. */
static void test_leave(void **state)
{
	struct scene *scene = *state;
	CLEANUP(split_freep) struct split *split = NULL;
	int64_t start = clock_mono(), at = 0;
	struct err err = { 0 };

	plan.rate = 100000;
	assert_ok(open_split(scene, scene->conn, &split, &err));
	assert_ok(read_up_to(split, &at, 1, &err));
	split_freep(&split);
	split = NULL;
	assert_true(clock_mono() - start < 30 * NS_PER_SEC);
	assert_int_equal(atomic_load(&budget.used), 0);
}

/* Two readers that don't read: nothing is asked for beyond the budget and what readers fetch themselves. */
static void test_memory(void **state)
{
	struct scene *scene = *state;
	struct registry_conn *other = registry_conn_new(scene->repo);
	struct split *splits[2] = { NULL, NULL };
	int64_t at[2] = { 0, 0 };
	struct err err = { 0 };

	assert_ok(open_split(scene, scene->conn, &splits[0], &err));
	assert_ok(open_split(scene, other, &splits[1], &err));
	for (size_t i = 0; i < 2; i++)
		assert_ok(read_up_to(splits[i], &at[i], 1, &err));
	assert_true(pool_wait_quiet(pool, clock_deadline_in(60 * NS_PER_SEC)));
	assert_between((long long)atomic_load(&budget.used), SPLIT_BUDGET - PART + 1, SPLIT_BUDGET);
	assert_int_equal(asked(scene, "GET"), 2 + SPLIT_BUDGET / PART);
	for (size_t i = 0; i < 2; i++) { /* and the one with less of it gets there, too */
		assert_ok(read_up_to(splits[i], &at[i], size, &err));
		split_free(splits[i]);
	}
	registry_conn_free(other);
}

static void wait_for_flag(void *flag)
{
	while (!atomic_load((atomic_bool *)flag))
		usleep(1000);
}

/* The pool has no thread for us. */
static void test_alone(void **state)
{
	struct scene *scene = *state;
	const struct pool_options one = { .name = "one", .threads_max = 1 };
	struct split_options alone = { 1, PARTS, pool_new(&one), &budget };
	const struct split_job job = { &alone, scene->conn, &scene->descriptor };
	struct split *split = NULL;
	struct err err = { 0 };
	atomic_bool done = false;
	int64_t at = 0;

	publish(scene);
	assert_ok(pool_run(alone.pool, wait_for_flag, &done, &err));
	assert_ok(split_open(&job, &scene->ctx, &split, &err));
	assert_ok(read_up_to(split, &at, size, &err));
	assert_int_equal(at, size);
	assert_int_equal(atomic_load(&plan.most), 1);
	assert_int_equal(asked(scene, "GET"), 3); /* larger pieces, since nobody helps */
	split_free(split);
	atomic_store(&done, true);
	pool_free(alone.pool);
}

static void demand_password(struct fake_request *request, void *data, bool *handled)
{
	if (str_has_prefix(request->authorization, "Basic ")) {
		serve(request, data, handled);
		return;
	}
	*handled = true;
	fake_reply_text(request, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", "");
}

/* Each part is asked for with credentials, and follows its redirect without them. */
static void test_credentials(void **state)
{
	const struct image_auth auth = { .username = "me", .password = "secret" };
	struct scene *scene = *state;

	plan.elsewhere = fake_server_host(scene->other);
	plan.fault = demand_password;
	connect_repo(scene, &auth, true);
	check_good(scene);
	assert_int_equal(asked(scene, "auth= "), 1); /* the first request finds out */
	assert_int_equal(asked(scene, "auth=Basic"), 6);
	assert_int_equal(fake_server_count(scene->other, "GET /elsewhere auth= range=bytes="), 6);
	assert_int_equal(fake_server_count(scene->other, "GET"), 6);
}

static int64_t time_single(struct scene *scene)
{
	int64_t start = clock_mono();
	struct err err = { 0 };
	const uint8_t *data;
	size_t len;

	publish(scene);
	assert_ok(registry_open_blob(scene->conn, &scene->ctx, &scene->descriptor, &err));
	do
		assert_ok(registry_read_blob(scene->conn, &scene->ctx, &data, &len, &err));
	while (len > 0);
	return clock_mono() - start;
}

static int64_t time_split(struct scene *scene)
{
	int64_t start = clock_mono();

	check_good(scene);
	return clock_mono() - start;
}

/* What it is for: a registry that gives each connection 8 MiB/s. The best of some tries, since the machine
 * may be busy; without parts at once no try would be faster. */
static void test_gain(void **state)
{
	int64_t single, split;

	plan.rate = 8 << 20;
	single = time_single(*state);
	for (int i = 0; i < 5; i++) {
		split = time_split(*state);
		print_message("one stream %lld ms, %d parts at once %lld ms\n",
			      (long long)(single / NS_PER_MS), PARTS, (long long)(split / NS_PER_MS));
		if (split * 3 < single * 2)
			return;
	}
	fail_msg("no gain");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),          TEST(test_bounds),        TEST(test_out_of_order),
		TEST(test_reset),         TEST(test_range_ignored), TEST(test_range_ignored_later),
		TEST(test_range_refused), TEST(test_wrong_total),   TEST(test_wrong_range),
		TEST(test_wrong_size),    TEST(test_stall),         TEST(test_cancel),
		TEST(test_leave),         TEST(test_memory),        TEST(test_alone),
		TEST(test_credentials),   TEST(test_gain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
