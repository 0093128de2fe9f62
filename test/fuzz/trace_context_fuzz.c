/* floor: server
 *
 * What a client sends as its trace. What is accepted has ids, and what is not leaves the result as it was.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "server/trace/trace_context.h"

static void check(const struct trace_context *context, bool accepted)
{
	static const uint8_t none[TRACE_ID_SIZE];

	assert(accepted == (memcmp(context->trace_id, none, TRACE_ID_SIZE) != 0));
	assert(accepted == (memcmp(context->span_id, none, TRACE_SPAN_ID_SIZE) != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct trace_context text = { 0 }, binary = { 0 };

	check(&text, trace_context_parse((const char *)data, len, &text));
	check(&binary, trace_context_parse_binary(data, len, &binary));
	return 0;
}
