/* floor: cni
 *
 * What a plugin that failed printed. The text that comes out is one bounded line, fit for an answer.
 */
#include <assert.h>

#include "base/str.h"
#include "cni/plugin.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	long code;

	if (!plugin_error_parse((const char *)data, len, &text, &code)) {
		assert(text.len == 0);
		return 0;
	}
	assert(text.len < 1024);
	for (size_t i = 0; i < text.len; i++)
		assert((unsigned char)text.data[i] >= 0x20 && text.data[i] != 0x7f);
	return 0;
}
