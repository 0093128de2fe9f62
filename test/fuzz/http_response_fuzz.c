/* floor: image
 *
 * The header lines of a response. What is kept is printable and bounded.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "image/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct http_response response = { 0 };
	const char *at = (const char *)data, *end = at + len;

	http_response_clear(&response);
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t line = newline ? (size_t)(newline - at) + 1 : (size_t)(end - at);

		http_response_header(&response, at, line);
		at += line;
	}
	assert(!response.content_type || str_is_printable(response.content_type));
	assert(!response.location || str_is_printable(response.location));
	assert(response.range_start <= response.range_end);
	assert(response.retry_after >= -1 && response.www_authenticate.len <= 8);
	http_response_clear(&response);
	return 0;
}
