/* The same readers as crispd's own, so that what is told here is what holds there. */
#include "sandbox/host_check.h"

#include <string.h>

#include "config/check_probe.h"
#include "config/program.h"
#include "sandbox/apparmor.h"
#include "sandbox/capabilities.h"
#include "sandbox/cdi.h"
#include "sandbox/doc_dir.h"
#include "sandbox/hooks.h"
#include "sandbox/monitor_cgroup.h"
#include "sandbox/seccomp.h"
#include "sandbox/selinux.h"

struct documents {
	const char *name, *mend, *what;
	const struct config_strings *dirs;
};

static void check_documents(struct check *check, const struct documents *documents, const struct doc_set *set)
{
	CLEANUP(str_done) struct str dirs = STR_INIT;
	CLEANUP(str_done) struct str problems = STR_LIMIT(4096);
	const struct doc *doc;
	size_t good = 0, bad = 0;

	for (size_t i = 0; i < documents->dirs->len; i++)
		str_addf(&dirs, "%s%s", i ? ":" : "", documents->dirs->items[i]);
	for (size_t i = 0; (doc = doc_set_at(set, i)); i++) {
		good += doc->parsed != NULL;
		if (!doc->problem)
			continue;
		bad++;
		str_addf(&problems, "%s%s: %s", problems.len ? "; " : "", doc->path, doc->problem);
	}
	if (bad)
		check_bad(check, CHECK_WARN, documents->name, documents->mend, "%s",
			  problems.failed ? "many files cannot be used" : str_get(&problems));
	else
		check_ok(check, documents->name, "%zu %s in %s", good, documents->what, str_get(&dirs));
}

static void check_cdi(struct check *check)
{
	const struct documents documents = {
		.name = "sandbox.cdi",
		.mend = "mend the files, or generate them anew with the vendor's tool: JSON, of root, writable for "
			"root only",
		.what = "specs",
		.dirs = &check->config->runtime.cdi_spec_dirs,
	};
	struct cdi *cdi = cdi_new(check->config);
	CLEANUP(doc_set_unrefp) struct doc_set *set = cdi_docs(cdi);

	check_documents(check, &documents, set);
	cdi_free(cdi);
}

static void check_hooks(struct check *check)
{
	const struct documents documents = {
		.name = "sandbox.hooks",
		.mend = "mend the files (oci-hooks(5), version 1.0.0): of root, writable for root only",
		.what = "hook files",
		.dirs = &check->config->runtime.hooks_dir,
	};
	struct hooks *hooks = hooks_new(check->config);
	CLEANUP(doc_set_unrefp) struct doc_set *set = hooks_docs(hooks);

	check_documents(check, &documents, set);
	hooks_free(hooks);
}

/* Compiled as for a container with the capabilities that containers have by default. */
static void check_seccomp(struct check *check)
{
	const char *path = check->config->runtime.seccomp_profile;
	const struct capabilities_request asked = { .defaults = &check->config->runtime.default_capabilities,
						    .available = capabilities_available() };
	Cri__LinuxContainerSecurityContext security;
	Cri__SecurityProfile profile = CRI__SECURITY_PROFILE__INIT;
	CLEANUP(seccomp_unrefp) struct seccomp_program *program = NULL;
	struct seccomps *seccomps = seccomps_new(check->config);
	struct capabilities capabilities = { 0 };
	struct err err;

	cri__linux_container_security_context__init(&security);
	security.seccomp = &profile; /* RuntimeDefault */
	struct seccomp_request request = { .security = &security, .bpf = true };
	if (capabilities_resolve(&asked, &capabilities, &err) == 0)
		request.capabilities = capabilities.bounding;
	if (seccomp_get(seccomps, &request, &program, &err) < 0)
		check_bad(check, CHECK_FAIL, "sandbox.seccomp",
			  "mend seccomp_profile in [crisp.runtime], or leave it empty for the built-in one",
			  "%s", err.text);
	else if (seccomp_bpf_base64(program))
		check_ok(check, "sandbox.seccomp", "%s: %zu instructions",
			 *path ? path : "the built-in profile",
			 strlen(seccomp_bpf_base64(program)) / 4 * 3 / 8);
	else
		check_ok(check, "sandbox.seccomp", "%s: left to the runtimes to compile", path);
	seccomps_free(seccomps);
}

static void check_monitor_cgroup(struct check *check)
{
	const struct config_runtimes *runtime = &check->config->runtime;
	CLEANUP(str_done) struct str set = STR_INIT;
	struct err err;

	for (size_t i = 0; i < runtime->runtimes_len; i++)
		if (*runtime->runtimes[i].monitor_cgroup)
			str_addf(&set, "%s%s: %s", set.len ? ", " : "", runtime->runtimes[i].name,
				 runtime->runtimes[i].monitor_cgroup);
	if (monitor_cgroup_check(check->config, &err) < 0)
		check_bad(check, CHECK_FAIL, "sandbox.monitor-cgroup",
			  "\"/path\" with cgroup_manager = \"cgroupfs\", \"name.slice\" with \"systemd\"",
			  "%s", err.text);
	else
		check_ok(check, "sandbox.monitor-cgroup", "%s", set.len ? str_get(&set) : "crispd's own");
}

static void check_selinux(struct check *check)
{
	const struct selinux_request request = { .config = check->config };
	struct selinux_labels labels CLEANUP(selinux_labels_done) = { 0 };

	if (!check->config->runtime.selinux) {
		check_ok(check, "sandbox.selinux", "no labels: selinux = false");
		return;
	}
	if (!selinux_enabled(check->config)) {
		check_ok(check, "sandbox.selinux", "no labels: this host has no SELinux");
		return;
	}
	selinux_labels(&request, &labels);
	check_ok(check, "sandbox.selinux", "processes %s, files %s", labels.process, labels.mount);
}

/* Nothing is loaded here: whether it can be. */
static void check_apparmor(struct check *check)
{
	const char *name = check->config->runtime.apparmor_profile;
	struct apparmor *apparmor = apparmor_new(check->config);
	CLEANUP(freep) char *parser = NULL;
	struct err err;

	if (!apparmor)
		check_ok(check, "sandbox.apparmor", "no profiles: this host has no AppArmor");
	else if (str_eq(name, "unconfined"))
		check_ok(check, "sandbox.apparmor", "apparmor_profile = \"unconfined\"");
	else if (apparmor_loaded(name, &err) == 0)
		check_ok(check, "sandbox.apparmor", "%s", name);
	else if (!str_eq(name, APPARMOR_BUILT_IN))
		check_bad(check, CHECK_FAIL, "sandbox.apparmor",
			  "load it with apparmor_parser, or leave out apparmor_profile in [crisp.runtime]",
			  "%s", err.text);
	else if (program_find("apparmor_parser", &parser, &err) < 0)
		check_bad(check, CHECK_WARN, "sandbox.apparmor",
			  "install the package apparmor, or set apparmor_profile = \"unconfined\" in "
			  "[crisp.runtime]",
			  "containers run without a profile: %s", err.text);
	else
		check_ok(check, "sandbox.apparmor", "%s: loaded by crispd's start", name);
	apparmor_free(apparmor);
}

void host_check(struct check *check)
{
	check_cdi(check);
	check_hooks(check);
	check_seccomp(check);
	check_apparmor(check);
	check_monitor_cgroup(check);
	check_selinux(check);
}
