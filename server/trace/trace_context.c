#include "server/trace/trace_context.h"

#include <string.h>

enum { TEXT_LEN = 55, BINARY_LEN = 29, SAMPLED = 1 };

/* Lower case only, as the W3C says. */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return !any;
}

static bool is_valid(const struct trace_context *context)
{
	return !is_zero(context->trace_id, TRACE_ID_SIZE) && !is_zero(context->span_id, TRACE_SPAN_ID_SIZE);
}

bool trace_context_parse(const char *text, size_t len, struct trace_context *ret)
{
	struct trace_context context;
	uint8_t version, flags;

	if (len < TEXT_LEN || !read_hex(text, &version, 1) || version == 0xff || text[2] != '-' ||
	    text[35] != '-' || text[52] != '-')
		return false;
	/* A later version may have more behind another dash. */
	if (len > TEXT_LEN && (version == 0 || text[TEXT_LEN] != '-'))
		return false;
	if (!read_hex(text + 3, context.trace_id, TRACE_ID_SIZE) ||
	    !read_hex(text + 36, context.span_id, TRACE_SPAN_ID_SIZE) || !read_hex(text + 53, &flags, 1) ||
	    !is_valid(&context))
		return false;
	context.sampled = flags & SAMPLED;
	*ret = context;
	return true;
}

bool trace_context_parse_binary(const uint8_t *data, size_t len, struct trace_context *ret)
{
	struct trace_context context;

	/* version 0; field 0: trace id; field 1: span id; field 2: options */
	if (len < BINARY_LEN || data[0] != 0 || data[1] != 0 || data[18] != 1 || data[27] != 2)
		return false;
	memcpy(context.trace_id, data + 2, TRACE_ID_SIZE);
	memcpy(context.span_id, data + 19, TRACE_SPAN_ID_SIZE);
	context.sampled = data[28] & SAMPLED;
	if (!is_valid(&context))
		return false;
	*ret = context;
	return true;
}

bool trace_id_is_sampled(const uint8_t trace_id[TRACE_ID_SIZE], uint32_t rate)
{
	uint64_t low = 0;

	for (size_t i = 8; i < TRACE_ID_SIZE; i++)
		low = low << 8 | trace_id[i];
	return (low >> 1) < (UINT64_C(1) << 63) / 1000000 * rate || rate >= 1000000;
}
