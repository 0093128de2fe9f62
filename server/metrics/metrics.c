#include "server/metrics/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "server/metrics/endpoint.h"
#include "server/metrics/metrics_table.h"
#include "server/metrics/rpc_metrics.h"
#include "server/unix_socket.h"

enum { BACKLOG = 64, SOCKET_MODE = 0600 };

struct metrics {
	struct metrics_options options;
	struct endpoint *tcp, *local;
	struct unix_socket socket;
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* ---- the page ---- */

static bool is_named(const struct metric *metric, const struct config_strings *collectors)
{
	for (size_t i = 0; i < collectors->len; i++)
		if (str_eq(collectors->items[i], metric->plain ? "process" : metric->name))
			return true;
	return false;
}

void metrics_write(const struct sample_source *source, const struct config_strings *collectors,
		   struct str *out)
{
	sample_take(source);
	for (size_t i = 0; metrics_table[i]; i++)
		if (!collectors->len || is_named(metrics_table[i], collectors))
			metric_write(metrics_table[i], METRICS_PREFIX, out);
}

static void write_page(void *data, struct str *out)
{
	const struct metrics *metrics = data;

	metrics_write(&metrics->options.source, &metrics->options.config->metrics_collectors, out);
}

static int check_collectors(const struct config_strings *collectors, struct err *err)
{
	for (size_t i = 0; i < collectors->len; i++) {
		const struct config_strings one = { &collectors->items[i], 1 };
		bool known = false;

		for (size_t j = 0; metrics_table[j] && !known; j++)
			known = is_named(metrics_table[j], &one);
		if (!known)
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "metrics_collectors: there is no metric \"%.100s\"",
				       collectors->items[i]);
	}
	return 0;
}

/* ---- listening ---- */

static socklen_t make_address(const struct config_metrics *config, union address *ret)
{
	*ret = (union address){ 0 };
	if (inet_pton(AF_INET, config->metrics_host, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons((uint16_t)config->metrics_port);
		return sizeof(ret->v4);
	}
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons((uint16_t)config->metrics_port);
	return inet_pton(AF_INET6, config->metrics_host, &ret->v6.sin6_addr) == 1 ? sizeof(ret->v6) : 0;
}

static int listen_on(const struct config_metrics *config, struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	union address address;
	socklen_t len = make_address(config, &address);
	int on = 1;

	if (!len)
		return err_set(err, RPC_INVALID_ARGUMENT, "metrics: %s is no IP address",
			       config->metrics_host);
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "metrics: socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address.any, len) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "metrics: listen on %s port %d: %m",
			       config->metrics_host, (int)config->metrics_port);
	return TAKE_FD(fd);
}

static int open_tcp(struct metrics *metrics, struct err *err)
{
	const struct config_metrics *config = metrics->options.config;
	bool tls = !str_empty(config->metrics_cert);
	struct endpoint_options options = { .cert = tls ? config->metrics_cert : NULL,
					    .key = tls ? config->metrics_key : NULL,
					    .write = write_page,
					    .data = metrics };

	if (!config->metrics_port)
		return 0;
	options.listener = listen_on(config, err);
	if (options.listener < 0)
		return -1;
	metrics->tcp = endpoint_new_take(&options, err);
	if (!metrics->tcp)
		return -1;
	log_info("metrics: %s://%s port %d", tls ? "https" : "http", config->metrics_host,
		 (int)config->metrics_port);
	return 0;
}

static int open_local(struct metrics *metrics, struct err *err)
{
	const struct config_metrics *config = metrics->options.config;
	struct endpoint_options options = { .write = write_page, .data = metrics };

	if (str_empty(config->metrics_socket))
		return 0;
	if (unix_socket_listen(config->metrics_socket, SOCKET_MODE, &metrics->socket, err) < 0)
		return err_prefix(err, "metrics");
	options.listener = TAKE_FD(metrics->socket.fd);
	metrics->local = endpoint_new_take(&options, err);
	if (!metrics->local)
		return -1;
	log_info("metrics: %s", config->metrics_socket);
	return 0;
}

struct metrics *metrics_new(const struct metrics_options *options, struct err *err)
{
	struct metrics *metrics;

	rpc_metrics_init(rpc_table);
	if (check_collectors(&options->config->metrics_collectors, err) < 0)
		return NULL;
	metrics = xnew(struct metrics);
	metrics->options = *options;
	metrics->socket = (struct unix_socket)UNIX_SOCKET_INIT;
	if (open_tcp(metrics, err) < 0 || open_local(metrics, err) < 0)
		return metrics_free(metrics);
	return metrics;
}

struct metrics *metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return NULL;
	endpoint_free(metrics->tcp);
	endpoint_free(metrics->local);
	unix_socket_done(&metrics->socket);
	free(metrics);
	return NULL;
}
