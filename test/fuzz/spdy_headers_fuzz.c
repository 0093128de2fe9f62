/* floor: streaming
 *
 * An unpacked header block. What is told of it is terminated and printable.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "server/streaming/spdy_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct spdy_headers headers;
	struct err err = { 0 };

	if (spdy_headers_parse(data, len, &headers, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT);
		return 0;
	}
	assert(memchr(headers.stream_type, '\0', sizeof(headers.stream_type)));
	assert(memchr(headers.port, '\0', sizeof(headers.port)));
	assert(memchr(headers.request_id, '\0', sizeof(headers.request_id)));
	assert(str_is_printable(headers.stream_type) && str_is_printable(headers.port) &&
	       str_is_printable(headers.request_id));
	return 0;
}
