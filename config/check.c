/*
 * The report and its two forms of output. The probes are called in the order in which an operator would mend
 * what they find: kernel, process, cgroups, storage, programs, network.
 */
#include "config/check.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "config/check_probe.h"

struct check_report {
	struct arena *arena;
	struct check_finding *findings;
	size_t len;
};

static const char *const status_names[] = { [CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail" };

struct check_report *check_host(const struct check_options *options)
{
	struct check_report *report = xnew(struct check_report);
	struct check check = {
		.config = options->config,
		.ctx = options->ctx,
		.root = options->root ? options->root : "",
		.report = report,
	};

	assert(options->config);
	report->arena = arena_new(0);
	check_kernel(&check);
	check_process(&check);
	check_cgroups(&check);
	check_storage(&check);
	check_programs(&check);
	check_network(&check);
	check_registries(&check);
	for (size_t i = 0; options->more && options->more[i]; i++)
		options->more[i](&check);
	return report;
}

struct check_report *check_free(struct check_report *report)
{
	if (!report)
		return NULL;
	free(report->findings);
	arena_free(report->arena);
	free(report);
	return NULL;
}

void check_freep(struct check_report **report)
{
	check_free(*report);
}

static void __attribute__((format(printf, 3, 0)))
add(struct check_report *report, const struct check_finding *finding, const char *fmt, va_list args)
{
	CLEANUP(freep) char *seen = xvasprintf(fmt, args);

	report->findings = xrealloc(report->findings, report->len + 1, sizeof(*finding));
	report->findings[report->len++] = (struct check_finding){
		.name = arena_strdup(report->arena, finding->name),
		.status = finding->status,
		.seen = arena_strdup(report->arena, seen),
		.mend = arena_strdup(report->arena, finding->mend),
	};
}

void check_ok(struct check *check, const char *name, const char *seen, ...)
{
	va_list args;

	va_start(args, seen);
	add(check->report, &(struct check_finding){ name, CHECK_OK, NULL, "" }, seen, args);
	va_end(args);
}

void check_bad(struct check *check, enum check_status status, const char *name, const char *mend,
	       const char *seen, ...)
{
	va_list args;

	va_start(args, seen);
	add(check->report, &(struct check_finding){ name, status, NULL, mend }, seen, args);
	va_end(args);
}

char *check_read(const struct check *check, const char *path)
{
	CLEANUP(freep) char *full = xasprintf("%s%s", check->root, path);
	char *text;

	if (file_read_virtual(AT_FDCWD, full, 1024 * 1024, &text, NULL) < 0)
		return NULL;
	for (size_t len = strlen(text); len > 0 && strchr(" \t\n", text[len - 1]); len--)
		text[len - 1] = '\0';
	return text;
}

const struct check_finding *check_findings(const struct check_report *report, size_t *ret_len)
{
	*ret_len = report->len;
	return report->findings;
}

const struct check_finding *check_find(const struct check_report *report, const char *name)
{
	for (size_t i = 0; i < report->len; i++)
		if (str_eq(report->findings[i].name, name))
			return &report->findings[i];
	return NULL;
}

size_t check_count(const struct check_report *report, enum check_status status)
{
	size_t count = 0;

	for (size_t i = 0; i < report->len; i++)
		count += report->findings[i].status == status;
	return count;
}

void check_print_text(const struct check_report *report, struct str *out)
{
	for (size_t i = 0; i < report->len; i++) {
		const struct check_finding *finding = &report->findings[i];

		str_addf(out, "%-4s  %-24s %s\n", status_names[finding->status], finding->name,
			 finding->seen);
		if (*finding->mend)
			str_addf(out, "      %-24s -> %s\n", "", finding->mend);
	}
	str_addf(out, "%zu ok, %zu warnings, %zu failures\n", check_count(report, CHECK_OK),
		 check_count(report, CHECK_WARN), check_count(report, CHECK_FAIL));
}

/* What programs print need not be UTF-8, which JSON demands. */
static json_t *json_of(const char *text)
{
	json_t *json = json_string(text);

	return json ? json : json_string("(not valid UTF-8)");
}

void check_print_json(const struct check_report *report, struct str *out)
{
	CLEANUP(json_decrefp) json_t *root = json_object();
	json_t *list = json_array();

	json_object_set_new(root, "findings", list);
	for (size_t i = 0; i < report->len; i++) {
		const struct check_finding *finding = &report->findings[i];
		json_t *item = json_object();

		json_object_set_new(item, "name", json_of(finding->name));
		json_object_set_new(item, "status", json_of(status_names[finding->status]));
		json_object_set_new(item, "seen", json_of(finding->seen));
		json_object_set_new(item, "mend", json_of(finding->mend));
		json_array_append_new(list, item);
	}
	for (size_t status = 0; status < ARRAY_LEN(status_names); status++)
		json_object_set_new(root, status_names[status],
				    json_integer((json_int_t)check_count(report, (enum check_status)status)));
	CLEANUP(freep) char *text = json_text(root);
	str_add(out, text);
	str_addc(out, '\n');
}
