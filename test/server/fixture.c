/*
 * The table is made from the descriptors, as a real one would be checked against them.
 */
#include "test/server/fixture.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/cri.pb-c.h"
#include "server/grpc/listener.h"

struct fixture {
	char folder[64];
	char *socket;
	struct loop *loop;
	pthread_t thread;
	struct pool *pool;
	const struct rpc **table;
	struct rpc_server *server;
	struct listener *listener;
	bool stopped;
};

static void add_service(const struct rpc **table, size_t *len, const ProtobufCServiceDescriptor *service,
			const struct rpc *fakes, size_t count)
{
	for (unsigned int i = 0; i < service->n_methods; i++) {
		struct rpc *rpc = xnew(struct rpc);

		*rpc = (struct rpc){ .service = service->short_name, .method = service->methods[i].name };
		for (size_t j = 0; j < count; j++)
			if (strcmp(fakes[j].service, rpc->service) == 0 &&
			    strcmp(fakes[j].method, rpc->method) == 0)
				*rpc = fakes[j];
		table[(*len)++] = rpc;
	}
}

const struct rpc **fixture_table(const struct rpc *fakes, size_t count)
{
	const struct rpc **table = xcalloc(128, sizeof(*table));
	size_t len = 0;

	add_service(table, &len, &cri__runtime_service__descriptor, fakes, count);
	add_service(table, &len, &cri__image_service__descriptor, fakes, count);
	return table;
}

void fixture_table_free(const struct rpc **table)
{
	for (size_t i = 0; table[i]; i++)
		free((void *)table[i]);
	free(table);
}

static void on_accepted(void *data, int fd)
{
	struct fixture *fixture = data;

	rpc_server_add(fixture->server, fd);
}

static void *run_loop(void *data)
{
	struct fixture *fixture = data;
	struct err err = { 0 };
	int result = loop_run(fixture->loop, &err);

	assert(result == 0);
	return NULL;
}

struct fixture *fixture_new(const struct fixture_options *options)
{
	struct fixture *fixture = xnew(struct fixture);
	struct err err = { 0 };

	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/crisp-server-test-XXXXXX");
	assert(mkdtemp(fixture->folder));
	fixture->socket = xasprintf("%s/crisp.sock", fixture->folder);
	fixture->loop = loop_new(&err);
	fixture->table = fixture_table(options->fakes, options->fakes_len);
	fixture->pool = pool_new(
		&(struct pool_options){ .name = "test",
					.threads_max = options->threads_max ? options->threads_max : 256,
					.queue_max = options->queue_max ? options->queue_max : 1024,
					.idle_ns = NS_PER_SEC });
	fixture->server = rpc_server_new(
		&(struct rpc_server_options){ .table = fixture->table,
					      .pool = fixture->pool,
					      .service = options->service,
					      .why_closed = options->why_closed,
					      .recv_max = 16 * 1024 * 1024,
					      .send_max = 16 * 1024 * 1024,
					      .calls_max = options->calls_max ? options->calls_max : 4096,
					      .connection_calls_max = options->connection_calls_max
									      ? options->connection_calls_max
									      : 4096,
					      .threads = 2,
					      .stall_max = options->stall_max,
					      .heartbeat = 20 * NS_PER_MS },
		&err);
	assert(fixture->server);
	fixture->listener = listener_new(&(struct listener_options){ .path = fixture->socket,
								     .mode = 0660,
								     .loop = fixture->loop,
								     .accepted = on_accepted,
								     .data = fixture },
					 &err);
	assert(fixture->listener);
	pthread_create(&fixture->thread, NULL, run_loop, fixture);
	return fixture;
}

const char *fixture_socket(const struct fixture *fixture)
{
	return fixture->socket;
}

struct rpc_server *fixture_server(struct fixture *fixture)
{
	return fixture->server;
}

bool fixture_stop(struct fixture *fixture, int64_t cancel_ns, int64_t end_ns)
{
	fixture->stopped =
		rpc_server_stop(fixture->server, clock_deadline_in(cancel_ns), clock_deadline_in(end_ns));
	return fixture->stopped;
}

void fixture_free(struct fixture *fixture)
{
	if (!fixture->stopped)
		fixture_stop(fixture, 0, 30 * NS_PER_SEC);
	loop_stop(fixture->loop);
	pthread_join(fixture->thread, NULL);
	listener_free(fixture->listener);
	rpc_server_free(fixture->server);
	pool_free(fixture->pool);
	loop_free(fixture->loop);
	fixture_table_free(fixture->table);
	rmdir(fixture->folder);
	free(fixture->socket);
	free(fixture);
}
