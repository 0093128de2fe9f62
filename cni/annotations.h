/*
 * What a pod's annotations ask of its network.
 *
 *   kubernetes.io/ingress-bandwidth, kubernetes.io/egress-bandwidth    quantities of bits per second, 1k to
 * 1P (bounds: kubelet's pkg/util/bandwidth): capability "bandwidth" v1.multus-cni.io/default-network    the
 * elements of the Network Plumbing Working Group's "Kubernetes Network Custom Resource Definition De-facto
 * Standard" v1: "ips" and "mac" of the one with our network's name: capabilities "ips" and "mac"
 *
 * Pods' authors write annotations; a plugin sees what comes of them only when its configuration asks for the
 * capability. Pure functions.
 */
#ifndef CNI_ANNOTATIONS_H
#define CNI_ANNOTATIONS_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct network_annotation {
	const char *key, *value;
};

enum { ANNOTATIONS_IPS_MAX = 16 };

/* *ret: the capability's value, a new reference; NULL when not asked for. INVALID_ARGUMENT. */
int annotations_bandwidth(const struct network_annotation *annotations, size_t len, json_t **ret,
			  struct err *err) MUST_CHECK;
/* Adds "ips" and "mac" to capabilities when they are asked for. INVALID_ARGUMENT. */
int annotations_addresses(const struct network_annotation *annotations, size_t len, const char *network,
			  json_t *capabilities, struct err *err) MUST_CHECK;

#endif
