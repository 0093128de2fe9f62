/* floor: cni
 *
 * What a plugin printed after ADD. Addresses that come out of it are addresses: fit for a line of /etc/hosts.
 */
#include <arpa/inet.h>
#include <assert.h>

#include "base/str.h"
#include "cni/result.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP(json_decrefp) json_t *result = NULL;
	CLEANUP(strv_done) struct strv ips = STRV_INIT;
	struct in6_addr address;
	struct err err = { 0 };

	if (result_parse((const char *)data, len, "1.0.0", &result, &err) < 0 ||
	    result_ips(result, &ips, &err) < 0) {
		assert(err.code == RPC_INTERNAL && ips.len == 0);
		return 0;
	}
	assert(ips.len <= RESULT_IPS_MAX);
	for (size_t i = 0; i < ips.len; i++)
		assert(inet_pton(AF_INET, ips.items[i], &address) == 1 ||
		       inet_pton(AF_INET6, ips.items[i], &address) == 1);
	return 0;
}
