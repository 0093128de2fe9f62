/*
 * libmicrohttpd calls on_request() when it has the headers and again when the body is through; there must be
 * no body. A token is used up by the request that is upgraded, not by one that is refused.
 */
#include "server/streaming/gateway.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "server/streaming/visits.h"
#include "server/streaming/websocket.h"
#include "server/tls/door.h"

enum {
	CONNECTIONS_MAX = SESSIONS_MAX + 200,
	MEMORY_MAX = 32 * 1024, /* of one request */
	IDLE_SECONDS = 30,
	STACK_SIZE = 256 * 1024,
};

static const int64_t request_patience = 30 * NS_PER_SEC, creation_patience = 30 * NS_PER_SEC;

struct gateway {
	struct MHD_Daemon *daemon;
	struct door *door;
	struct visits *visits; /* those that libmicrohttpd has and that are no sessions */
	struct gateway_options options;
};

static const struct {
	const char *path;
	enum stream_kind kind;
} kinds[] = { { "/exec/", STREAM_EXEC }, { "/attach/", STREAM_ATTACH }, { "/portforward/", STREAM_FORWARD } };

const char *gateway_parse_path(const char *path, enum stream_kind *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i].path);

		if (strncmp(path, kinds[i].path, len) == 0) {
			*ret = kinds[i].kind;
			return path + len;
		}
	}
	return NULL;
}

/* ---- refusals ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, const char *text,
			      const char *const *protocols)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "text/plain");
	MHD_add_response_header(response, "Connection", "close");
	for (; protocols && *protocols; protocols++)
		MHD_add_response_header(response, "X-Accepted-Stream-Protocol-Versions", *protocols);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned int status, bool forward,
			      const char *text)
{
	const char *const forwards[] = { upgrade_forward_protocol, NULL };

	if (status != MHD_HTTP_FORBIDDEN)
		return answer(connection, status, text, NULL);
	return answer(connection, status, text, forward ? forwards : upgrade_remote_protocols);
}

/* ---- upgrades ---- */

struct promise { /* from the answer to the socket */
	struct gateway *gateway;
	struct upgrade upgrade;
	struct stream_request request;
};

static void on_closed(void *data)
{
	MHD_upgrade_action(data, MHD_UPGRADE_ACTION_CLOSE);
}

static void on_upgraded(void *data, struct MHD_Connection *connection UNUSED, void *state UNUSED,
			const char *early, size_t early_len, MHD_socket fd,
			struct MHD_UpgradeResponseHandle *handle)
{
	struct promise *promise = data;
	const struct gateway_options *options = &promise->gateway->options;
	struct session session = { .fd = fd,
				   .upgrade = promise->upgrade,
				   .request = promise->request,
				   .creation_patience = options->creation_patience
								? options->creation_patience
								: creation_patience,
				   .idle_timeout = options->idle_timeout,
				   .closed = on_closed,
				   .data = handle };

	visits_remove(promise->gateway->visits, fd);
	queue_add(&session.early, early, early_len);
	promise->request = (struct stream_request){ 0 };
	sessions_start_take(promise->gateway->options.sessions, &session);
}

static enum MHD_Result gather(void *data, enum MHD_ValueKind kind UNUSED, const char *key, const char *value)
{
	struct upgrade_request *request = data;

	if (!value)
		return MHD_YES;
	if (strcasecmp(key, "Connection") == 0)
		request->connection = value;
	else if (strcasecmp(key, "Upgrade") == 0)
		request->upgrade = value;
	else if (strcasecmp(key, "Sec-WebSocket-Key") == 0)
		request->websocket_key = value;
	else if (strcasecmp(key, "Sec-WebSocket-Version") == 0)
		request->websocket_version = value;
	else if (strcasecmp(key, "X-Stream-Protocol-Version") == 0)
		strv_add(&request->spdy_offers, value);
	else if (strcasecmp(key, "Sec-WebSocket-Protocol") == 0)
		strv_add(&request->websocket_offers, value);
	return MHD_YES;
}

static void add_headers(struct MHD_Response *response, const struct upgrade *upgrade, const char *key)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];

	MHD_add_response_header(response, "Upgrade", upgrade->websocket ? "websocket" : "SPDY/3.1");
	if (*upgrade->protocol)
		MHD_add_response_header(
			response, upgrade->websocket ? "Sec-WebSocket-Protocol" : "X-Stream-Protocol-Version",
			upgrade->protocol);
	if (upgrade->websocket) {
		websocket_accept(key, accept);
		MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
	}
}

/* The promise lives in the connection's state; on_completed() frees it. */
static enum MHD_Result accept_upgrade(struct MHD_Connection *connection, struct promise *promise,
				      const char *key)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgraded, promise);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	add_headers(response, &promise->upgrade, key);
	result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result serve(struct gateway *gateway, struct MHD_Connection *connection, const char *path,
			     struct promise *promise)
{
	struct upgrade_request request CLEANUP(upgrade_request_done) = { 0 };
	struct tokens *tokens = gateway->options.tokens;
	enum stream_kind kind;
	const char *token = gateway_parse_path(path, &kind);
	struct err err;
	int status;

	if (!token || !tokens_has(tokens, token, kind, clock_mono()))
		return refuse(connection, MHD_HTTP_NOT_FOUND, false,
			      "no such request, or it is used or too old");
	MHD_get_connection_values(connection, MHD_HEADER_KIND, gather, &request);
	if (upgrade_choose(&request, kind == STREAM_FORWARD, &promise->upgrade, &status, &err) < 0)
		return refuse(connection, (unsigned int)status, kind == STREAM_FORWARD, err.text);
	if (sessions_count(gateway->options.sessions) >= SESSIONS_MAX)
		return refuse(connection, MHD_HTTP_TOO_MANY_REQUESTS, false, "too many streaming sessions");
	if (!tokens_redeem(tokens, token, kind, clock_mono(), &promise->request))
		return refuse(connection, MHD_HTTP_NOT_FOUND, false, "the request has just been used");
	if (promise->upgrade.by_port && !promise->request.ports_len)
		return refuse(connection, MHD_HTTP_BAD_REQUEST, true,
			      "by channels only named ports can be forwarded");
	return accept_upgrade(connection, promise, request.websocket_key);
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *body UNUSED,
				  size_t *body_len, void **state)
{
	struct gateway *gateway = data;

	if (!*state) {
		struct promise *promise = xnew(struct promise);

		promise->gateway = gateway;
		*state = promise;
		return MHD_YES;
	}
	if (*body_len)
		return MHD_NO;
	if (strcmp(version, MHD_HTTP_VERSION_1_1) != 0)
		return refuse(connection, MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED, false, "HTTP/1.1 is needed");
	if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, false, "GET or POST is needed");
	return serve(gateway, connection, path, *state);
}

static void on_completed(void *data UNUSED, struct MHD_Connection *connection UNUSED, void **state,
			 enum MHD_RequestTerminationCode code UNUSED)
{
	struct promise *promise = *state;

	if (!promise)
		return;
	stream_request_done(&promise->request);
	free(promise);
	*state = NULL;
}

/* ---- the connections ---- */

static int enter(void *data, int fd)
{
	struct gateway *gateway = data;
	union {
		struct sockaddr any;
		struct sockaddr_in6 v6;
	} address = { .any = { .sa_family = AF_UNIX } };
	socklen_t len = sizeof(address);
	uint64_t visit;

	if (getpeername(fd, &address.any, &len) < 0 || address.any.sa_family == AF_UNIX)
		len = sizeof(address.any);
	visit = visits_add(gateway->visits, fd);
	if (MHD_add_connection(gateway->daemon, fd, &address.any, len) == MHD_YES)
		return 0;
	visits_forget(gateway->visits, visit);
	return -1;
}

static int64_t tick(void *data)
{
	return visits_expire(((struct gateway *)data)->visits);
}

static void on_connection(void *data, struct MHD_Connection *connection, void **state UNUSED,
			  enum MHD_ConnectionNotificationCode code)
{
	struct gateway *gateway = data;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (code == MHD_CONNECTION_NOTIFY_CLOSED && info)
		visits_remove(gateway->visits, info->connect_fd);
}

/* ---- its life ---- */

static struct MHD_Daemon *start_daemon(struct gateway *gateway)
{
	return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC |
					MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG,
				0, NULL, NULL, on_request, gateway, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned int)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)MEMORY_MAX, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
				on_connection, gateway, MHD_OPTION_EXTERNAL_LOGGER, log_library, "streaming",
				MHD_OPTION_END);
}

struct gateway *gateway_new_take(const struct gateway_options *options, struct err *err)
{
	struct gateway *gateway = xnew(struct gateway);
	struct door_options door = { .name = "streaming",
				     .listener = options->listener,
				     .keys = options->keys,
				     .connections_max = CONNECTIONS_MAX,
				     .enter = enter,
				     .tick = tick,
				     .data = gateway };

	gateway->options = *options;
	gateway->visits =
		visits_new(options->request_patience ? options->request_patience : request_patience);
	gateway->daemon = start_daemon(gateway);
	if (!gateway->daemon) {
		fd_close(options->listener);
		err_set(err, RPC_INTERNAL, "the HTTP server does not start");
		return gateway_free(gateway);
	}
	gateway->door = door_new_take(&door, err);
	return gateway->door ? gateway : gateway_free(gateway);
}

void gateway_quiet(struct gateway *gateway)
{
	door_close(gateway->door);
}

struct gateway *gateway_free(struct gateway *gateway)
{
	if (!gateway)
		return NULL;
	if (gateway->door)
		door_close(gateway->door);
	if (gateway->daemon)
		MHD_stop_daemon(gateway->daemon);
	door_free(gateway->door);
	visits_free(gateway->visits);
	free(gateway);
	return NULL;
}
