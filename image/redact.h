/*
 * Text that others wrote (registries, credential helpers) made fit for errors and logs: URLs lose user info,
 * query and fragment, which is where secrets are (kubelet CVE-2020-8564), credentials of an Authorization
 * header are blanked, and what is not printable ASCII becomes '?' or a space.
 */
#ifndef IMAGE_REDACT_H
#define IMAGE_REDACT_H

#include "base/str.h"

/* Appends the redacted text to *out. */
void redact(const char *text, struct str *out);

#endif
