/* floor: streaming
 *
 * A client's bytes of a SPDY connection: however they are cut into pieces, the same comes of them; ids are
 * the client's and in order, and headers are short and printable.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "server/streaming/spdy.h"

struct seen {
	struct spdy spdy;
	uint32_t last;
	uint64_t digest; /* of events, whatever the pieces */
};

static void digest(struct seen *seen, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		seen->digest = (seen->digest ^ bytes[i]) * 1099511628211u;
}

static void on_opened(void *data, uint32_t id, const struct spdy_headers *headers)
{
	struct seen *seen = data;

	assert(id % 2 == 1 && id > seen->last);
	seen->last = id;
	assert(str_is_printable(headers->stream_type) && str_is_printable(headers->port) &&
	       str_is_printable(headers->request_id));
	digest(seen, headers, sizeof(*headers));
	spdy_reply(&seen->spdy, id);
}

static void on_received(void *data, uint32_t id, const uint8_t *bytes, size_t len)
{
	assert(id && len);
	for (size_t i = 0; i < len; i++) {
		digest(data, &id, sizeof(id));
		digest(data, bytes + i, 1);
	}
}

static void on_ended(void *data, uint32_t id, bool reset)
{
	digest(data, &id, sizeof(id));
	digest(data, &reset, sizeof(reset));
}

static uint64_t run(const uint8_t *data, size_t len, size_t piece, bool *ret_failed, size_t *ret_out)
{
	static const struct spdy_events events = { on_opened, on_received, on_ended };
	struct seen seen = { .digest = 14695981039346656037u };
	struct err err = { 0 };

	*ret_failed = false;
	spdy_init(&seen.spdy, &events, &seen);
	for (size_t at = 0; at < len && !*ret_failed; at += piece)
		*ret_failed = spdy_feed(&seen.spdy, data + at, piece < len - at ? piece : len - at, &err) < 0;
	if (*ret_failed)
		assert(err.code == RPC_INVALID_ARGUMENT);
	*ret_out = seen.spdy.out.len;
	spdy_done(&seen.spdy);
	return seen.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	bool failed, failed_too;
	size_t out, out_too;
	uint64_t whole = run(data, len, len ? len : 1, &failed, &out);
	uint64_t pieces = run(data, len, 1, &failed_too, &out_too);

	assert(whole == pieces && failed == failed_too && out == out_too);
	return 0;
}
