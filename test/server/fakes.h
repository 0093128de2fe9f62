/*
 * Fake RPCs for the tests of the dispatcher, what they saw, and the checks that those tests share.
 *
 *   Version             fast; echoes the version, with a name that is not UTF-8
 *   StopContainer       waits until its context ends
 *   StartContainer      takes 100 ms
 *   RemoveContainer     fails with a strange text
 *   ContainerStatus     fails without a reason
 *   PullImage           an answer of 17 MiB
 *   StreamContainers    three messages
 *   StreamPodSandboxes  messages without end
 */
#ifndef TEST_SERVER_FAKES_H
#define TEST_SERVER_FAKES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "test/server/client.h"
#include "test/server/fixture.h"

struct state {
	struct fixture *fixture;
	struct client *client;
};

/* What the fakes saw: the code they ended with (-1: none did), how many run, at most; the deadline they were
 * given. */
extern atomic_int seen_code, running, running_max;
extern atomic_llong seen_left_ms;

extern const struct fixture_options usual;

/* For cmocka: *data becomes a struct state. */
int setup_with(void **data, const struct fixture_options *options);
int setup(void **data);
int teardown(void **data);

/* Waits for what another thread is about to do. */
void await(atomic_int *value, int wanted);
/* The connection still works: a call on the same client succeeds. */
void assert_connected(struct client *client);
bool answers(struct client *client);
/* The call ends with this code, and a text (may be NULL) that contains this. */
void expect(struct client *client, const struct client_request *request, int code, const char *text);

#endif
