/*
 * containers-policy.json(5): which images may be pulled. For transport "docker", the longest scope decides:
 * the reference itself (host/repository:tag, or host/repository@digest), its repository, the namespaces
 * above, the host[:port], "*.domain" wildcards, the transport's default "", the file's "default". All
 * requirements of that scope must hold.
 *
 * insecureAcceptAnything and reject are obeyed. signedBy, sigstoreSigned and signedBaseLayer demand what
 * can't be checked here yet: they refuse. A file that can't be read or holds anything unknown refuses every
 * pull: nothing is accepted by accident.
 *
 * An immutable value of the thread that loaded it.
 */
#ifndef IMAGE_POLICY_H
#define IMAGE_POLICY_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "image/reference.h"

#define POLICY_FILE "/etc/containers/policy.json"

enum { POLICY_SIZE_MAX = 4 * 1024 * 1024, POLICY_SCOPES_MAX = 10000, POLICY_REQUIREMENTS_MAX = 100 };

struct policy;

/* path: "" means POLICY_FILE, which need not exist: *ret is then NULL, and everything is accepted. UNKNOWN,
 * with a text that begins with SignatureValidationFailed, when it can't be used. */
int policy_load(const char *path, struct policy **ret, struct err *err) MUST_CHECK;
/* name: for messages. */
int policy_parse(const char *text, size_t len, const char *name, struct policy **ret,
		 struct err *err) MUST_CHECK;
struct policy *policy_free(struct policy *policy); /* accepts NULL, returns NULL */
void policy_freep(struct policy **policy);

/*
 * 0 when the image may be pulled: repository is the full name of what reference means. Else UNKNOWN with a
 * text that begins with SignatureValidationFailed and names the scope that decided. That code, of all, since
 * the kubelet looks for the word at the beginning of the whole error, and its client puts "rpc error: code =
 * ..." before any other (kubelet, cri-client remote_image.go, images/image_manager.go).
 */
int policy_check(const struct policy *policy, const char *repository, const struct reference *reference,
		 struct err *err) MUST_CHECK;

#endif
