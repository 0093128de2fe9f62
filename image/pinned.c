/*
 * Matching goes back to the last "*" only, so a pattern costs at most its length times the name's.
 */
#include "image/pinned.h"

#include <string.h>

static bool glob(const char *pattern, const char *name)
{
	const char *star = NULL, *resume = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = name;
		} else if (*pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++resume;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

/* True for "host:5000/name", false for "name:tag" and "name@digest". */
static bool is_bare(const char *pattern)
{
	const char *slash = strrchr(pattern, '/');

	return !strpbrk(slash ? slash : pattern, ":@*") && !strchr(pattern, '*');
}

bool pinned_matches(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (is_bare(pattern))
		return strncmp(pattern, name, len) == 0 && str_eq(name + len, ":latest");
	return glob(pattern, name);
}

static bool any_matches(const struct strv *patterns, const struct strv *names)
{
	for (size_t i = 0; i < patterns->len; i++)
		for (size_t j = 0; j < names->len; j++)
			if (pinned_matches(patterns->items[i], names->items[j]))
				return true;
	return false;
}

bool pinned(const struct strv *patterns, const struct image *image)
{
	return any_matches(patterns, &image->repo_tags) || any_matches(patterns, &image->repo_digests);
}
