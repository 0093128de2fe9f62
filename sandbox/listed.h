/*
 * What a list says of an object, encoded once: its item in the answer of ListPodSandbox or ListContainers.
 *
 * All of an item but the state is fixed before the object can be found, so what is kept never has to be made
 * anew, and no answer can be older than the question: the state is read for each and put behind the rest
 * (protobuf: fields may come in any order, https://protobuf.dev/programming-guides/encoding/#order). Costs
 * the encoded bytes of the object's metadata, labels and annotations, as long as it lives.
 *
 * A struct listed is written by listed_init(), before other threads can see it, and only read from then on.
 */
#ifndef SANDBOX_LISTED_H
#define SANDBOX_LISTED_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"

struct listed {
	uint8_t *bytes;
	size_t len;
	uint8_t state_tag;
};

/* item's field "state" is left out; its strings may be mended (proto/message.h).
 * Once; later ones do nothing. */
void listed_init(struct listed *listed, ProtobufCMessage *item, struct arena *arena);
void listed_done(struct listed *listed);

/* Whose answer it becomes gives room for so many bytes, which are then written once. NULL and err: no. */
struct list_room {
	uint8_t *(*take)(void *data, size_t len, struct err *err);
	void *data;
};

/* An object in its state; below 128. */
struct listed_item {
	const struct listed *listed;
	unsigned int state;
};

/* The encoding of a message with these as its repeated field 1. */
int listed_write(const struct listed_item *items, size_t count, const struct list_room *room,
		 struct err *err) MUST_CHECK;

#endif
