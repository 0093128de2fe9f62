#include "server/streaming/resize.h"

#include "base/json.h"

static bool read_side(const json_t *json, const char *name, uint16_t *ret)
{
	const json_t *side = json_object_get(json, name);

	if (!json_is_integer(side) || json_integer_value(side) < 1 || json_integer_value(side) > UINT16_MAX)
		return false;
	*ret = (uint16_t)json_integer_value(side);
	return true;
}

static bool parse(const struct resize *resize, struct terminal_size *ret)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct terminal_size size;
	struct err ignored;

	if (resize->skipping || json_parse(resize->text, resize->len, RESIZE_TEXT_MAX, &json, &ignored) < 0 ||
	    !read_side(json, "Width", &size.width) || !read_side(json, "Height", &size.height))
		return false;
	*ret = size;
	return true;
}

bool resize_feed(struct resize *resize, const uint8_t *data, size_t len, struct terminal_size *ret)
{
	bool any = false;

	for (size_t i = 0; i < len; i++) {
		if (resize->len < RESIZE_TEXT_MAX)
			resize->text[resize->len++] = (char)data[i];
		else
			resize->skipping = true;
		if (data[i] != '}')
			continue;
		any = parse(resize, ret) || any;
		resize->len = 0;
		resize->skipping = false;
	}
	return any;
}
