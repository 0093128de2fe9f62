#include "server/streaming/streaming.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "server/streaming/gateway.h"

enum { BACKLOG = 128 };

struct streaming {
	struct tokens *tokens;
	struct sessions *sessions;
	struct gateway *gateway;
	struct tls_keys *keys; /* NULL: no TLS */
	char *base;            /* "http://127.0.0.1:PORT" */
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t make_address(const struct streaming_options *options, union address *ret)
{
	*ret = (union address){ 0 };
	if (inet_pton(AF_INET, options->address, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(options->port);
		return sizeof(ret->v4);
	}
	if (inet_pton(AF_INET6, options->address, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons(options->port);
		return sizeof(ret->v6);
	}
	return 0;
}

/* The listening socket; *ret_base: what URLs begin with. */
static int listen_on(const struct streaming_options *options, char **ret_base, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	union address address;
	socklen_t len = make_address(options, &address);
	int on = 1;

	if (!len)
		return err_set(err, RPC_INVALID_ARGUMENT, "streaming: %s is no IP address", options->address);
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "streaming: socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address.any, len) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, &address.any, &len) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "streaming: listen on %s port %u: %m",
			       options->address, options->port);
	const char *scheme = options->tls ? "https" : "http";

	if (address.any.sa_family == AF_INET6)
		*ret_base = xasprintf("%s://[%s]:%u", scheme, options->address, ntohs(address.v6.sin6_port));
	else
		*ret_base = xasprintf("%s://%s:%u", scheme, options->address, ntohs(address.v4.sin_port));
	return TAKE_FD(fd);
}

static int open_keys(struct streaming *streaming, const struct tls_options *options, struct err *err)
{
	struct tls_material *material;

	if (tls_material_load(options, &material, err) < 0)
		return err_prefix(err, "streaming");
	streaming->keys = tls_keys_new_take(material);
	return 0;
}

struct streaming *streaming_new(const struct streaming_options *options, struct err *err)
{
	struct streaming *streaming = xnew(struct streaming);
	int listener;

	if (options->tls && open_keys(streaming, options->tls, err) < 0)
		return streaming_free(streaming);
	listener = listen_on(options, &streaming->base, err);
	if (listener < 0)
		return streaming_free(streaming);
	streaming->tokens = tokens_new();
	streaming->sessions = sessions_new();
	struct gateway_options gateway = { .listener = listener,
					   .keys = streaming->keys,
					   .request_patience = options->request_patience,
					   .tokens = streaming->tokens,
					   .sessions = streaming->sessions,
					   .creation_patience = options->creation_patience,
					   .idle_timeout = options->idle_timeout };

	streaming->gateway = gateway_new_take(&gateway, err);
	if (!streaming->gateway)
		return streaming_free(streaming);
	return streaming;
}

struct streaming *streaming_free(struct streaming *streaming)
{
	if (!streaming)
		return NULL;
	if (streaming->gateway)
		gateway_quiet(streaming->gateway);
	if (streaming->sessions)
		sessions_end(streaming->sessions);
	gateway_free(streaming->gateway);
	sessions_free(streaming->sessions);
	tokens_free(streaming->tokens);
	tls_keys_free(streaming->keys);
	free(streaming->base);
	free(streaming);
	return NULL;
}

int streaming_prepare_tls(const struct streaming *streaming, const struct tls_options *tls,
			  struct tls_material **ret, struct err *err)
{
	*ret = NULL;
	if (!streaming->keys || !tls)
		return 0;
	return tls_material_load(tls, ret, err) < 0 ? err_prefix(err, "streaming") : 0;
}

void streaming_replace_tls_take(struct streaming *streaming, struct tls_material *material)
{
	if (material)
		tls_keys_replace_take(streaming->keys, material);
}

static int check(const struct stream_request *request, struct err *err)
{
	if (request->kind == STREAM_FORWARD)
		return 0;
	if (!request->in && !request->out && !request->err_out)
		return err_set(err, RPC_INVALID_ARGUMENT, "none of stdin, stdout and stderr is asked for");
	if (request->tty && request->err_out)
		return err_set(err, RPC_INVALID_ARGUMENT, "there is no stderr of its own beside a terminal");
	return 0;
}

int streaming_add_take(struct streaming *streaming, struct stream_request *request, char **ret_url,
		       struct err *err)
{
	static const char *const paths[] = {
		[STREAM_EXEC] = "exec", [STREAM_ATTACH] = "attach", [STREAM_FORWARD] = "portforward"
	};
	const char *path = paths[request->kind];
	char token[TOKEN_SIZE];

	if (check(request, err) < 0 ||
	    tokens_add_take(streaming->tokens, request, clock_mono(), token, err) < 0) {
		stream_request_done(request);
		return -1;
	}
	*ret_url = xasprintf("%s/%s/%s", streaming->base, path, token);
	return 0;
}

size_t streaming_sessions(struct streaming *streaming)
{
	return sessions_count(streaming->sessions);
}
