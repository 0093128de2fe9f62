/*
 * What a registry's error answer says (OCI distribution-spec 1.1, "Error Codes"), as one of our errors. The
 * text is the registry's: bounded and redacted (image/redact.h).
 */
#ifndef IMAGE_REGISTRY_ERROR_H
#define IMAGE_REGISTRY_ERROR_H

#include "base/ctx.h"
#include "base/err.h"
#include "image/http.h"

/* Reads the body of http's response, which is not a success. Always -1. */
int registry_error(struct http *http, const struct ctx *ctx, const char *path, struct err *err);

#endif
