#include "server/streaming/wire_kind.h"

struct wire *wire_free(struct wire *wire)
{
	if (wire)
		wire->ops->free(wire);
	return NULL;
}

int wire_feed(struct wire *wire, const uint8_t *data, size_t len, struct err *err)
{
	return wire->ops->feed(wire, data, len, err);
}

bool wire_ready(const struct wire *wire)
{
	return wire->ops->ready(wire);
}

bool wire_closed(const struct wire *wire)
{
	return wire->ops->closed(wire);
}

void wire_send(struct wire *wire, enum channel channel, const void *data, size_t len)
{
	if (len && wire_has(wire, channel))
		wire->ops->send(wire, channel, data, len);
}

void wire_finish(struct wire *wire, const struct status *status)
{
	wire->ops->finish(wire, status);
}

struct queue *wire_out(struct wire *wire)
{
	return wire->ops->out(wire);
}
