/*
 * The daemon's own loop can't do this: what service_open() adds to it may only be told of events once all is
 * there.
 */
#include "server/porter.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/notify.h"

#define TELL_INTERVAL NS_PER_SEC

enum { STACK_SIZE = 256 * 1024 };

struct porter {
	struct porter_options options;
	struct loop *loop;
	struct source *signals, *tell;
	struct listener *listener;
	pthread_t thread;
	bool started;
};

static void on_signal(struct source *source UNUSED, int number, void *data)
{
	struct porter *porter = data;

	log_info("%s: stopping before crispd has started", number == SIGTERM ? "SIGTERM" : "SIGINT");
	notify_stopping("before it has started");
	listener_free(porter->listener);
	_exit(EXIT_SUCCESS);
}

static void on_tell(struct source *source UNUSED, void *data)
{
	struct porter *porter = data;
	CLEANUP(freep) char *line = porter->options.progress(porter->options.data);

	notify_status("%s", line);
}

static void *stand(void *data)
{
	struct porter *porter = data;
	struct err err = { 0 };

	if (loop_run(porter->loop, &err) < 0)
		log_error("connections are not accepted until crispd has started: %s", err.text);
	return NULL;
}

static int start(struct porter *porter, struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT };
	struct listener_options listener = porter->options.listener;

	porter->loop = listener.loop = loop_new(err);
	if (!porter->loop)
		return -1;
	porter->signals = loop_add_signals(porter->loop, numbers, ARRAY_LEN(numbers), on_signal, porter, err);
	porter->tell = loop_add_timer(porter->loop, TELL_INTERVAL, TELL_INTERVAL, on_tell, porter, err);
	if (!porter->signals || !porter->tell)
		return -1;
	porter->listener = listener_new(&listener, err);
	if (!porter->listener)
		return -1;
	if (thread_start(&porter->thread, "porter", STACK_SIZE, stand, porter) != 0)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "no thread to accept connections");
	porter->started = true;
	return 0;
}

struct porter *porter_new(const struct porter_options *options, struct err *err)
{
	struct porter *porter = xnew(struct porter);

	porter->options = *options;
	return start(porter, err) < 0 ? porter_free(porter) : porter;
}

static void end_thread(struct porter *porter)
{
	if (!porter->started)
		return;
	loop_stop(porter->loop);
	pthread_join(porter->thread, NULL);
	porter->started = false;
}

struct listener *porter_relieve(struct porter *porter, struct loop *loop, struct err *err)
{
	struct listener *listener = porter->listener;

	end_thread(porter);
	porter->listener = NULL;
	return listener_move(listener, loop, err) < 0 ? listener_free(listener) : listener;
}

struct porter *porter_free(struct porter *porter)
{
	if (!porter)
		return NULL;
	end_thread(porter);
	listener_free(porter->listener);
	source_free(porter->signals);
	source_free(porter->tell);
	loop_free(porter->loop);
	free(porter);
	return NULL;
}
