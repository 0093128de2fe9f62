/* See cgroup_text.h. Every reader moves a pointer forward and stops at the text's end. */
#include "sandbox/cgroup_text.h"

#include <string.h>

#include "base/mem.h"

enum { FRACTION_DIGITS_MAX = 9 };

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Moves *at behind a decimal number. */
static bool number(const char **at, uint64_t *ret)
{
	uint64_t value = 0;

	if (!digit(**at))
		return false;
	for (; digit(**at); (*at)++) {
		uint64_t more = (uint64_t)(**at - '0');

		value = value > (UINT64_MAX - more) / 10 ? UINT64_MAX : value * 10 + more;
	}
	*ret = value;
	return true;
}

/* "12.34"; a fraction's digits beyond the ninth do not count. */
static bool decimal(const char **at, double *ret)
{
	uint64_t whole;
	double part = 0, unit = 0.1;

	if (!number(at, &whole))
		return false;
	if (**at == '.') {
		(*at)++;
		for (int i = 0; digit(**at); (*at)++, i++, unit /= 10)
			part += i < FRACTION_DIGITS_MAX ? unit * (**at - '0') : 0;
	}
	*ret = (double)whole + part;
	return true;
}

/* Moves *at behind word, when it is there. */
static bool word(const char **at, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

static const char *next_line(const char *at)
{
	const char *end = strchr(at, '\n');

	return end ? end + 1 : at + strlen(at);
}

bool cgroup_text_number(const char *text, uint64_t *ret)
{
	if (strncmp(text, "max", 3) == 0) {
		*ret = UINT64_MAX;
		return true;
	}
	return number(&text, ret);
}

/* The key that is line's first len bytes. */
static const struct cgroup_text_key *key_of(const char *line, size_t len, const struct cgroup_text_key *keys,
					    size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (*keys[i].name == *line && strncmp(keys[i].name, line, len) == 0 && !keys[i].name[len])
			return &keys[i];
	return NULL;
}

size_t cgroup_text_keys(const char *text, const struct cgroup_text_key *keys, size_t count, void *ret)
{
	size_t found = 0;

	for (const char *line = text, *next; *line; line = next) {
		const char *space = strchrnul(line, ' ');
		const struct cgroup_text_key *key;

		next = next_line(line);
		if (space >= next || !*space)
			continue;
		key = key_of(line, (size_t)(space - line), keys, count);
		found +=
			key && cgroup_text_number(space + 1, (uint64_t *)(void *)((char *)ret + key->offset));
	}
	return found;
}

bool cgroup_text_key(const char *text, const char *name, uint64_t *ret)
{
	const struct cgroup_text_key key = { name, 0 };

	return cgroup_text_keys(text, &key, 1, ret) > 0;
}

size_t cgroup_text_lines(const char *text)
{
	size_t lines = 0;

	for (; *text; text = next_line(text))
		lines++;
	return lines;
}

static bool stall(const char *line, struct cgroup_stall *ret)
{
	struct cgroup_stall read;

	if (!word(&line, "avg10=") || !decimal(&line, &read.avg10) || !word(&line, " avg60=") ||
	    !decimal(&line, &read.avg60) || !word(&line, " avg300=") || !decimal(&line, &read.avg300) ||
	    !word(&line, " total=") || !number(&line, &read.total_us))
		return false;
	*ret = read;
	return true;
}

bool cgroup_text_pressure(const char *text, struct cgroup_pressure *ret)
{
	bool found = false;

	*ret = (struct cgroup_pressure){ 0 };
	for (const char *line = text; *line; line = next_line(line)) {
		const char *at = line;

		if (word(&at, "some "))
			found = stall(at, &ret->some) || found;
		else if (word(&at, "full "))
			found = stall(at, &ret->full) || found;
	}
	return found;
}

/* Of "8:0 ...", which leaves *at behind the space. NULL: none, or too many. */
static struct cgroup_device *device(const char **at, struct cgroup_devices *devices)
{
	uint64_t major, minor;

	if (!number(at, &major) || !word(at, ":") || !number(at, &minor) || !word(at, " ") ||
	    major > UINT32_MAX || minor > UINT32_MAX)
		return NULL;
	for (size_t i = 0; i < devices->len; i++)
		if (devices->items[i].major == major && devices->items[i].minor == minor)
			return &devices->items[i];
	if (devices->len == CGROUP_DEVICES_MAX)
		return NULL;
	devices->items[devices->len] =
		(struct cgroup_device){ .major = (uint32_t)major, .minor = (uint32_t)minor };
	return &devices->items[devices->len++];
}

static void io_field(const char *at, struct cgroup_device *device)
{
	if (word(&at, "rbytes="))
		(void)!number(&at, &device->read_bytes);
	else if (word(&at, "wbytes="))
		(void)!number(&at, &device->write_bytes);
	else if (word(&at, "rios="))
		(void)!number(&at, &device->reads);
	else if (word(&at, "wios="))
		(void)!number(&at, &device->writes);
}

void cgroup_text_io(const char *text, struct cgroup_devices *ret)
{
	ret->len = 0;
	for (const char *line = text; *line; line = next_line(line)) {
		const char *at = line, *end = next_line(line);
		struct cgroup_device *item = device(&at, ret);

		while (item && at < end) {
			io_field(at, item);
			at += strcspn(at, " \n");
			at += *at != '\0';
		}
	}
}

void cgroup_text_blkio(const char *text, bool bytes, struct cgroup_devices *ret)
{
	for (const char *line = text; *line; line = next_line(line)) {
		const char *at = line;
		struct cgroup_device *item = device(&at, ret);
		uint64_t value;

		if (!item)
			continue;
		if (word(&at, "Read ") && number(&at, &value))
			*(bytes ? &item->read_bytes : &item->reads) = value;
		else if (word(&at, "Write ") && number(&at, &value))
			*(bytes ? &item->write_bytes : &item->writes) = value;
	}
}
