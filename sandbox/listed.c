/* See listed.h. */
#include "sandbox/listed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/field.h"
#include "proto/message.h"

enum {
	TAG_ITEM = 1 << 3 | 2, /* field 1, with a length */
	STATE_LEN = 2,         /* tag and value of a state other than 0 */
	VARINT_MORE = 0x80,
};

void listed_init(struct listed *listed, ProtobufCMessage *item, struct arena *arena)
{
	const ProtobufCFieldDescriptor *state =
		protobuf_c_message_descriptor_get_field_by_name(item->descriptor, "state");

	assert(state && state->type == PROTOBUF_C_TYPE_ENUM && state->id << 3 < VARINT_MORE);
	if (listed->bytes)
		return;
	memset(field_to(item, state), 0, field_value_size(state)); /* as a default it is not encoded */
	message_mend(item, arena);
	listed->len = message_size(item);
	listed->bytes = xmalloc(listed->len + 1);
	message_pack_to(item, listed->bytes, listed->len);
	listed->state_tag = (uint8_t)(state->id << 3);
}

void listed_done(struct listed *listed)
{
	free(listed->bytes);
	listed->bytes = NULL;
	listed->len = 0;
}

static size_t item_len(const struct listed_item *item)
{
	return item->listed->len + (item->state ? STATE_LEN : 0);
}

static size_t varint_len(size_t value)
{
	size_t len = 1;

	while (value >>= 7)
		len++;
	return len;
}

static uint8_t *put_varint(uint8_t *at, size_t value)
{
	for (; value >= VARINT_MORE; value >>= 7)
		*at++ = (uint8_t)(value | VARINT_MORE);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *put_item(uint8_t *at, const struct listed_item *item)
{
	*at++ = TAG_ITEM;
	at = put_varint(at, item_len(item));
	memcpy(at, item->listed->bytes, item->listed->len);
	at += item->listed->len;
	if (item->state) {
		*at++ = item->listed->state_tag;
		*at++ = (uint8_t)item->state;
	}
	return at;
}

int listed_write(const struct listed_item *items, size_t count, const struct list_room *room, struct err *err)
{
	size_t len = 0;
	uint8_t *bytes, *at;

	for (size_t i = 0; i < count; i++) {
		assert(items[i].state < VARINT_MORE);
		len += 1 + varint_len(item_len(&items[i])) + item_len(&items[i]);
	}
	bytes = at = room->take(room->data, len, err);
	if (!bytes)
		return -1;
	for (size_t i = 0; i < count; i++)
		at = put_item(at, &items[i]);
	assert((size_t)(at - bytes) == len);
	return 0;
}
