/* Units are powers of two only: "MB" means two things, and is refused. */
#include "config/byte_size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t bytes;
};

/* Largest first; the last ends every search. */
static const struct unit units[] = {
	{ "TiB", INT64_C(1) << 40 }, { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "", 1 },
};

bool byte_size_parse(const char *text, int64_t *ret)
{
	CLEANUP(freep) char *digits = xstrndup(text, strspn(text, "0123456789"));
	const char *name = text + strlen(digits);
	int64_t number;

	if (!parse_i64(digits, 0, INT64_MAX, &number))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq(name, units[i].name))
			return !__builtin_mul_overflow(number, units[i].bytes, ret);
	return false;
}

void byte_size_print(struct str *out, int64_t bytes)
{
	size_t i = 0;

	assert(bytes >= 0);
	while (units[i].bytes > 1 && (bytes == 0 || bytes % units[i].bytes != 0))
		i++;
	str_addf(out, "%lld%s", (long long)(bytes / units[i].bytes), units[i].name);
}
