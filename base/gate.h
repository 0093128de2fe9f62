/*
 * A gate: mutual exclusion that may be held over I/O, exec and waits. Mutating calls on one object (a pod, a
 * container) pass its gate one after another, in order of arrival; a waiter leaves the queue when its own
 * deadline passes or its client goes away. The holder is not a thread: leave may be called from another one.
 */
#ifndef BASE_GATE_H
#define BASE_GATE_H

#include "base/ctx.h"
#include "base/list.h"
#include "base/mem.h"

struct gate {
	struct lock lock;
	struct cond changed;
	struct list queue; /* waiting tickets, under lock */
	bool entered;      /* under lock */
};

void gate_init(struct gate *gate);
void gate_done(struct gate *gate); /* nobody may be inside or waiting */
/* 0: inside, and must leave; -1: DEADLINE_EXCEEDED or CANCELLED with "what" in the text, or
 * RESOURCE_EXHAUSTED when it would have to wait and descriptors ran out. Without a ctx it waits for ever and
 * cannot fail. */
int gate_enter(struct gate *gate, const struct ctx *ctx, const char *what, struct err *err) MUST_CHECK;
bool gate_try(struct gate *gate); /* true: inside */
void gate_leave(struct gate *gate);

#endif
