/* floor: image
 *
 * One or more lines, each a WWW-Authenticate header. A header that is refused changes nothing; only a Bearer
 * challenge has a realm.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "image/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(challenge_done) struct challenge challenge = { 0 };
	CLEANUP(freep) char *text = xmemdup(data, len);
	char *rest = text;

	for (char *line; (line = strsep(&rest, "\n"));) {
		const struct challenge before = challenge;

		if (!challenge_add(&challenge, line))
			assert(memcmp(&before, &challenge, sizeof(before)) == 0);
		assert(challenge.bearer || (!challenge.realm && !challenge.service && !challenge.scope));
		assert(!challenge.realm || strlen(challenge.realm) <= CHALLENGE_TEXT_MAX);
	}
	return 0;
}
