/*
 * A session may wait for a runtime or a slow client for as long as it takes: that is why it has a thread.
 */
#include "server/streaming/sessions.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crew.h"
#include "base/log.h"
#include "server/streaming/forward.h"
#include "server/streaming/remote.h"

struct sessions {
	struct crew *crew;
};

struct sessions *sessions_new(void)
{
	struct sessions *sessions = xnew(struct sessions);

	sessions->crew = crew_new("stream sessions", SESSIONS_MAX);
	return sessions;
}

void sessions_end(struct sessions *sessions)
{
	crew_end(sessions->crew);
}

struct sessions *sessions_free(struct sessions *sessions)
{
	if (!sessions)
		return NULL;
	crew_free(sessions->crew);
	free(sessions);
	return NULL;
}

size_t sessions_count(struct sessions *sessions)
{
	return crew_count(sessions->crew);
}

static void session_done(struct session *session)
{
	stream_request_done(&session->request);
	queue_done(&session->early);
	session->closed(session->data);
}

static void run(void *data, const struct ctx *ctx)
{
	struct session *session = data;
	struct client client CLEANUP(client_done) = { .fd = session->fd,
						      .creation_patience = session->creation_patience,
						      .idle_timeout = session->idle_timeout,
						      .early = session->early,
						      .ctx = ctx };

	session->early = (struct queue){ 0 };
	client_init(&client);
	if (session->request.kind == STREAM_FORWARD)
		forward_run(&client, &session->upgrade, &session->request);
	else
		remote_run(&client, &session->upgrade, &session->request);
	session_done(session);
	free(session);
}

void sessions_start_take(struct sessions *sessions, const struct session *session)
{
	struct session *own = xnew(struct session);

	*own = *session;
	if (crew_start(sessions->crew, run, own) == 0)
		return;
	log_warn("streaming: no thread for another session: %m");
	session_done(own);
	free(own);
}
