/*
 * libmicrohttpd reads a certificate when a daemon starts: a renewed one gets a new daemon on the same socket,
 * and the old one is stopped when that has started.
 */
#include "server/metrics/endpoint.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

enum {
	CONNECTIONS_MAX = 32,
	MEMORY_MAX = 16 * 1024, /* of one request */
	REQUEST_SECONDS = 10,
	STACK_SIZE = 256 * 1024,
};

struct endpoint {
	struct endpoint_options options;
	struct tls_files *tls; /* NULL: plain */
	struct MHD_Daemon *daemon;
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

static void on_log(void *data UNUSED, const char *fmt, va_list args)
{
	char text[512];

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(text, sizeof(text), fmt, args);
#pragma GCC diagnostic pop
	text[strcspn(text, "\n")] = '\0';
	log_debug("metrics: %s", text);
}

/* NULL when it does not start; the listener stays the caller's then. */
static struct MHD_Daemon *start(struct endpoint *endpoint, int listener)
{
	unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_END, 0, NULL },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};

	if (endpoint->tls) {
		flags |= MHD_USE_TLS;
		tls[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0,
						  (void *)tls_files_cert(endpoint->tls) };
		tls[1].ptr_value = (void *)tls_files_key(endpoint->tls);
	}
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, endpoint, MHD_OPTION_LISTEN_SOCKET,
				listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)REQUEST_SECONDS,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX,
				MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE, MHD_OPTION_EXTERNAL_LOGGER,
				on_log, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

static int open_endpoint(struct endpoint *endpoint, struct err *err)
{
	const struct endpoint_options *options = &endpoint->options;

	if (options->cert) {
		endpoint->tls = tls_files_new(options->cert, options->key);
		if (tls_files_read(endpoint->tls, err) < 0)
			return err_prefix(err, "metrics");
	}
	endpoint->daemon = start(endpoint, options->listener);
	if (endpoint->daemon)
		return 0;
	return err_set(err, RPC_FAILED_PRECONDITION, "metrics: the HTTP server does not start%s%s",
		       options->cert ? " with the certificate of " : "", options->cert ? options->cert : "");
}

struct endpoint *endpoint_new_take(const struct endpoint_options *options, struct err *err)
{
	struct endpoint *endpoint = xnew(struct endpoint);

	endpoint->options = *options;
	if (open_endpoint(endpoint, err) == 0)
		return endpoint;
	fd_close(options->listener);
	return endpoint_free(endpoint);
}

struct endpoint *endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return NULL;
	if (endpoint->daemon)
		MHD_stop_daemon(endpoint->daemon); /* closes the socket */
	tls_files_free(endpoint->tls);
	free(endpoint);
	return NULL;
}

static int renew(struct endpoint *endpoint, struct err *err)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(endpoint->daemon, MHD_DAEMON_INFO_LISTEN_FD);
	CLEANUP(fd_closep) int listener = fcntl(info->listen_fd, F_DUPFD_CLOEXEC, 3);
	struct MHD_Daemon *fresh;

	if (listener < 0)
		return err_errno(err, "duplicate a socket");
	if (tls_files_read(endpoint->tls, err) < 0)
		return -1;
	fresh = start(endpoint, listener);
	if (!fresh)
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "%s does not hold a certificate that fits its key", endpoint->options.cert);
	(void)TAKE_FD(listener);
	fd_close(MHD_quiesce_daemon(endpoint->daemon)); /* else stopping would shut the socket down */
	MHD_stop_daemon(endpoint->daemon);
	endpoint->daemon = fresh;
	return 0;
}

void endpoint_refresh(struct endpoint *endpoint)
{
	struct err err;

	if (!endpoint->tls || !tls_files_changed(endpoint->tls))
		return;
	if (renew(endpoint, &err) < 0)
		log_warn("metrics: the renewed certificate is not used: %s", err.text);
	else
		log_info("metrics: the certificate of %s was renewed", endpoint->options.cert);
}
