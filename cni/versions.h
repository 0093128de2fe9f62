/*
 * Which versions of the CNI spec plugins speak (verb VERSION, result "Version" of section 5), and the version
 * to use for a list: the highest that the list offers and all of its plugins speak. Thread-safe.
 */
#ifndef CNI_VERSIONS_H
#define CNI_VERSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cni/conflist.h"
#include "config/config.h"

enum { VERSIONS_MAX = 64 };

/* What a plugin answered to VERSION; the versions are added to ret. INTERNAL when that is no such answer. */
int versions_parse(const char *text, size_t len, struct strv *ret, struct err *err) MUST_CHECK;

/*
 * Asks the list's plugins (not those of address management, which their callers know best), each for at most
 * plugin_timeout. *ret is a new reference: the list itself, or the same at a lower version that it offers.
 * FAILED_PRECONDITION when there is no common version. A plugin that gives no proper answer counts as one
 * that speaks everything: its ADD will tell.
 */
int versions_choose(const struct conflist *list, const struct config_strings *dirs, int64_t plugin_timeout,
		    const struct ctx *ctx, const struct conflist **ret, struct err *err) MUST_CHECK;

#endif
