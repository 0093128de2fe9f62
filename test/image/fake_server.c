/*
 * One thread accepts; one per connection reads requests and calls the handler. Freeing the server shuts down
 * all sockets, which ends every read, and joins every thread.
 */
#include "test/image/fake_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/ssl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
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
	atomic_bool ended; /* the thread touches nothing any more */
};

struct fake_server {
	void (*handle)(struct fake_request *request, void *data);
	void *data;
	SSL_CTX *tls; /* NULL: plain */
	bool slow;
	atomic_bool plain; /* although there is tls */
	int listener;
	uint16_t port;
	bool paused;
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

static ssize_t receive(struct fake_request *request, void *data, size_t len)
{
	size_t got = 0;

	if (!request->tls)
		return recv(request->fd, data, len, MSG_WAITALL);
	while (got < len) {
		int n = SSL_read(request->tls, (char *)data + got, (int)(len - got));

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Reads up to the empty line; false at the end of the connection. */
static bool read_head(struct fake_request *request, char *head)
{
	size_t len = 0;

	while (len + 1 < HEAD_MAX) {
		ssize_t n = receive(request, head + len, 1);

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
	bool good =
		read_head(request, head) && sscanf(head, "%7s %2047s", request->method, request->path) == 2;

	if (good) {
		uint64_t left = 0;

		header_value(head, "Authorization", request->authorization, sizeof(request->authorization));
		header_value(head, "Range", request->range, sizeof(request->range));
		header_value(head, "Content-Length", length, sizeof(length));
		request->body[0] = '\0';
		if (length[0] && parse_u64(length, sizeof(request->body) - 1, &left) && left > 0) {
			good = receive(request, request->body, left) == (ssize_t)left;
			request->body[left] = '\0';
		}
	}
	free(head);
	return good;
}

static void record(struct fake_server *server, const struct fake_request *request)
{
	pthread_mutex_lock(&server->mutex);
	str_addf(&server->log, "%s %s auth=%s range=%s body=%s client=%s\n", request->method, request->path,
		 request->authorization, request->range, request->body, request->client);
	pthread_mutex_unlock(&server->mutex);
}

/* Notes what the client offers, and takes HTTP/1.1: that is all this server speaks. */
static int choose_protocol(SSL *tls UNUSED, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *in, unsigned int in_len, void *data)
{
	static const unsigned char http[] = "http/1.1";
	struct fake_server *server = data;
	CLEANUP(str_done) struct str offered = STR_INIT;

	for (unsigned int at = 0; at < in_len; at += in[at] + 1u) {
		str_addc(&offered, ' ');
		str_addn(&offered, in + at + 1, in[at]);
	}
	pthread_mutex_lock(&server->mutex);
	str_addf(&server->log, "alpn%s\n", str_get(&offered));
	pthread_mutex_unlock(&server->mutex);
	*out = http;
	*out_len = sizeof(http) - 1;
	return SSL_TLSEXT_ERR_OK;
}

static bool handshake(struct fake_request *request)
{
	struct fake_server *server = request->server;
	X509 *client;

	if (!server->tls || atomic_load(&server->plain))
		return true;
	if (server->slow) {
		fake_stall(request);
		return false;
	}
	request->tls = SSL_new(server->tls);
	SSL_set_fd(request->tls, request->fd);
	if (SSL_accept(request->tls) != 1)
		return false;
	client = SSL_get1_peer_certificate(request->tls);
	if (client)
		X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName, request->client,
					  sizeof(request->client));
	X509_free(client);
	return true;
}

static void *serve(void *data)
{
	struct connection *connection = data;
	struct fake_server *server = connection->server;
	struct fake_request *request = xnew(struct fake_request);

	request->server = server;
	request->fd = connection->fd;
	if (!handshake(request))
		request->close = true;
	while (!request->close && read_request(request)) {
		record(server, request);
		server->handle(request, server->data);
	}
	SSL_free(request->tls);
	shutdown(connection->fd, SHUT_RDWR);
	free(request);
	atomic_store(&connection->ended, true);
	return NULL;
}

static void end_connection(struct connection *connection)
{
	pthread_join(connection->thread, NULL);
	close(connection->fd);
}

static struct connection *new_connection(struct fake_server *server)
{
	for (size_t i = 0; i < server->connections_len; i++)
		if (atomic_load(&server->connections[i].ended)) {
			end_connection(&server->connections[i]);
			return &server->connections[i];
		}
	assert(server->connections_len < CONNECTIONS_MAX);
	return &server->connections[server->connections_len++];
}

static void *accept_all(void *data)
{
	struct fake_server *server = data;

	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		struct connection *connection;

		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		pthread_mutex_lock(&server->mutex);
		connection = new_connection(server);
		connection->server = server;
		connection->fd = fd;
		atomic_store(&connection->ended, false);
		pthread_create(&connection->thread, NULL, serve, connection);
		pthread_mutex_unlock(&server->mutex);
	}
}

static void start_listening(struct fake_server *server, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(port) };
	socklen_t len = sizeof(address);
	int failed;

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	failed = bind(server->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		 listen(server->listener, 128) < 0 ||
		 getsockname(server->listener, (struct sockaddr *)&address, &len) < 0;
	assert(!failed);
	server->port = ntohs(address.sin_port);
	snprintf(server->host, sizeof(server->host), "127.0.0.1:%u", server->port);
}

static void stop_listening(struct fake_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
}

void fake_server_forget_tls(struct fake_server *server)
{
	atomic_store(&server->plain, true);
}

void fake_server_pause(struct fake_server *server)
{
	stop_listening(server);
	server->paused = true;
}

void fake_server_resume(struct fake_server *server)
{
	start_listening(server, server->port);
	server->paused = false;
	pthread_create(&server->thread, NULL, accept_all, server);
}

static void load_tls(struct fake_server *server, const struct fake_tls *tls)
{
	bool good;

	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL, here and in the client */
	server->tls = SSL_CTX_new(TLS_server_method());
	server->slow = tls->slow;
	good = SSL_CTX_use_certificate_chain_file(server->tls, tls->cert) == 1 &&
	       SSL_CTX_use_PrivateKey_file(server->tls, tls->key, SSL_FILETYPE_PEM) == 1 &&
	       (!tls->client_ca || SSL_CTX_load_verify_locations(server->tls, tls->client_ca, NULL) == 1);
	assert(good);
	SSL_CTX_set_alpn_select_cb(server->tls, choose_protocol, server);
	if (tls->client_ca)
		SSL_CTX_set_verify(server->tls,
				   tls->client_optional ? SSL_VERIFY_PEER
							: SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   NULL);
}

struct fake_server *fake_server_new(void (*handle)(struct fake_request *request, void *data), void *data)
{
	return fake_server_new_tls(handle, data, NULL);
}

struct fake_server *fake_server_new_tls(void (*handle)(struct fake_request *request, void *data), void *data,
					const struct fake_tls *tls)
{
	struct fake_server *server = xnew(struct fake_server);

	if (tls)
		load_tls(server, tls);
	server->handle = handle;
	server->data = data;
	start_listening(server, 0);
	pthread_mutex_init(&server->mutex, NULL);
	pthread_create(&server->thread, NULL, accept_all, server);
	return server;
}

struct fake_server *fake_server_free(struct fake_server *server)
{
	if (!server)
		return NULL;
	if (!server->paused)
		stop_listening(server);
	for (size_t i = 0; i < server->connections_len; i++)
		shutdown(server->connections[i].fd, SHUT_RDWR);
	for (size_t i = 0; i < server->connections_len; i++)
		end_connection(&server->connections[i]);
	pthread_mutex_destroy(&server->mutex);
	SSL_CTX_free(server->tls);
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
		ssize_t n = request->tls ? SSL_write(request->tls, at, (int)len)
					 : send(request->fd, at, len, MSG_NOSIGNAL);

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
