/*
 * The "info" of a verbose Status: JSON texts by name, as crictl info shows them.
 *
 *   config    the effective configuration; rootDir and stateDir are where crispd keeps things
 *   network   CNI: what network_info() tells, and the pod CIDR kubelet sent
 *   handlers  every configured runtime handler, also the unusable ones, with its features
 *   versions  of crispd, gRPC and the kernel
 */
#ifndef SERVER_STATUS_INFO_H
#define SERVER_STATUS_INFO_H

#include <stddef.h>

#include "server/service.h"

enum {
	STATUS_INFO_CONFIG,
	STATUS_INFO_NETWORK,
	STATUS_INFO_HANDLERS,
	STATUS_INFO_VERSIONS,
	STATUS_INFO_COUNT
};

extern const char *const status_info_names[STATUS_INFO_COUNT];

char *status_info(struct service *service, size_t which); /* malloc'd */

#endif
