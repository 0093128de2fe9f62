/* See lister.h. */
#include "sandbox/lister.h"

ProtobufCMessage **lister_all(const struct lister *lister, struct arena *arena, size_t *ret_count)
{
	ProtobufCMessage **items;
	size_t objects = 0, count = 0;

	while (lister->objects[objects])
		objects++;
	items = arena_array(arena, objects + 1, sizeof(*items));
	for (size_t i = 0; i < objects; i++) {
		if (!lister->matches(lister->objects[i], lister->filter))
			continue;
		items[count] = lister->make(lister->objects[i], lister->data, arena);
		count += items[count] != NULL;
	}
	*ret_count = count;
	return items;
}

/* The next batch from *at on; 0: the end. */
static size_t fill(const struct lister *lister, size_t *at, struct arena *arena, ProtobufCMessage **items)
{
	size_t count = 0;

	for (; count < LISTER_BATCH && lister->objects[*at]; (*at)++) {
		void *object = lister->objects[*at];

		if (!lister->matches(object, lister->filter))
			continue;
		items[count] = lister->make(object, lister->data, arena);
		count += items[count] != NULL;
	}
	return count;
}

int lister_each(const struct lister *lister, const struct list_sink *sink, struct err *err)
{
	for (size_t at = 0, count;;) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		ProtobufCMessage *items[LISTER_BATCH];

		count = fill(lister, &at, arena, items);
		if (!count)
			return 0;
		if (sink->take(sink->data, items, count, err) < 0)
			return -1;
	}
}
