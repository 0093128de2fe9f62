/* registries.conf and its drop-ins: that they can be read, and what they ask for in vain. */
#include "config/check_probe.h"
#include "config/registries.h"

void check_registries(struct check *check)
{
	const struct config_image *image = &check->config->image;
	const struct registries_paths paths = { .file = image->registries_conf,
						.insecure = image->insecure_registries.items };
	CLEANUP(registries_unrefp) struct registries *registries = NULL;
	CLEANUP(str_done) struct str notes = STR_LIMIT(4096);
	struct err err;

	if (registries_load(&paths, &registries, &err) < 0) {
		check_bad(check, CHECK_FAIL, "image.registries", "mend the file: no image can be pulled",
			  "%s", err.text);
		return;
	}
	const char *const *note = registries_notes(registries);
	for (size_t i = 0; note && note[i]; i++)
		str_addf(&notes, "%s%s", i ? "; " : "", note[i]);
	if (notes.len)
		check_bad(check, CHECK_WARN, "image.registries", "these keys have no effect", "%s",
			  str_get(&notes));
	else
		check_ok(check, "image.registries", "%s", image->registries_conf);
}
