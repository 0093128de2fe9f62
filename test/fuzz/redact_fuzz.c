/* floor: image
 *
 * A text to be redacted: the outcome is printable, and a URL put behind it loses its secrets.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "image/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(freep) char *text = xmemdup(data, len);
	CLEANUP(freep) char *whole = xasprintf("%s https://user:SeCrEt1@x.io/?sig=SeCrEt2", text);
	CLEANUP(str_done) struct str out = STR_INIT;

	if (strstr(text, "SeCrEt"))
		return 0;
	redact(whole, &out);
	assert(str_is_printable(str_get(&out)));
	assert(!strstr(str_get(&out), "SeCrEt"));
	return 0;
}
