/*
 * The verbs of a whole network configuration list on one attachment (CNI spec 1.1.0, section 3 "Execution of
 * Network Configurations"): ADD in order, each plugin given the result of the one before; DEL in reverse;
 * CHECK; STATUS; GC.
 *
 * Each call runs one plugin at a time and waits for it, plugin_timeout at most; how long in all is ctx's
 * business. Thread-safe.
 */
#ifndef CNI_CHAIN_H
#define CNI_CHAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "cni/conflist.h"
#include "config/config.h"

struct chain {
	const struct conflist *list;
	const struct config_strings *dirs; /* plugin folders */
	const char *container_id, *netns, *ifname;
	const char *args;           /* CNI_ARGS */
	const json_t *capabilities; /* what runtimeConfig may hold, by capability; may be NULL */
	int64_t plugin_timeout;     /* ns for one call of one plugin */
};

/* *ret is the last plugin's result in the list's version, a new reference. */
int chain_add(const struct chain *chain, const struct ctx *ctx, json_t **ret, struct err *err) MUST_CHECK;
/* prev: the result of ADD, or NULL when there was none. Stops at the first plugin that fails, unless `all`,
 * when the first error is told after every plugin has had its turn. */
int chain_del(const struct chain *chain, const json_t *prev, bool all, const struct ctx *ctx,
	      struct err *err) MUST_CHECK;
/* Does nothing (0) where the list's version has no such verb or the list switches it off. */
int chain_check(const struct chain *chain, const json_t *prev, const struct ctx *ctx,
		struct err *err) MUST_CHECK;
/* Only list, dirs and plugin_timeout are used by these two. attachments: [{"containerID": .., "ifname": ..}],
 * those that are to stay. GC goes on after a failure and tells the first. */
int chain_status(const struct chain *chain, const struct ctx *ctx, struct err *err) MUST_CHECK;
bool chain_has_gc(const struct conflist *list);
int chain_gc(const struct chain *chain, const json_t *attachments, const struct ctx *ctx,
	     struct err *err) MUST_CHECK;

#endif
