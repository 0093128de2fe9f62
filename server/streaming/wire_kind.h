/* What the two kinds of wire share. Private to wire*.c. */
#ifndef SERVER_STREAMING_WIRE_KIND_H
#define SERVER_STREAMING_WIRE_KIND_H

#include "server/streaming/wire.h"

struct wire_ops {
	void (*free)(struct wire *wire);
	int (*feed)(struct wire *wire, const uint8_t *data, size_t len, struct err *err);
	bool (*ready)(const struct wire *wire);
	bool (*closed)(const struct wire *wire);
	void (*send)(struct wire *wire, enum channel channel, const void *data, size_t len);
	void (*finish)(struct wire *wire, const struct status *status);
	struct queue *(*out)(struct wire *wire);
};

struct wire { /* the first member of each kind */
	const struct wire_ops *ops;
	struct wire_options options;
};

static inline bool wire_has(const struct wire *wire, enum channel channel)
{
	return wire->options.channels >> channel & 1;
}

#endif
