/* floor: streaming
 *
 * The first byte chooses version and base64, the rest are a client's bytes of a WebSocket session. Only
 * channels of the client's come out, and however the bytes are cut, the same as long as the protocol is kept.
 */
#include <assert.h>

#include "fuzz.h"
#include "server/streaming/wire.h"

struct seen {
	uint64_t digest;
};

static void digest(struct seen *seen, unsigned int value)
{
	seen->digest = (seen->digest ^ value) * 1099511628211u;
}

static void on_received(void *data, enum channel channel, const uint8_t *bytes, size_t len)
{
	assert(channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE);
	assert(len);
	for (size_t i = 0; i < len; i++)
		digest(data, (unsigned int)channel << 8 | bytes[i]);
}

static void on_ended(void *data, enum channel channel)
{
	assert(channel == CHANNEL_STDIN || channel == CHANNEL_RESIZE);
	digest(data, 0x10000u | (unsigned int)channel);
}

static uint64_t run(const uint8_t *data, size_t len, size_t piece, bool *ret_failed)
{
	static const struct wire_events events = { on_received, on_ended };
	struct seen seen = { .digest = 14695981039346656037u };
	struct wire_options options = { .version = 1 + data[0] % 5,
					.base64 = data[0] & 0x80,
					.channels = 1 << CHANNEL_STDIN | 1 << CHANNEL_STDOUT |
						    1 << CHANNEL_ERROR | 1 << CHANNEL_RESIZE,
					.events = &events,
					.data = &seen };
	struct wire *wire = wire_new_websocket(&options);
	struct status status = { 0 };
	struct err err = { 0 };

	*ret_failed = false;
	for (size_t at = 1; at < len && !*ret_failed; at += piece)
		*ret_failed = wire_feed(wire, data + at, piece < len - at ? piece : len - at, &err) < 0;
	wire_finish(wire, &status);
	wire_free(wire);
	return seen.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	bool failed, failed_too;

	if (!len)
		return 0;
	uint64_t whole = run(data, len, len, &failed), pieces = run(data, len, 1, &failed_too);

	/* A breach inside a frame is seen sooner or later, depending on the pieces. */
	assert(failed || failed_too || whole == pieces);
	return 0;
}
