/* floor: image
 *
 * A reference that is accepted has valid parts, says itself again when put together, and is harmless in a
 * URL's path.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(freep) char *text = xmemdup(data, len);
	CLEANUP(reference_done) struct reference reference = { 0 };
	CLEANUP(reference_done) struct reference again = { 0 };
	struct err err = { 0 };

	if (reference_parse(text, &reference, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT);
		return 0;
	}
	assert(strlen(text) <= REFERENCE_MAX && reference_name_valid(reference.name));
	assert(!strstr(reference.name, "..") && !strstr(reference.name, "//"));
	assert(!strpbrk(reference.name, "?#%@ \\"));
	assert(!reference.tag || reference_tag_valid(reference.tag));
	CLEANUP(freep) char *name = reference_normalise(reference.name);
	CLEANUP(freep) char *full = reference_text(&reference, name);

	if (strlen(name) > REFERENCE_NAME_MAX) /* the default registry made it too long */
		return 0;
	assert(reference_has_domain(name));
	assert(reference_parse(full, &again, &err) == 0);
	assert(strcmp(again.name, name) == 0 && again.has_digest == reference.has_digest);
	return 0;
}
