/* floor: streaming
 *
 * Header values of an upgrade request, one a line: Connection, Upgrade, key, version, then offers. What is
 * chosen was offered.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "server/streaming/resize.h"
#include "server/streaming/upgrade.h"

static void check(const struct upgrade_request *request, bool forward)
{
	struct upgrade upgrade;
	struct err err = { 0 };
	int status = 0;
	bool offered = false;

	if (upgrade_choose(request, forward, &upgrade, &status, &err) < 0) {
		assert(status == 400 || status == 403);
		return;
	}
	assert(upgrade.version >= 1 && upgrade.version <= 5);
	for (size_t i = 0; i < request->spdy_offers.len; i++)
		offered = offered || strstr(request->spdy_offers.items[i], upgrade.protocol);
	assert(offered || !*upgrade.protocol);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(freep) char *text = xmemdup(data, len);
	struct strv lines CLEANUP(strv_done) = STRV_INIT;
	struct upgrade_request request CLEANUP(upgrade_request_done) = { 0 };
	struct resize resize = { 0 };
	struct terminal_size size;

	strv_split(&lines, text, '\n');
	request.connection = lines.len > 0 ? lines.items[0] : NULL;
	request.upgrade = lines.len > 1 ? lines.items[1] : NULL;
	request.websocket_key = lines.len > 2 ? lines.items[2] : NULL;
	request.websocket_version = lines.len > 3 ? lines.items[3] : NULL;
	for (size_t i = 4; i < lines.len; i++) {
		strv_add(&request.spdy_offers, lines.items[i]);
		strv_add(&request.websocket_offers, lines.items[i]);
	}
	check(&request, false);
	check(&request, true);
	if (resize_feed(&resize, data, len, &size))
		assert(size.width && size.height);
	return 0;
}
