#include "test/base/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define NAME_CHARS NAME_FIRST "0123456789"

enum { TEXT_MAX = 256 };

struct reading {
	char family[TEXT_MAX], type[16];
	bool helped, typed;
	struct strv families, series;
	/* of the histogram's labels that are being read, "le" left out */
	char labels[TEXT_MAX];
	double bound, bucket;
	bool infinite, summed;
};

static char problem[1024];

static const char *wrong(const char *line, const char *what)
{
	snprintf(problem, sizeof(problem), "\"%.200s\": %s", line, what);
	return problem;
}

static const char *family_begins(struct reading *reading, const char *line, const char *name, size_t len)
{
	if (reading->helped && !reading->typed)
		return wrong(line, "the family before has no TYPE");
	if (!len || len >= TEXT_MAX || !strchr(NAME_FIRST, *name) || strspn(name, NAME_CHARS) != len)
		return wrong(line, "not a metric's name");
	snprintf(reading->family, sizeof(reading->family), "%.*s", (int)len, name);
	if (strv_has(&reading->families, reading->family))
		return wrong(line, "a family in two places");
	strv_add(&reading->families, reading->family);
	if (!name[len] || !name[len + 1])
		return wrong(line, "no help text");
	for (const char *c = name + len; (c = strchr(c, '\\')); c += 2)
		if (c[1] != '\\' && c[1] != 'n')
			return wrong(line, "a bad escape");
	reading->helped = true;
	reading->typed = false;
	return NULL;
}

static const char *type_line(struct reading *reading, const char *line, const char *name, size_t len)
{
	bool counter;

	if (!reading->helped || reading->typed || strlen(reading->family) != len ||
	    strncmp(reading->family, name, len) != 0)
		return wrong(line, "not behind its HELP");
	snprintf(reading->type, sizeof(reading->type), "%s", name[len] ? name + len + 1 : "");
	counter = str_eq(reading->type, "counter");
	if (!counter && !str_eq(reading->type, "gauge") && !str_eq(reading->type, "histogram"))
		return wrong(line, "unknown type");
	if (counter != str_has_suffix(reading->family, "_total"))
		return wrong(line, "counters, and only they, end in _total");
	reading->typed = true;
	*reading->labels = '\0';
	reading->infinite = true; /* no histogram is open */
	return NULL;
}

/* name="value",...}: copies all but le to labels, le to bound. Where it ends, or NULL. */
static const char *read_labels(const char *at, char *labels, char *bound)
{
	size_t used = 0;

	for (;;) {
		size_t len = strspn(at, NAME_CHARS);
		const char *value = at + len + 2;
		const char *end = value;

		if (!len || !strchr(NAME_FIRST, *at) || at[len] != '=' || at[len + 1] != '"')
			return NULL;
		while (*end && *end != '"') {
			if (*end == '\\' && end[1] != '\\' && end[1] != '"' && end[1] != 'n')
				return NULL;
			end += *end == '\\' ? 2 : 1;
		}
		if (!*end)
			return NULL;
		if (len == 2 && strncmp(at, "le", 2) == 0)
			snprintf(bound, 32, "%.*s", (int)(end - value), value);
		else
			used += (size_t)snprintf(labels + used, TEXT_MAX - used, "%.*s,", (int)(end - at + 1),
						 at);
		if (used >= TEXT_MAX)
			return NULL;
		at = end + 1;
		if (*at == '}')
			return at + 1;
		if (*at++ != ',')
			return NULL;
	}
}

static const char *bucket(struct reading *reading, const char *line, const char *labels, const char *le,
			  double value)
{
	double bound = str_eq(le, "+Inf") ? INFINITY : strtod(le, NULL);

	if (!*le)
		return wrong(line, "a bucket without le");
	if (reading->infinite || !str_eq(labels, reading->labels)) {
		if (!reading->infinite)
			return wrong(line, "the histogram before has no +Inf bucket");
		snprintf(reading->labels, TEXT_MAX, "%s", labels);
		reading->bound = -INFINITY;
		reading->bucket = 0;
		reading->summed = false;
	}
	if (!(bound > reading->bound) || value < reading->bucket)
		return wrong(line, "buckets neither ascend nor cumulate");
	reading->bound = bound;
	reading->bucket = value;
	reading->infinite = isinf(bound);
	return NULL;
}

static const char *of_histogram(struct reading *reading, const char *line, const char *suffix,
				const char *labels, const char *le, double value)
{
	if (str_eq(suffix, "_bucket"))
		return bucket(reading, line, labels, le, value);
	if (!reading->infinite || !str_eq(labels, reading->labels))
		return wrong(line, "not behind its buckets");
	if (str_eq(suffix, "_sum")) {
		reading->summed = true;
		return NULL;
	}
	if (!str_eq(suffix, "_count") || !reading->summed)
		return wrong(line, "a histogram has buckets, a sum and a count");
	return value == reading->bucket ? NULL : wrong(line, "count is not the +Inf bucket");
}

static const char *sample(struct reading *reading, const char *line)
{
	char labels[TEXT_MAX] = "", le[32] = "", suffix[16] = "";
	size_t len = strspn(line, NAME_CHARS), family = strlen(reading->family);
	const char *at = line + len;
	char *end;
	double value;

	if (!reading->typed || len < family || strncmp(line, reading->family, family) != 0)
		return wrong(line, "not behind its TYPE");
	snprintf(suffix, sizeof(suffix), "%.*s", (int)(len - family), line + family);
	if (*at == '{' && !(at = read_labels(at + 1, labels, le)))
		return wrong(line, "bad labels");
	CLEANUP(freep) char *series = xstrndup(line, (size_t)(at - line));
	if (strv_has(&reading->series, series))
		return wrong(line, "a series twice");
	strv_add(&reading->series, series);
	value = *at == ' ' ? strtod(at + 1, &end) : 0;
	if (*at != ' ' || end == at + 1 || *end || isnan(value) || value < 0)
		return wrong(line, "not a value");
	if (str_eq(reading->type, "histogram"))
		return of_histogram(reading, line, suffix, labels, le, value);
	return *suffix || *le ? wrong(line, "not behind its TYPE") : NULL;
}

static const char *read_line(struct reading *reading, const char *line)
{
	if (str_has_prefix(line, "# HELP "))
		return family_begins(reading, line, line + 7, strcspn(line + 7, " "));
	if (str_has_prefix(line, "# TYPE "))
		return type_line(reading, line, line + 7, strcspn(line + 7, " "));
	return *line == '#' || !*line ? wrong(line, "neither HELP, TYPE nor a sample")
				      : sample(reading, line);
}

const char *exposition_problem(const char *text)
{
	struct reading reading = { .infinite = true };
	CLEANUP(freep) char *copy = xstrdup(text);
	char *rest = copy;
	const char *found = NULL;

	if (!str_has_suffix(text, "\n"))
		return "the last line has no end";
	copy[strlen(copy) - 1] = '\0';
	for (char *line; !found && (line = strsep(&rest, "\n"));)
		found = read_line(&reading, line);
	if (!found && !reading.infinite)
		found = "the last histogram has no +Inf bucket";
	strv_done(&reading.families);
	strv_done(&reading.series);
	return found;
}

double exposition_value(const char *text, const char *series)
{
	size_t len = strlen(series);

	for (const char *line = text; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, series, len) == 0 && line[len] == ' ')
			return strtod(line + len + 1, NULL);
	return -1;
}
