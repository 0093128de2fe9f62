/*
 * AppArmor and SELinux. Where the host has neither, wishes that only ask for the default are met by doing
 * nothing, and what names a profile of its own is refused: a container must not run less confined than it was
 * asked to. SELinux options are without meaning on a host without SELinux: selinux.h.
 */
#include "sandbox/spec_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sandbox/selinux.h"

enum { PROFILES_MAX = 16 * 1024 * 1024, NAME_MAX_BYTES = 1024 };

enum kind { DEFAULT, UNCONFINED, LOCALHOST };

static const char *old_profile(const Cri__LinuxContainerSecurityContext *security)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	return security->apparmor_profile;
#pragma GCC diagnostic pop
}

static const char *bare_name(const char *reference)
{
	return str_has_prefix(reference, "localhost/") ? reference + strlen("localhost/") : reference;
}

static int apparmor_kind(const Cri__LinuxContainerSecurityContext *security, enum kind *ret,
			 const char **ret_name, struct err *err)
{
	const char *old;

	*ret = DEFAULT;
	*ret_name = NULL;
	if (!security)
		return 0;
	if (security->apparmor) {
		const Cri__SecurityProfile *profile = security->apparmor;

		if (profile->profile_type == CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined)
			*ret = UNCONFINED;
		if (profile->profile_type == CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost) {
			*ret = LOCALHOST;
			*ret_name = bare_name(profile->localhost_ref);
		}
	} else {
		old = old_profile(security);
		if (str_eq(old, "unconfined"))
			*ret = UNCONFINED;
		else if (str_has_prefix(old, "localhost/")) {
			*ret = LOCALHOST;
			*ret_name = bare_name(old);
		} else if (!str_empty(old) && !str_eq(old, "runtime/default"))
			return err_set(err, RPC_INVALID_ARGUMENT, "unknown apparmor_profile \"%.64s\"", old);
	}
	if (*ret == LOCALHOST &&
	    (str_empty(*ret_name) || strlen(*ret_name) > NAME_MAX_BYTES || !str_is_printable(*ret_name)))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "AppArmor: the profile's name is empty or malformed");
	return 0;
}

/* The kernel lists each profile as "NAME (MODE)". */
static int check_loaded(const char *name, struct err *err)
{
	CLEANUP(freep) char *list = NULL;
	CLEANUP(freep) char *start = xasprintf("%s (", name);
	char *rest;

	if (file_read_virtual(AT_FDCWD, "/sys/kernel/security/apparmor/profiles", PROFILES_MAX, &list, err) <
	    0)
		return err_prefix(err, "AppArmor");
	for (char *line = strtok_r(list, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (str_has_prefix(line, start))
			return 0;
	return err_set(err, RPC_FAILED_PRECONDITION, "AppArmor profile %s is not loaded", name);
}

int spec_security_check(const struct spec_input *input, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security =
		input->config->linux ? input->config->linux->security_context : NULL;
	const char *name;
	enum kind kind;

	if (security && selinux_check(security->selinux_options, err) < 0)
		return -1;
	if (apparmor_kind(security, &kind, &name, err) < 0)
		return -1;
	if (kind != LOCALHOST || security->privileged)
		return 0;
	if (!input->host->apparmor)
		return err_set(err, RPC_FAILED_PRECONDITION, "AppArmor profile %s: this host has no AppArmor",
			       name);
	return check_loaded(name, err);
}

static void set_labels(const struct spec_input *input, json_t *process, json_t *linux_part)
{
	const struct selinux_request request = { input->settings, input->pod_config, input->config,
						 input->selinux_level };
	struct selinux_labels labels CLEANUP(selinux_labels_done) = { 0 };

	selinux_labels(&request, &labels);
	if (labels.process)
		json_object_set_new(process, "selinuxLabel", json_string(labels.process));
	if (labels.mount)
		json_object_set_new(linux_part, "mountLabel", json_string(labels.mount));
}

int spec_security(struct spec_context *context, json_t *process, json_t *linux_part, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security = context->security;
	const char *name;
	enum kind kind;

	if (apparmor_kind(security, &kind, &name, err) < 0)
		return -1;
	if (context->input->host->apparmor && !context->privileged) {
		if (kind == LOCALHOST)
			json_object_set_new(process, "apparmorProfile", spec_text(context, name));
		if (kind == UNCONFINED)
			json_object_set_new(process, "apparmorProfile", json_string("unconfined"));
	}
	if (context->input->host->selinux)
		set_labels(context->input, process, linux_part);
	return 0;
}
