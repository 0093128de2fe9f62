/*
 * The pod network: CNI network configuration lists, plugins, results, cache and readiness
 * (CNI spec 0.3.1 to 1.1.0, https://www.cni.dev/docs/spec/).
 *
 * A network handle watches the configuration folders on the event loop; the chosen list is an immutable
 * snapshot that calls hold while they work. Each ADD is cached on disk
 * (<cache_dir>/results/<network>-<id>-<ifname>, libcni's format), so DEL uses the configuration that ADD
 * used, also after the list has changed or crispd was restarted. lo is brought up by crisp-pause, not by a
 * plugin. All functions are thread-safe; attach and detach wait for plugins (bounded by ctx as a whole, by
 * cni_timeout each).
 */
#ifndef CNI_NETWORK_H
#define CNI_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cni/annotations.h"
#include "config/config.h"

struct network;

struct network_port {
	const char *protocol; /* "tcp", "udp", "sctp" */
	const char *host_ip;  /* may be "" */
	int32_t container_port, host_port;
};

struct network_pod {
	const char *id;                     /* CNI_CONTAINERID, also K8S_POD_INFRA_CONTAINER_ID */
	const char *name, *namespace, *uid; /* K8S_POD_NAME, .. */
	const char *netns;                  /* path: CNI_NETNS; may be "" for detach when it is gone */
	const char *cgroup_parent;          /* capability cgroupPath; may be "" */
	const struct network_port *ports;   /* only those with a host port */
	size_t ports_len;
	const struct network_dns *dns;                /* capability dns; may be NULL */
	const struct network_annotation *annotations; /* cni/annotations.h; may be NULL */
	size_t annotations_len;
};

struct network_dns {
	const char *const *servers, *const *searches, *const *options; /* NULL-terminated; may be NULL */
};

struct network_result {
	struct strv ips; /* of the pod's eth0 without prefix length, the primary first (IPv4 before IPv6) */
	char *json;      /* the last plugin's result */
};
void network_result_done(struct network_result *result); /* also for CLEANUP */

/* loop: not yet running, or called on its thread. Creates missing cache folders. No configuration is no
 * error. */
struct network *network_open(const struct config *config, struct loop *loop, struct err *err);
struct network *network_free(struct network *network);

/* CRI NetworkReady. When false: reason ("NetworkPluginNotReady") and message say why; both malloc'd. */
bool network_ready(struct network *network, char **ret_reason, char **ret_message);
/* For verbose Status: what was found, in which file, which plugins; a new reference. */
struct json_t *network_info(struct network *network);

/* ADD of the whole list; on failure everything done is undone with DEL. UNAVAILABLE when there is no usable
 * network configuration; else the plugin's own message in the text. */
int network_attach(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		   struct network_result *ret, struct err *err) MUST_CHECK;
/* CHECK with what ADD had: 0 too where the network's version has no CHECK or nothing is cached. */
int network_check(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		  struct err *err) MUST_CHECK;
/* Releases what belongs to no pod of ids: DEL for attachments that were in the cache when the network was
 * opened, then the verb GC where the plugins have it. Pods that are attached meanwhile need not be among ids.
 * All is tried; the first failure is told. */
int network_gc(struct network *network, const struct ctx *ctx, const struct strv *ids,
	       struct err *err) MUST_CHECK;
/* DEL from the cache entry (nothing cached: from the current list, or success when there is none).
 * Idempotent. */
int network_detach(struct network *network, const struct ctx *ctx, const struct network_pod *pod,
		   struct err *err) MUST_CHECK;

#endif
