/*
 * What a registry's error answer says (OCI distribution-spec 1.1, "Error Codes"), as one of our errors. The
 * text is the registry's: bounded, printable, and without queries and user info of URLs, which carry secrets
 * (kubelet CVE-2020-8564).
 */
#ifndef IMAGE_REGISTRY_ERROR_H
#define IMAGE_REGISTRY_ERROR_H

#include "base/ctx.h"
#include "base/err.h"
#include "base/str.h"
#include "image/http.h"

/* Reads the body of http's response, which is not a success. Always -1. */
int registry_error(struct http *http, const struct ctx *ctx, const char *path, struct err *err);
/* Appends text to *out with secrets blanked and unprintable bytes as '?'. */
void registry_redact(const char *text, struct str *out);

#endif
