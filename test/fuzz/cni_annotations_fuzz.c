/* floor: cni
 *
 * Annotations about the network, whose values any author of a pod may write: bytes up to the first newline
 * are a bandwidth, the rest asks for addresses. What is accepted is within the bounds.
 */
#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "cni/annotations.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(freep) char *rate = xstrndup((const char *)data, len);
	CLEANUP(json_decrefp) json_t *bandwidth = NULL;
	CLEANUP(json_decrefp) json_t *capabilities = json_object();
	char *newline = strchr(rate, '\n');
	const struct network_annotation annotations[] = {
		{ "kubernetes.io/ingress-bandwidth", rate },
		{ "v1.multus-cni.io/default-network", newline ? newline + 1 : "" },
	};
	struct err err = { 0 };

	if (newline)
		*newline = '\0';
	if (annotations_bandwidth(annotations, 2, &bandwidth, &err) == 0) {
		json_int_t value = json_integer_value(json_object_get(bandwidth, "ingressRate"));
		assert(value >= 1000 && value <= 1000000000000000);
	} else {
		assert(err.code == RPC_INVALID_ARGUMENT);
	}
	if (annotations_addresses(annotations, 2, "net", capabilities, &err) < 0)
		assert(err.code == RPC_INVALID_ARGUMENT);
	else
		assert(json_array_size(json_object_get(capabilities, "ips")) <= ANNOTATIONS_IPS_MAX);
	return 0;
}
