/*
 * The multus annotation belongs to others too: what is not an element for our network is passed over,
 * whatever it looks like. In an element that is for us a bad address is an error, as starting the pod with
 * another one would be.
 */
#include "cni/annotations.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "cni/quantity.h"

#define INGRESS "kubernetes.io/ingress-bandwidth"
#define EGRESS "kubernetes.io/egress-bandwidth"
#define DEFAULT_NETWORK "v1.multus-cni.io/default-network"

static const int64_t RATE_MIN = 1000, RATE_MAX = 1000000000000000;
enum { ANNOTATION_MAX = 256 * 1024, MAC_BYTES = 6 };

static const char *find(const struct network_annotation *annotations, size_t len, const char *key)
{
	for (size_t i = 0; i < len; i++)
		if (str_eq(annotations[i].key, key))
			return annotations[i].value;
	return NULL;
}

/* 0 when text is NULL. */
static int parse_rate(const char *key, const char *text, int64_t *ret, struct err *err)
{
	*ret = 0;
	if (!text)
		return 0;
	if (quantity_parse(text, ret, err) < 0)
		return err_prefix(err, "annotation %s", key);
	if (*ret < RATE_MIN || *ret > RATE_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "annotation %s: \"%s\" is unreasonably %s (%s)",
			       key, text, *ret < RATE_MIN ? "small" : "large",
			       *ret < RATE_MIN ? "< 1kbit" : "> 1Pbit");
	return 0;
}

/* The burst is as large as the plugin can take: the rate alone is to be felt. */
static void add_rate(json_t *bandwidth, const char *rate_key, const char *burst_key, int64_t rate)
{
	json_object_set_new(bandwidth, rate_key, json_integer(rate));
	json_object_set_new(bandwidth, burst_key, json_integer(rate ? UINT32_MAX : 0));
}

int annotations_bandwidth(const struct network_annotation *annotations, size_t len, json_t **ret,
			  struct err *err)
{
	const char *ingress_text = find(annotations, len, INGRESS);
	const char *egress_text = find(annotations, len, EGRESS);
	int64_t ingress, egress;

	if (parse_rate(INGRESS, ingress_text, &ingress, err) < 0 ||
	    parse_rate(EGRESS, egress_text, &egress, err) < 0)
		return -1;
	*ret = NULL;
	if (!ingress && !egress)
		return 0;
	*ret = json_object();
	add_rate(*ret, "ingressRate", "ingressBurst", ingress);
	add_rate(*ret, "egressRate", "egressBurst", egress);
	return 0;
}

/* "ADDRESS" or "ADDRESS/PREFIX" */
static bool is_address(const char *text)
{
	const char *slash = strchr(text, '/');
	CLEANUP(freep) char *address = slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup(text);
	struct in6_addr bytes;
	uint64_t prefix;

	if (inet_pton(AF_INET, address, &bytes) == 1)
		return !slash || parse_u64(slash + 1, 32, &prefix);
	return inet_pton(AF_INET6, address, &bytes) == 1 && (!slash || parse_u64(slash + 1, 128, &prefix));
}

/* "c2:11:22:33:44:55" */
static bool is_mac(const char *text)
{
	static const char hex[] = "0123456789abcdefABCDEF";

	for (int i = 0; i < MAC_BYTES; i++, text += 3) {
		char after = i < MAC_BYTES - 1 ? ':' : '\0';
		if (strspn(text, hex) != 2 || text[2] != after)
			return false;
	}
	return true;
}

static int take_ips(const json_t *ips, json_t *capabilities, struct err *err)
{
	size_t i;
	json_t *ip;

	if (!ips || json_is_null(ips))
		return 0;
	if (!json_is_array(ips) || json_array_size(ips) > ANNOTATIONS_IPS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "annotation " DEFAULT_NETWORK ": ips is no list of at most %d addresses",
			       ANNOTATIONS_IPS_MAX);
	json_array_foreach(ips, i, ip)
	{
		const char *text = json_string_value(ip);
		if (!text || !is_address(text))
			return err_set(err, RPC_INVALID_ARGUMENT,
				       "annotation " DEFAULT_NETWORK ": \"%.64s\" is no address",
				       text ? text : "");
	}
	json_object_set(capabilities, "ips", (json_t *)ips);
	return 0;
}

static int take_mac(const json_t *mac, json_t *capabilities, struct err *err)
{
	const char *text = json_string_value(mac);

	if (!mac || json_is_null(mac))
		return 0;
	if (!text || !is_mac(text))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "annotation " DEFAULT_NETWORK ": \"%.64s\" is no MAC address",
			       text ? text : "");
	json_object_set(capabilities, "mac", (json_t *)mac);
	return 0;
}

int annotations_addresses(const struct network_annotation *annotations, size_t len, const char *network,
			  json_t *capabilities, struct err *err)
{
	const char *text = find(annotations, len, DEFAULT_NETWORK);
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct err ignored;

	/* It may also be a bare name, for which there is nothing to do. */
	if (!text || json_parse(text, strlen(text), ANNOTATION_MAX, &json, &ignored) < 0)
		return 0;
	const json_t *element = json_is_array(json) ? json_array_get(json, 0) : json;
	if (!str_eq(json_string_value(json_object_get(element, "name")), network))
		return 0;
	if (take_ips(json_object_get(element, "ips"), capabilities, err) < 0)
		return -1;
	return take_mac(json_object_get(element, "mac"), capabilities, err);
}
