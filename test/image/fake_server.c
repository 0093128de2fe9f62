/*
 * One thread accepts; one per connection reads requests and calls the handler. Freeing the server shuts down
 * all sockets, which ends every read, and joins every thread.
 */
#include "test/image/fake_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 512, HEAD_MAX = 16384 };

struct connection {
	struct fake_server *server;
	pthread_t thread;
	int fd;
};

struct fake_server {
	void (*handle)(struct fake_request *request, void *data);
	void *data;
	int listener;
	char host[32];
	pthread_t thread;
	pthread_mutex_t mutex;
	struct connection connections[CONNECTIONS_MAX]; /* under mutex */
	size_t connections_len;
	struct str log; /* under mutex */
	bool stopping;
};

static void header_value(const char *head, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	value[0] = '\0';
	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
			const char *start = line + 2 + len + 1;

			while (*start == ' ')
				start++;
			snprintf(value, size, "%.*s", (int)strcspn(start, "\r"), start);
			return;
		}
}

/* Reads up to the empty line; false at the end of the connection. */
static bool read_head(int fd, char *head)
{
	size_t len = 0;

	while (len + 1 < HEAD_MAX) {
		ssize_t n = recv(fd, head + len, 1, 0);

		if (n <= 0 || (len == 0 && head[0] == 0x16)) /* 0x16: a TLS handshake */
			return false;
		head[++len] = '\0';
		if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

static bool read_request(struct fake_request *request)
{
	char *head = xmalloc(HEAD_MAX);
	char length[32];
	bool good = read_head(request->fd, head) &&
		    sscanf(head, "%7s %2047s", request->method, request->path) == 2;

	if (good) {
		uint64_t left = 0;

		header_value(head, "Authorization", request->authorization, sizeof(request->authorization));
		header_value(head, "Range", request->range, sizeof(request->range));
		header_value(head, "Content-Length", length, sizeof(length));
		request->body[0] = '\0';
		if (length[0] && parse_u64(length, sizeof(request->body) - 1, &left) && left > 0) {
			good = recv(request->fd, request->body, left, MSG_WAITALL) == (ssize_t)left;
			request->body[left] = '\0';
		}
	}
	free(head);
	return good;
}

static void record(struct fake_server *server, const struct fake_request *request)
{
	pthread_mutex_lock(&server->mutex);
	str_addf(&server->log, "%s %s auth=%s range=%s body=%s\n", request->method, request->path,
		 request->authorization, request->range, request->body);
	pthread_mutex_unlock(&server->mutex);
}

static void *serve(void *data)
{
	struct connection *connection = data;
	struct fake_server *server = connection->server;
	struct fake_request *request = xnew(struct fake_request);

	request->server = server;
	request->fd = connection->fd;
	while (!request->close && read_request(request)) {
		record(server, request);
		server->handle(request, server->data);
	}
	shutdown(connection->fd, SHUT_RDWR);
	free(request);
	return NULL;
}

static void *accept_all(void *data)
{
	struct fake_server *server = data;

	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		struct connection *connection;

		if (fd < 0)
			return NULL;
		pthread_mutex_lock(&server->mutex);
		assert(server->connections_len < CONNECTIONS_MAX);
		connection = &server->connections[server->connections_len++];
		connection->server = server;
		connection->fd = fd;
		pthread_create(&connection->thread, NULL, serve, connection);
		pthread_mutex_unlock(&server->mutex);
	}
}

struct fake_server *fake_server_new(void (*handle)(struct fake_request *request, void *data), void *data)
{
	struct fake_server *server = xnew(struct fake_server);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int failed;

	server->handle = handle;
	server->data = data;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	failed = bind(server->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		 listen(server->listener, 128) < 0 ||
		 getsockname(server->listener, (struct sockaddr *)&address, &len) < 0;
	assert(!failed);
	snprintf(server->host, sizeof(server->host), "127.0.0.1:%u", ntohs(address.sin_port));
	pthread_mutex_init(&server->mutex, NULL);
	pthread_create(&server->thread, NULL, accept_all, server);
	return server;
}

struct fake_server *fake_server_free(struct fake_server *server)
{
	if (!server)
		return NULL;
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	for (size_t i = 0; i < server->connections_len; i++)
		shutdown(server->connections[i].fd, SHUT_RDWR);
	for (size_t i = 0; i < server->connections_len; i++) {
		pthread_join(server->connections[i].thread, NULL);
		close(server->connections[i].fd);
	}
	pthread_mutex_destroy(&server->mutex);
	str_done(&server->log);
	free(server);
	return NULL;
}

const char *fake_server_host(const struct fake_server *server)
{
	return server->host;
}

char *fake_server_log(struct fake_server *server)
{
	char *copy;

	pthread_mutex_lock(&server->mutex);
	copy = xstrdup(str_get(&server->log));
	pthread_mutex_unlock(&server->mutex);
	return copy;
}

size_t fake_server_count(struct fake_server *server, const char *part)
{
	CLEANUP(freep) char *log = fake_server_log(server);
	size_t count = 0;
	char *rest = log;

	for (char *line; (line = strsep(&rest, "\n"));)
		count += strstr(line, part) != NULL;
	return count;
}

void fake_send(struct fake_request *request, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(request->fd, at, len, MSG_NOSIGNAL);

		if (n <= 0) {
			request->close = true;
			return;
		}
		at += n;
		len -= (size_t)n;
	}
}

void fake_head(struct fake_request *request, int status, const char *headers, long long length)
{
	CLEANUP(str_done) struct str head = STR_INIT;

	str_addf(&head, "HTTP/1.1 %d Whatever\r\n%s", status, headers);
	if (length >= 0)
		str_addf(&head, "Content-Length: %lld\r\n", length);
	str_add(&head, "\r\n");
	fake_send(request, str_get(&head), head.len);
}

void fake_reply(struct fake_request *request, int status, const char *headers, const void *body, size_t len)
{
	fake_head(request, status, headers, (long long)len);
	fake_send(request, body, len);
}

void fake_reply_text(struct fake_request *request, int status, const char *headers, const char *body)
{
	fake_reply(request, status, headers, body, strlen(body));
}

void fake_reset(struct fake_request *request)
{
	const struct linger linger = { .l_onoff = 1 };

	/* The fd itself is closed when the server goes, but a lingering-off disconnect resets now. */
	setsockopt(request->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	connect(request->fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr));
	request->close = true;
}

void fake_stall(struct fake_request *request)
{
	struct pollfd end = { .fd = request->fd, .events = POLLRDHUP };

	poll(&end, 1, -1);
	request->close = true;
}
