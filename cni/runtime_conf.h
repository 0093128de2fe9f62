/*
 * What plugins are told of one pod beside their configuration: CNI_ARGS and the capability arguments, by the
 * names of CNI's CONVENTIONS.md and of the other CRI servers (containerd's pod annotations). Pure functions.
 */
#ifndef CNI_RUNTIME_CONF_H
#define CNI_RUNTIME_CONF_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "cni/network.h"

/* "K=V;K=V", malloc'd. INVALID_ARGUMENT when a name of the pod would be taken for more than that. */
int runtime_conf_args(const struct network_pod *pod, char **ret, struct err *err) MUST_CHECK;
/* An object by capability, a new reference; network: the name of the one that the pod joins.
 * INVALID_ARGUMENT when an annotation asks for what cannot be. */
int runtime_conf_capabilities(const struct network_pod *pod, const char *network, json_t **ret,
			      struct err *err) MUST_CHECK;

#endif
