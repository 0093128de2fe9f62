/*
 * Runtime verbs through base/spawn, and the reading of their error output.
 *
 * crun writes "2026-11-22T03:40:00.123456Z: text" where it logs and bare text elsewhere, runc `time="..."
 * level=error msg="text"` and plain lines. The last line with content is the error; those before are
 * warnings.
 */
#include "conmon/verb.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/complaint.h"
#include "base/clock.h"
#include "base/step.h"

static const char *const verbs[] = { "create", "start", "kill", "delete", "update", "other" };

METRIC(metric_runtime_latency, ARRAY_LEN(verbs) * METRIC_HISTOGRAM_CELLS,
       .name = "runtime_operations_latency_seconds", .help = "Time that calls of OCI runtimes took, by verb.",
       METRIC_TIME, .labels = { { "verb", verbs, ARRAY_LEN(verbs) } });
METRIC(metric_runtime_errors, ARRAY_LEN(verbs), .name = "runtime_operations_errors_total",
       .help = "Calls of OCI runtimes that failed, by verb.", .type = METRIC_COUNTER,
       .labels = { { "verb", verbs, ARRAY_LEN(verbs) } });

void verb_count(const char *verb, int64_t began, bool failed)
{
	size_t at = metric_label_index(&metric_runtime_latency.labels[0], verb);
	char name[32];

	metric_observe_at(&metric_runtime_latency, at, 0, (uint64_t)(clock_mono() - began));
	if (failed)
		metric_add_at(&metric_runtime_errors, at, 0, 1);
	snprintf(name, sizeof(name), "runtime %.20s", verb);
	step_ended(name, NULL, began, failed);
}

void verb_argv(const struct runtime_target *target, struct strv *argv)
{
	strv_add(argv, target->handler->path);
	strv_addf(argv, "--root=%s", target->handler->root);
	if (target->systemd_cgroup)
		strv_add(argv, "--systemd-cgroup");
}

/* Start and length of the last line that holds more than spaces. */
static const char *last_line(const char *output, size_t *ret_len)
{
	size_t end = strlen(output);
	size_t start;

	while (end > 0 && isspace((unsigned char)output[end - 1]))
		end--;
	for (start = end; start > 0 && output[start - 1] != '\n'; start--)
		;
	*ret_len = end - start;
	return output + start;
}

/* Skips "2026-11-22T03:40:00.123456Z: ". */
static const char *skip_timestamp(const char *line, const char *end)
{
	const char *z = memchr(line, 'Z', (size_t)(end - line));

	if (!z || z - line < 19 || z - line > 32 || end - z < 3 || z[1] != ':' || z[2] != ' ' ||
	    line[4] != '-' || line[10] != 'T')
		return line;
	return z + 3;
}

/* Copies up to the closing quote, taking backslashes off. */
static void copy_quoted(const char *from, const char *end, char *text, size_t size)
{
	size_t len = 0;

	for (; from < end && *from != '"' && len + 1 < size; from++) {
		if (*from == '\\' && from + 1 < end)
			from++;
		text[len++] = *from;
	}
	text[len] = '\0';
}

void verb_message(const char *output, char *text, size_t size)
{
	static const char wrapped[] = "msg=\"";
	size_t len;
	const char *line = last_line(output, &len);
	const char *end = line + len;
	const char *message = len ? memmem(line, len, wrapped, sizeof(wrapped) - 1) : NULL;

	if (message && str_has_prefix(line, "time=")) {
		copy_quoted(message + sizeof(wrapped) - 1, end, text, size);
	} else {
		line = len ? skip_timestamp(line, end) : line;
		snprintf(text, size, "%.*s", (int)(end - line), line);
	}
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* runc: `[...] unable to start container process: exec: "NAME": REASON`, from 1.2 on with "error during
 * container init" in between, before 1.1 `starting container process caused: exec: "NAME": REASON`. A hook
 * that cannot be run is told in other words. */
static const char *runc_problem(const char *message)
{
	static const char *const openings[] = { "container process: exec: \"", "container init: exec: \"",
						"container process caused: exec: \"" };

	for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
		const char *name = strstr(message, openings[i]);
		const char *end = name ? strstr(name + strlen(openings[i]), "\": ") : NULL;

		if (end)
			return end + strlen("\": ");
	}
	return NULL;
}

/* What follows "OPENING`NAME`"; NULL: it is something else. */
static const char *after_name(const char *message, const char *opening, const char **ret_name,
			      size_t *ret_len)
{
	if (!str_has_prefix(message, opening) || message[strlen(opening)] != '`')
		return NULL;
	*ret_name = message + strlen(opening) + 1;
	const char *end = strchr(*ret_name, '`');
	if (!end)
		return NULL;
	*ret_len = (size_t)(end - *ret_name);
	return end + 1;
}

/* A relative one is told with the folder it was looked for in. */
static bool is_program(const char *name, size_t len, const char *program)
{
	size_t wanted = program ? strlen(program) : 0;

	return wanted && len >= wanted && memcmp(name + len - wanted, program, wanted) == 0;
}

/*
 * crun: "executable file `NAME` not found in $PATH: REASON" for whatever cannot be found, and "open
 * executable: REASON". Newer ones (1.21 is) leave out $PATH where it was not asked, and say "the path `NAME`
 * exists but it is not executable: REASON", "the path `NAME` is not a regular file: REASON" "cannot open
 * `NAME`: REASON" or "open `NAME`: REASON", which they also say of other files.
 */
static const char *crun_problem(const char *message, const char *program)
{
	static const char closed[] = "open executable: ";
	static const char *const absent[] = { " not found in $PATH: ", " not found: " };
	const char *name, *rest;
	size_t len;

	if ((rest = after_name(message, "executable file ", &name, &len)))
		for (size_t i = 0; i < ARRAY_LEN(absent); i++)
			if (str_has_prefix(rest, absent[i]))
				return rest + strlen(absent[i]);
	if ((rest = after_name(message, "the path ", &name, &len)) &&
	    (str_has_prefix(rest, " exists but it is not executable") ||
	     str_has_prefix(rest, " is not a regular file")))
		return rest + 1;
	if (((rest = after_name(message, "cannot open ", &name, &len)) ||
	     (rest = after_name(message, "open ", &name, &len))) &&
	    is_program(name, len, program) && str_has_prefix(rest, ": "))
		return rest + 2;
	return str_has_prefix(message, closed) ? message + strlen(closed) : NULL;
}

const char *verb_program_problem(const char *message, const char *program)
{
	const char *problem = crun_problem(message, program);

	return problem ? problem : runc_problem(message);
}

static int run_fed(const struct runtime_target *target, const char *const *words, const char *input,
		   const struct ctx *ctx, struct err *err)
{
	struct command_result result CLEANUP(command_result_done) = { 0 };
	struct strv argv CLEANUP(strv_done) = STRV_INIT;
	char text[800];

	verb_argv(target, &argv);
	for (size_t i = 0; words[i]; i++)
		strv_add(&argv, words[i]);
	struct command command = { .path = target->handler->path,
				   .argv = (const char *const *)argv.items,
				   .input = input,
				   .input_len = input ? strlen(input) : 0,
				   .stdout_max = VERB_STDERR_MAX,
				   .stderr_max = VERB_STDERR_MAX,
				   .timeout = target->config->runtime.runtime_timeout };
	if (command_run(&command, ctx, &result, err) < 0)
		return err_prefix(err, "%s %s", target->handler->name, words[0]);
	if (result.exited && result.status == 0)
		return 0;
	verb_message(str_get(&result.err_out), text, sizeof(text));
	if (!*text)
		command_result_text(&result, text, sizeof(text));
	return err_set(err, complaint_code(text), "%s %s: %s", target->handler->name, words[0], text);
}

int verb_run_fed(const struct runtime_target *target, const char *const *words, const char *input,
		 const struct ctx *ctx, struct err *err)
{
	int64_t began = clock_mono();
	int failed = run_fed(target, words, input, ctx, err);

	verb_count(words[0], began, failed);
	return failed;
}

int verb_run(const struct runtime_target *target, const char *const *words, const struct ctx *ctx,
	     struct err *err)
{
	return verb_run_fed(target, words, NULL, ctx, err);
}
