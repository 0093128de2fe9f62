#include "sandbox/apparmor.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/gate.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/str.h"

#define PROFILES "/sys/kernel/security/apparmor/profiles"
/* What is mediated, frozen: a newer AppArmor would also forbid what the rules below say nothing of. */
#define ABI "/etc/apparmor.d/abi/3.0"

enum { PROFILES_MAX = 16 * 1024 * 1024, LABEL_MAX = 4096, OUTPUT_MAX = 4096 };
static const int64_t parser_timeout = 60 * NS_PER_SEC, failure_kept = 5 * NS_PER_SEC;

struct apparmor {
	const struct config *config;
	atomic_bool ours; /* this crispd has loaded the built-in profile */
	atomic_bool complained;
	struct gate gate; /* who loads it */
	/* inside the gate */
	struct err failure;
	int64_t failure_until; /* clock_mono() ns */
};

/*
 * All is allowed but what would reach the host: mounts, the kernel's switches in /proc and /sys, tracing and
 * signalling what is outside. Signals come from the daemon and from runtimes, which some distributions give
 * profiles of their own names.
 */
static const char head[] = "profile " APPARMOR_BUILT_IN " flags=(attach_disconnected,mediate_deleted) {\n"
			   "  network,\n"
			   "  unix,\n"
			   "  capability,\n"
			   "  file,\n"
			   "  umount,\n"
			   "  signal (receive) peer=unconfined,\n"
			   "  signal (receive) peer=crun,\n"
			   "  signal (receive) peer=runc,\n"
			   "  signal (send, receive) peer=" APPARMOR_BUILT_IN ",\n"
			   "  ptrace (trace, read, tracedby, readby) peer=" APPARMOR_BUILT_IN ",\n";

static const char denials[] =
	"  deny mount,\n"
	/* files right in /proc; below it only those of processes, kernel/shm* and other sysctls' k* */
	"  deny /proc/* w,\n"
	"  deny /proc/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,\n"
	"  deny /proc/sys/[^k]** w,\n"
	"  deny /proc/sys/kernel/{?,??,[^s][^h][^m]**} w,\n"
	"  deny /proc/sysrq-trigger rwklx,\n"
	"  deny /proc/kcore rwklx,\n"
	/* nothing in /sys but /sys/fs/cgroup */
	"  deny /sys/[^f]*/** wklx,\n"
	"  deny /sys/f[^s]*/** wklx,\n"
	"  deny /sys/fs/[^c]*/** wklx,\n"
	"  deny /sys/fs/c[^g]*/** wklx,\n"
	"  deny /sys/fs/cg[^r]*/** wklx,\n"
	"  deny /sys/firmware/** rwklx,\n"
	"  deny /sys/devices/virtual/powercap/** rwklx,\n"
	"  deny /sys/kernel/security/** rwklx,\n"
	"}\n";

char *apparmor_built_in_text(const char *daemon_label)
{
	CLEANUP(str_done) struct str text = STR_INIT;

	if (access(ABI, F_OK) == 0)
		str_add(&text, "abi <abi/3.0>,\n");
	str_add(&text, head);
	if (!str_eq(daemon_label, "unconfined"))
		str_addf(&text, "  signal (receive) peer=\"%s\",\n", daemon_label);
	str_add(&text, denials);
	return str_take(&text);
}

static bool enabled(void)
{
	CLEANUP(freep) char *text = NULL;

	return file_read_virtual(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &text, NULL) == 0 &&
	       *text == 'Y';
}

struct apparmor *apparmor_new(const struct config *config)
{
	if (!enabled())
		return NULL;
	struct apparmor *apparmor = xnew(struct apparmor);

	apparmor->config = config;
	gate_init(&apparmor->gate);
	return apparmor;
}

struct apparmor *apparmor_free(struct apparmor *apparmor)
{
	if (apparmor)
		gate_done(&apparmor->gate);
	free(apparmor);
	return NULL;
}

/* The kernel lists each profile as "NAME (MODE)". */
int apparmor_loaded(const char *name, struct err *err)
{
	CLEANUP(freep) char *list = NULL;
	CLEANUP(freep) char *start = xasprintf("%s (", name);
	char *rest;

	if (file_read_virtual(AT_FDCWD, PROFILES, PROFILES_MAX, &list, err) < 0)
		return err_prefix(err, "AppArmor");
	for (char *line = strtok_r(list, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (str_has_prefix(line, start))
			return 0;
	return err_set(err, RPC_FAILED_PRECONDITION, "AppArmor profile %s is not loaded", name);
}

/* This process's, without the mode behind it; a quote would end the rule that it is put in. */
static char *own_label(void)
{
	CLEANUP(freep) char *text = NULL;

	if (file_read_virtual(AT_FDCWD, "/proc/self/attr/current", LABEL_MAX, &text, NULL) < 0 ||
	    strchr(text, '"'))
		return xstrdup("unconfined");
	text[strcspn(text, "\n")] = '\0';
	char *mode = strstr(text, " (");
	if (mode)
		*mode = '\0';
	return TAKE(text);
}

static int load(const struct ctx *ctx, struct err *err)
{
	static const char *const argv[] = { "apparmor_parser", "--replace", "--skip-cache", NULL };
	CLEANUP(freep) char *label = own_label();
	CLEANUP(freep) char *text = apparmor_built_in_text(label);
	CLEANUP(command_result_done) struct command_result result = { 0 };
	const struct command command = { .path = argv[0],
					 .argv = argv,
					 .input = text,
					 .input_len = strlen(text),
					 .stderr_max = OUTPUT_MAX,
					 .timeout = parser_timeout };
	char why[ERR_TEXT_MAX];

	if (command_run(&command, ctx, &result, err) < 0)
		return err_prefix(err, "AppArmor profile " APPARMOR_BUILT_IN);
	if (result.exited && result.status == 0)
		return 0;
	command_result_text(&result, why, sizeof(why));
	return err_set(err, RPC_FAILED_PRECONDITION,
		       "AppArmor profile " APPARMOR_BUILT_IN ": apparmor_parser: %s", why);
}

static bool still_ours(struct apparmor *apparmor)
{
	struct err gone;

	return atomic_load(&apparmor->ours) && apparmor_loaded(APPARMOR_BUILT_IN, &gone) == 0;
}

static int load_in_gate(struct apparmor *apparmor, const struct ctx *ctx, struct err *err)
{
	if (still_ours(apparmor))
		return 0;
	if (clock_mono() < apparmor->failure_until)
		return err_set(err, apparmor->failure.code, "%s", apparmor->failure.text);
	if (load(ctx, err) < 0) {
		if (err->code == RPC_FAILED_PRECONDITION) {
			apparmor->failure = *err;
			apparmor->failure_until = clock_deadline_in(failure_kept);
		}
		return -1;
	}
	atomic_store(&apparmor->ours, true);
	return 0;
}

static int built_in(struct apparmor *apparmor, const struct ctx *ctx, struct err *err)
{
	if (still_ours(apparmor))
		return 0;
	if (gate_enter(&apparmor->gate, ctx, "load the AppArmor profile " APPARMOR_BUILT_IN, err) < 0)
		return -1;
	int status = load_in_gate(apparmor, ctx, err);
	gate_leave(&apparmor->gate);
	return status;
}

static bool is_built_in(const char *name)
{
	return str_eq(name, APPARMOR_BUILT_IN);
}

int apparmor_default(struct apparmor *apparmor, const struct ctx *ctx, const char **ret, struct err *err)
{
	const char *name = apparmor->config->runtime.apparmor_profile;

	if (!str_eq(name, "unconfined") &&
	    (is_built_in(name) ? built_in(apparmor, ctx, err) : apparmor_loaded(name, err)) < 0)
		return -1;
	atomic_store(&apparmor->complained, false);
	*ret = name;
	return 0;
}

bool apparmor_may_go_without(struct apparmor *apparmor, const struct err *why)
{
	if (!is_built_in(apparmor->config->runtime.apparmor_profile) || atomic_load(&apparmor->ours) ||
	    why->code != RPC_FAILED_PRECONDITION)
		return false;
	if (!atomic_exchange(&apparmor->complained, true))
		log_warn("containers that name no AppArmor profile run without one: %s", why->text);
	return true;
}

static void preload(void *data)
{
	const char *name;
	struct err err;

	if (apparmor_default(data, NULL, &name, &err) < 0 && !apparmor_may_go_without(data, &err))
		log_warn("containers that name no AppArmor profile cannot be created: %s", err.text);
}

void apparmor_preload(struct apparmor *apparmor, struct pool *pool)
{
	struct err full; /* the pool: then the first container loads it */

	if (apparmor && pool_run(pool, preload, apparmor, &full) < 0)
		log_debug("%s", full.text);
}

void apparmor_keep(struct apparmor *apparmor)
{
	struct err err;

	if (apparmor && atomic_load(&apparmor->ours) && built_in(apparmor, NULL, &err) < 0 &&
	    !atomic_exchange(&apparmor->complained, true))
		log_warn("%s", err.text);
}
