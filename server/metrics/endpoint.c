/* With TLS, connections come in by a door that decrypts them; without, libmicrohttpd accepts them itself. */
#include "server/metrics/endpoint.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/log.h"
#include "server/tls/door.h"

enum {
	CONNECTIONS_MAX = 32,
	MEMORY_MAX = 16 * 1024, /* of one request */
	REQUEST_SECONDS = 10,
	STACK_SIZE = 256 * 1024,
};

struct endpoint {
	struct endpoint_options options;
	struct tls_keys *keys; /* NULL: plain */
	struct MHD_Daemon *daemon;
	struct door *door; /* NULL: plain */
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, const char *type,
			      char *text_take, size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, text_take, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text_take);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned int status, const char *text)
{
	return answer(connection, status, "text/plain", xstrdup(text), strlen(text));
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version UNUSED, const char *body UNUSED,
				  size_t *body_len, void **state)
{
	struct endpoint *endpoint = data;
	struct str text = STR_INIT;

	if (!*state) { /* the headers are there, a body is not */
		if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
			return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET is needed\n");
		*state = endpoint;
		return MHD_YES;
	}
	if (*body_len)
		return MHD_NO;
	if (strcmp(path, "/metrics") != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND, "metrics are at /metrics\n");
	endpoint->options.write(endpoint->options.data, &text);
	return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", str_take(&text),
		      text.len);
}

/* NULL when it does not start; the listener stays the caller's then. */
static struct MHD_Daemon *start(struct endpoint *endpoint)
{
	unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem listener[] = {
		{ MHD_OPTION_LISTEN_SOCKET, endpoint->options.listener, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};

	if (endpoint->keys) {
		flags |= MHD_USE_NO_LISTEN_SOCKET;
		listener[0].option = MHD_OPTION_END;
	}
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, endpoint, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned int)REQUEST_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)MEMORY_MAX, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE,
				MHD_OPTION_EXTERNAL_LOGGER, log_library, "metrics", MHD_OPTION_ARRAY,
				listener, MHD_OPTION_END);
}

/* A decrypted connection. */
static int enter(void *data, int fd)
{
	const struct sockaddr address = { .sa_family = AF_UNIX };
	const struct endpoint *endpoint = data;

	return MHD_add_connection(endpoint->daemon, fd, &address, sizeof(address)) == MHD_YES ? 0 : -1;
}

static int load_keys(struct endpoint *endpoint, struct err *err)
{
	const struct tls_options options = { .cert = endpoint->options.cert,
					     .key = endpoint->options.key,
					     .ca = "",
					     .min_version = TLS_VERSION_12 };
	struct tls_material *material;

	if (tls_material_load(&options, &material, err) < 0)
		return err_prefix(err, "metrics");
	endpoint->keys = tls_keys_new_take(material);
	return 0;
}

/* Who takes the listener sets it to -1. */
static int open_endpoint(struct endpoint *endpoint, struct err *err)
{
	struct endpoint_options *options = &endpoint->options;

	if (options->cert && load_keys(endpoint, err) < 0)
		return -1;
	endpoint->daemon = start(endpoint);
	if (!endpoint->daemon)
		return err_set(err, RPC_FAILED_PRECONDITION, "metrics: the HTTP server does not start");
	struct door_options door = { .name = "metrics",
				     .listener = TAKE_FD(options->listener),
				     .keys = endpoint->keys,
				     .connections_max = CONNECTIONS_MAX,
				     .enter = enter,
				     .data = endpoint };

	if (!endpoint->keys)
		return 0;
	endpoint->door = door_new_take(&door, err);
	return endpoint->door ? 0 : -1;
}

struct endpoint *endpoint_new_take(const struct endpoint_options *options, struct err *err)
{
	struct endpoint *endpoint = xnew(struct endpoint);

	endpoint->options = *options;
	return open_endpoint(endpoint, err) < 0 ? endpoint_free(endpoint) : endpoint;
}

struct endpoint *endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return NULL;
	if (endpoint->door)
		door_close(endpoint->door);
	if (endpoint->daemon)
		MHD_stop_daemon(endpoint->daemon); /* closes its socket */
	door_free(endpoint->door);
	tls_keys_free(endpoint->keys);
	fd_close(endpoint->options.listener);
	free(endpoint);
	return NULL;
}
