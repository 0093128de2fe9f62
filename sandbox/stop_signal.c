/* The CRI's enum constants are named after the signals, so the generated descriptor is the table. */
#include "sandbox/stop_signal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { SIGNAL_NAME_MAX = 16 };

static int parse_name(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} aliases[] = { { "CLD", SIGCHLD },
			{ "IOT", SIGABRT },
			{ "IO", SIGIO },
			{ "POLL", SIGIO },
			{ "UNUSED", SIGSYS } };

	for (int number = 1; number < SIGRTMIN; number++)
		if (str_eq(sigabbrev_np(number), name))
			return number;
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (strcmp(aliases[i].name, name) == 0)
			return aliases[i].number;
	return -1;
}

/* "RTMIN", "RTMIN+3", "RTMINPLUS3" (the CRI's spelling), likewise RTMAX. */
static int parse_realtime(const char *name)
{
	bool from_min = str_has_prefix(name, "RTMIN");
	const char *rest = name + strlen("RTMIN");
	uint64_t offset;

	if (!*rest)
		return from_min ? SIGRTMIN : SIGRTMAX;
	if (str_has_prefix(rest, from_min ? "PLUS" : "MINUS"))
		rest += strlen(from_min ? "PLUS" : "MINUS");
	else if (*rest == (from_min ? '+' : '-'))
		rest++;
	else
		return -1;
	if (!parse_u64(rest, 30, &offset))
		return -1;
	return from_min ? SIGRTMIN + (int)offset : SIGRTMAX - (int)offset;
}

int stop_signal_parse(const char *text)
{
	char name[SIGNAL_NAME_MAX + 1] = "";
	uint64_t number;

	if (parse_u64(text, 64, &number))
		return number > 0 ? (int)number : -1;
	if (strlen(text) > SIGNAL_NAME_MAX)
		return -1;
	for (size_t i = 0; text[i]; i++)
		name[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
	const char *bare = str_has_prefix(name, "SIG") ? name + strlen("SIG") : name;
	if (str_has_prefix(bare, "RTMIN") || str_has_prefix(bare, "RTMAX"))
		return parse_realtime(bare);
	return parse_name(bare);
}

int stop_signal_number(Cri__Signal asked, const char *image_signal)
{
	const ProtobufCEnumValue *value =
		protobuf_c_enum_descriptor_get_value(&cri__signal__descriptor, (int)asked);
	int number = -1;

	if (asked != CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT && value)
		number = stop_signal_parse(value->name + strlen("SIGNAL_"));
	if (number < 0 && !str_empty(image_signal))
		number = stop_signal_parse(image_signal);
	return number < 0 ? SIGTERM : number;
}

Cri__Signal stop_signal_enum(int number)
{
	for (unsigned int i = 1; i < cri__signal__descriptor.n_values; i++) {
		const ProtobufCEnumValue *value = &cri__signal__descriptor.values[i];

		if (value->value != 0 && stop_signal_parse(value->name + strlen("SIGNAL_")) == number)
			return (Cri__Signal)value->value;
	}
	return CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT;
}
