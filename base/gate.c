/*
 * The gate is handed over, not fought for: who leaves gives it to the first in the queue under the lock, so
 * order of arrival holds and nobody overtakes. A waiter with a context sleeps in poll on an eventfd of its
 * own beside the context's, a waiter without one (it cannot give up) on the condition. A waiter that gives up
 * looks once more under the lock: if the gate was given to it meanwhile, it is in.
 */
#include "base/gate.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ticket {
	struct list node;
	int fd;     /* eventfd; -1 for a waiter on the condition */
	bool given; /* under lock */
};

void gate_init(struct gate *gate)
{
	lock_init(&gate->lock, "gate", LOCK_GATE);
	cond_init(&gate->changed);
	list_init(&gate->queue);
	gate->entered = false;
}

void gate_done(struct gate *gate)
{
	assert(!gate->entered && list_empty(&gate->queue));
	cond_done(&gate->changed);
	lock_done(&gate->lock);
}

bool gate_try(struct gate *gate)
{
	lock_take(&gate->lock);
	bool in = !gate->entered;
	gate->entered = true;
	lock_drop(&gate->lock);
	return in;
}

/* Takes the gate, or a place in the queue. */
static bool enter_or_queue(struct gate *gate, struct ticket *ticket)
{
	lock_take(&gate->lock);
	bool in = !gate->entered;
	gate->entered = true;
	if (!in)
		list_add_tail(&gate->queue, &ticket->node);
	lock_drop(&gate->lock);
	return in;
}

static void wait_for_ever(struct gate *gate, struct ticket *ticket)
{
	lock_take(&gate->lock);
	while (!ticket->given)
		cond_wait(&gate->changed, &gate->lock);
	lock_drop(&gate->lock);
}

/* Leaves the queue; true when the gate was given to us before that. */
static bool give_up(struct gate *gate, struct ticket *ticket)
{
	lock_take(&gate->lock);
	bool given = ticket->given;
	list_del(&ticket->node);
	lock_drop(&gate->lock);
	return given;
}

int gate_enter(struct gate *gate, const struct ctx *ctx, const char *what, struct err *err)
{
	struct ticket ticket = { .fd = -1 };

	if (!ctx) {
		if (!enter_or_queue(gate, &ticket))
			wait_for_ever(gate, &ticket);
		return 0;
	}
	if (ctx_check(ctx, what, err) < 0)
		return -1;
	if (gate_try(gate))
		return 0;
	ticket.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ticket.fd < 0)
		return err_errno(err, "%s: wait for its turn", what);
	bool in = enter_or_queue(gate, &ticket);
	int failed = in ? 0 : ctx_poll(ctx, ticket.fd, POLLIN, what, err);
	if (!in)
		in = give_up(gate, &ticket);
	close(ticket.fd);
	assert(in || failed);
	return in ? 0 : -1;
}

void gate_leave(struct gate *gate)
{
	lock_take(&gate->lock);
	assert(gate->entered);
	if (list_empty(&gate->queue)) {
		gate->entered = false;
	} else {
		struct ticket *next = list_entry(gate->queue.next, struct ticket, node);
		list_del(&next->node);
		next->given = true;
		if (next->fd >= 0)
			eventfd_write(next->fd, 1);
		else
			cond_broadcast(&gate->changed);
	}
	lock_drop(&gate->lock);
}
