/*
 * AppArmor and SELinux. Where the host has neither, wishes that only ask for the default are met by doing
 * nothing; where it has AppArmor, whoever names no profile gets the default one (apparmor.h). What
 * names a profile that is not there is refused: a container must not run less confined than it was asked to.
 * SELinux options are without meaning on a host without SELinux: selinux.h.
 */
#include "sandbox/spec_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/selinux.h"

enum { NAME_MAX_BYTES = 1024 };

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

/* RuntimeDefault by name, and not for want of any wish. */
static bool default_asked(const Cri__LinuxContainerSecurityContext *security)
{
	return security && (security->apparmor || str_eq(old_profile(security), "runtime/default"));
}

static const Cri__LinuxContainerSecurityContext *security_of(const struct spec_input *input)
{
	return input->config->linux ? input->config->linux->security_context : NULL;
}

int spec_apparmor_profile(const struct spec_input *input, const struct ctx *ctx, const char **ret,
			  struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security = security_of(input);
	const char *name;
	enum kind kind;

	*ret = NULL;
	if (!input->apparmor || (security && security->privileged))
		return 0;
	if (apparmor_kind(security, &kind, &name, err) < 0 ||
	    (kind == LOCALHOST && apparmor_loaded(name, err) < 0))
		return -1;
	if (kind == DEFAULT && apparmor_default(input->apparmor, ctx, &name, err) < 0)
		return default_asked(security) || !apparmor_may_go_without(input->apparmor, err) ? -1 : 0;
	*ret = kind == UNCONFINED ? "unconfined" : name;
	return 0;
}

int spec_security_check(const struct spec_input *input, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security = security_of(input);
	const char *name;
	enum kind kind;

	if ((security && selinux_check(security->selinux_options, err) < 0) ||
	    apparmor_kind(security, &kind, &name, err) < 0)
		return -1;
	if (kind == LOCALHOST && !input->apparmor && !security->privileged)
		return err_set(err, RPC_FAILED_PRECONDITION, "AppArmor profile %s: this host has no AppArmor",
			       name);
	return 0;
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

void spec_security(struct spec_context *context, json_t *process, json_t *linux_part)
{
	if (context->input->apparmor_profile)
		json_object_set_new(process, "apparmorProfile",
				    spec_text(context, context->input->apparmor_profile));
	if (context->input->host->selinux)
		set_labels(context->input, process, linux_part);
}
