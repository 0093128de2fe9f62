/* protoc defines the rule (ToJsonName in descriptor.cc), and Go's protojson follows it. */
#include "proto/json_name.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

const char *json_name(const char *field, char name[JSON_NAME_MAX])
{
	char *to = name;
	bool capital = false;

	assert(strlen(field) < JSON_NAME_MAX);
	for (; *field; field++) {
		if (*field == '_') {
			capital = true;
			continue;
		}
		*to++ = capital && *field >= 'a' && *field <= 'z' ? (char)(*field - 'a' + 'A') : *field;
		capital = false;
	}
	*to = '\0';
	return name;
}
