/* One allocation in the caller's arena; no string is copied. */
#include "sandbox/strings.h"

const char *const *strings_null_terminated(struct arena *arena, char *const *items, size_t count)
{
	if (!count)
		return NULL;
	const char **list = arena_array(arena, count + 1, sizeof(*list));
	for (size_t i = 0; i < count; i++)
		list[i] = items[i];
	return list;
}
