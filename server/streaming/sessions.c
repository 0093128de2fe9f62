/*
 * A session may wait for a runtime or a slow client for as long as it takes: that is why it has a thread.
 * Threads are detached; the count and a condition tell when the last has ended. One context, polled by all,
 * ends them.
 */
#include "server/streaming/sessions.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/ctx.h"
#include "base/lock.h"
#include "base/log.h"
#include "server/streaming/forward.h"
#include "server/streaming/remote.h"

enum { STACK_SIZE = 256 * 1024 };

struct sessions {
	struct ctx ctx;
	struct lock lock;
	struct cond changed;
	size_t count; /* under lock */
	bool ending;  /* under lock */
};

struct running {
	struct sessions *sessions;
	struct session session;
};

struct sessions *sessions_new(void)
{
	struct sessions *sessions = xnew(struct sessions);

	ctx_init(&sessions->ctx, NO_DEADLINE);
	lock_init(&sessions->lock, "stream sessions", LOCK_STREAMING);
	cond_init(&sessions->changed);
	return sessions;
}

void sessions_end(struct sessions *sessions)
{
	ctx_cancel(&sessions->ctx);
	lock_take(&sessions->lock);
	sessions->ending = true;
	while (sessions->count)
		cond_wait(&sessions->changed, &sessions->lock);
	lock_drop(&sessions->lock);
}

struct sessions *sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return NULL;
	sessions_end(sessions);
	ctx_done(&sessions->ctx);
	cond_done(&sessions->changed);
	lock_done(&sessions->lock);
	free(sessions);
	return NULL;
}

size_t sessions_count(struct sessions *sessions)
{
	size_t count;

	lock_take(&sessions->lock);
	count = sessions->count;
	lock_drop(&sessions->lock);
	return count;
}

static bool enter(struct sessions *sessions)
{
	bool may;

	lock_take(&sessions->lock);
	may = !sessions->ending && sessions->count < SESSIONS_MAX;
	if (may)
		sessions->count++;
	lock_drop(&sessions->lock);
	return may;
}

static void leave(struct sessions *sessions)
{
	lock_take(&sessions->lock);
	sessions->count--;
	cond_broadcast(&sessions->changed);
	lock_drop(&sessions->lock);
}

static void session_done(struct session *session)
{
	stream_request_done(&session->request);
	queue_done(&session->early);
	session->closed(session->data);
}

static void serve(struct running *running)
{
	struct session *session = &running->session;
	struct client client CLEANUP(client_done) = { .fd = session->fd,
						      .idle_timeout = session->idle_timeout,
						      .early = session->early,
						      .ctx = &running->sessions->ctx };

	session->early = (struct queue){ 0 };
	client_init(&client);
	if (session->request.kind == STREAM_FORWARD)
		forward_run(&client, &session->upgrade, &session->request);
	else
		remote_run(&client, &session->upgrade, &session->request);
}

static void *run(void *data)
{
	struct running *running = data;
	struct sessions *sessions = running->sessions;

	serve(running);
	session_done(&running->session);
	free(running);
	leave(sessions);
	return NULL;
}

/* No signal is for these threads; SIGPIPE would be one for the process. */
static int start_thread(struct running *running)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, old;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread, &attributes, run, running);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

void sessions_start_take(struct sessions *sessions, struct session *session)
{
	struct running *running = xnew(struct running);
	int error = EAGAIN;

	running->sessions = sessions;
	running->session = *session;
	if (enter(sessions)) {
		error = start_thread(running);
		if (!error)
			return;
		leave(sessions);
	}
	errno = error;
	log_warn("streaming: no thread for another session: %m");
	session_done(&running->session);
	free(running);
}
