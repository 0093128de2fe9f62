/*
 * crispd check: what this host can and cannot do, and how to mend it. Exit status 1 when pods can't be run
 * here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "config/check.h"
#include "sandbox/host_check.h"
#include "server/cmd.h"
#include "server/options.h"

/* For all programs it runs together; none of them should take a second. */
#define PATIENCE (60 * NS_PER_SEC)

static void (*const more[])(struct check *check) = { host_check, NULL };

static int report(const struct config *config, bool json)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(check_freep) struct check_report *report = NULL;
	struct ctx ctx;

	ctx_init(&ctx, clock_deadline_in(PATIENCE));
	report = check_host(&(struct check_options){ .config = config, .ctx = &ctx, .more = more });
	ctx_done(&ctx);
	if (json)
		check_print_json(report, &text);
	else
		check_print_text(report, &text);
	if (fputs(str_get(&text), stdout) == EOF || fflush(stdout) == EOF) {
		perror("crispd: write");
		return EXIT_FAILURE;
	}
	return check_count(report, CHECK_FAIL) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check(int argc, char **argv)
{
	CLEANUP(options_done) struct options options = { 0 };
	CLEANUP(config_unrefp) struct config *config = NULL;
	struct err err = { 0 };

	if (options_parse(argc, argv, OPTIONS_JSON, &options, &err) < 0) {
		fprintf(stderr, "crispd check: %s\n", err.text);
		return CMD_USAGE;
	}
	if (options.help) {
		printf("usage: crispd check [--json] [OPTIONS]\n\n"
		       "Says what this host can and cannot do, and how to mend it.\n\n"
		       "options:\n      --json              for scripts\n%s",
		       options_help);
		return EXIT_SUCCESS;
	}
	if (config_load(&options.paths, &config, &err) < 0) {
		fprintf(stderr, "crispd: %s\n", err.text);
		return EXIT_FAILURE;
	}
	return report(config, options.json);
}

const struct cmd cmd_check = { .name = "check", .summary = "say what this host can do", .run = check };
