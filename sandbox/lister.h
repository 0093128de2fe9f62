/*
 * A list of objects as messages, at once or in batches: what the List RPCs and the Stream RPCs share.
 *
 * Objects are references that the caller holds. Matching and making run without any lock of the store. With a
 * pool, a long list that is made at once is made by workers of it, too, as far as they come in time, one part
 * each at a time: then both functions run on several threads, for different objects.
 */
#ifndef SANDBOX_LISTER_H
#define SANDBOX_LISTER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"

enum { LISTER_BATCH = 32 };

/* Takes a list piece by piece; the messages live for the call only. -1 and err end the list. */
struct list_sink {
	int (*take)(void *data, ProtobufCMessage **items, size_t count, struct err *err);
	void *data;
};

struct lister {
	void *const *objects; /* NULL-terminated */
	bool (*matches)(void *object, const void *filter);
	const void *filter;
	/* NULL: the object is left out */
	ProtobufCMessage *(*make)(void *object, const void *data, struct arena *arena);
	const void *data;
	struct pool *pool; /* NULL: the caller's thread alone */
};

/* All of them in their order, in arena. */
ProtobufCMessage **lister_all(const struct lister *lister, struct arena *arena, size_t *ret_count);
/* LISTER_BATCH of them at a time, each batch in memory of its own. */
int lister_each(const struct lister *lister, const struct list_sink *sink, struct err *err) MUST_CHECK;

#endif
