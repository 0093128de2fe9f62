/* Sources of every kind, freeing inside callbacks, posts in order from many threads, signals, and stopping.
 */
#include "test/base/check.h"

#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/loop.h"

struct scene {
	struct loop *loop;
	struct source *sources[4];
	int calls;
	int fd;
	int64_t at;
};

static void scene_init(struct scene *scene)
{
	struct err err = { 0 };

	*scene = (struct scene){ .fd = -1 };
	scene->loop = loop_new(&err);
	if (!scene->loop)
		fail_msg("%s", err.text);
}

static void run(struct scene *scene)
{
	struct err err = { 0 };

	assert_ok(loop_run(scene->loop, &err));
}

static void scene_done(struct scene *scene)
{
	scene->loop = loop_free(scene->loop);
	assert_null(scene->loop);
}

static void read_byte(struct source *source, uint32_t events, void *data)
{
	struct scene *scene = data;
	char byte;

	(void)source;
	if (events & EPOLLIN && read(scene->fd, &byte, 1) == 1) {
		scene->calls++;
		return;
	}
	loop_stop(scene->loop); /* the other end is closed */
}

static void descriptors(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	int ends[2];

	(void)state;
	scene_init(&scene);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	scene.fd = ends[0];
	scene.sources[0] = loop_add_fd(scene.loop, ends[0], EPOLLIN, read_byte, &scene, &err);
	assert_non_null(scene.sources[0]);
	assert_null(loop_add_fd(scene.loop, ends[0], EPOLLIN, read_byte, &scene, &err));
	assert_null(loop_add_fd(scene.loop, -1, EPOLLIN, read_byte, &scene, &err));
	assert_contains(err.text, "Bad file descriptor");
	assert_int_equal(write(ends[1], "abc", 3), 3);
	close(ends[1]);
	run(&scene);
	assert_int_equal(scene.calls, 3);
	assert_null(source_free(scene.sources[0]));
	close(ends[0]);
	scene_done(&scene);
}

static void tick(struct source *source, void *data)
{
	struct scene *scene = data;

	(void)source;
	if (++scene->calls == 3)
		loop_stop(scene->loop);
}

static void once(struct source *source, void *data)
{
	struct scene *scene = data;
	struct err err = { 0 };

	scene->at = clock_mono();
	scene->calls++;
	if (scene->calls == 2)
		loop_stop(scene->loop);
	else
		assert_ok(source_rearm(source, 0, 0, &err));
}

static void timers(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	int64_t start = clock_mono();

	(void)state;
	scene_init(&scene);
	assert_non_null(loop_add_timer(scene.loop, 10 * NS_PER_MS, 5 * NS_PER_MS, tick, &scene, &err));
	run(&scene);
	assert_int_equal(scene.calls, 3);
	assert_between(clock_mono() - start, 20 * NS_PER_MS, 10 * NS_PER_SEC);
	scene_done(&scene);
	scene_init(&scene);
	assert_non_null(loop_add_timer(scene.loop, 10 * NS_PER_MS, 0, once, &scene, &err));
	run(&scene);
	assert_int_equal(scene.calls, 2);
	scene_done(&scene);
}

static void free_all(struct source *source, uint32_t events, void *data)
{
	struct scene *scene = data;

	(void)source;
	(void)events;
	scene->calls++;
	for (size_t i = 0; i < ARRAY_LEN(scene->sources); i++) {
		source_free(scene->sources[i]);
		assert_null(source_free(scene->sources[i])); /* marked, not yet gone: harmless */
	}
	loop_stop(scene->loop);
}

/* All four are ready in one batch; the first callback frees all of them, its own included. */
static void sources_freed_inside_a_batch(void **state)
{
	struct scene scene;
	struct err err = { 0 };
	int ends[4][2];

	(void)state;
	scene_init(&scene);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pipe2(ends[i], O_CLOEXEC), 0);
		assert_int_equal(write(ends[i][1], "x", 1), 1);
		scene.sources[i] = loop_add_fd(scene.loop, ends[i][0], EPOLLIN, free_all, &scene, &err);
		assert_non_null(scene.sources[i]);
	}
	run(&scene);
	assert_int_equal(scene.calls, 1);
	for (int i = 0; i < 4; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
	assert_null(source_free(NULL));
	scene_done(&scene);
}

enum { POSTERS = 4, POSTS = 1000 };

struct post {
	struct scene *scene;
	int poster, number;
	int *last; /* of each poster; touched on the loop's thread only */
	int *total;
};

static void receive(void *data)
{
	struct post *post = data;

	assert_int_equal(post->number, post->last[post->poster] + 1);
	post->last[post->poster] = post->number;
	if (++*post->total == POSTERS * POSTS)
		loop_stop(post->scene->loop);
	free(post);
}

struct poster {
	struct scene *scene;
	int number;
	int *last, *total;
};

static void *post_all(void *data)
{
	const struct poster *poster = data;

	for (int i = 0; i < POSTS; i++) {
		struct post *post = xnew(struct post);
		*post = (struct post){ poster->scene, poster->number, i, poster->last, poster->total };
		loop_post(poster->scene->loop, receive, post);
	}
	return NULL;
}

static void posts_arrive_in_order(void **state)
{
	struct scene scene;
	pthread_t threads[POSTERS];
	struct poster posters[POSTERS];
	int last[POSTERS], total = 0;

	(void)state;
	scene_init(&scene);
	for (int i = 0; i < POSTERS; i++) {
		last[i] = -1;
		posters[i] = (struct poster){ &scene, i, last, &total };
		assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	run(&scene);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(total, POSTERS * POSTS);
	scene_done(&scene);
}

static void count_call(void *data)
{
	struct scene *scene = data;

	scene->calls++;
}

static void post_again(void *data)
{
	struct scene *scene = data;

	scene->calls++;
	loop_post(scene->loop, count_call, scene);
}

static void what_is_posted_is_run_in_any_case(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene);
	loop_post(scene.loop, post_again, &scene);
	scene_done(&scene);
	assert_int_equal(scene.calls, 2);
	assert_null(loop_free(NULL));
}

static void *stop_soon(void *data)
{
	usleep(10000);
	loop_stop(data);
	return NULL;
}

static void stops_from_another_thread_and_runs_again(void **state)
{
	struct scene scene;
	pthread_t thread;

	(void)state;
	scene_init(&scene);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, stop_soon, scene.loop), 0);
		run(&scene);
		pthread_join(thread, NULL);
	}
	loop_stop(scene.loop); /* before the start counts as well */
	run(&scene);
	scene_done(&scene);
}

static void on_signal(struct source *source, int signal, void *data)
{
	struct scene *scene = data;

	(void)source;
	scene->calls = scene->calls * 100 + signal;
	if (signal == SIGUSR2)
		loop_stop(scene->loop);
	else
		kill(getpid(), SIGUSR2);
}

static void signals(void **state)
{
	static const int numbers[] = { SIGUSR1, SIGUSR2 };
	struct scene scene;
	struct err err = { 0 };

	(void)state;
	scene_init(&scene);
	scene.sources[0] = loop_add_signals(scene.loop, numbers, 2, on_signal, &scene, &err);
	assert_non_null(scene.sources[0]);
	kill(getpid(), SIGUSR1);
	run(&scene);
	assert_int_equal(scene.calls, SIGUSR1 * 100 + SIGUSR2);
	scene_done(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors),
		cmocka_unit_test(timers),
		cmocka_unit_test(sources_freed_inside_a_batch),
		cmocka_unit_test(posts_arrive_in_order),
		cmocka_unit_test(what_is_posted_is_run_in_any_case),
		cmocka_unit_test(stops_from_another_thread_and_runs_again),
		cmocka_unit_test(signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
