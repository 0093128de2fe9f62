/* floor: image
 *
 * A credential helper's answer: either credentials that are fit for a header, or an error.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "image/cred_helper.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(credentials_done) struct credentials credentials = { 0 };
	struct err err = { 0 };

	if (cred_helper_parse((const char *)data, len, &credentials, &err) < 0) {
		assert(err.code == RPC_UNAUTHENTICATED && credentials_empty(&credentials));
		return 0;
	}
	assert(!credentials.registry_token);
	assert(!credentials.username || !strpbrk(credentials.username, ":\r\n"));
	assert(!credentials.password || !strpbrk(credentials.password, "\r\n"));
	return 0;
}
