#include "server/streaming/upgrade.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { STATUS_BAD_REQUEST = 400, STATUS_FORBIDDEN = 403 };

/* In SPDY version 5 is the same as version 4: whichever the client names first is good. */
const char *const upgrade_remote_protocols[] = { "v5.channel.k8s.io", "v4.channel.k8s.io",
						 "v3.channel.k8s.io", "v2.channel.k8s.io",
						 "channel.k8s.io",    NULL };
const char upgrade_forward_protocol[] = "portforward.k8s.io";

struct protocol {
	const char *name;
	int version;
	bool base64;
	bool by_port;
};

static const struct protocol remote_spdy[] = {
	{ "v5.channel.k8s.io", 5, false }, { "v4.channel.k8s.io", 4, false },
	{ "v3.channel.k8s.io", 3, false }, { "v2.channel.k8s.io", 2, false },
	{ "channel.k8s.io", 1, false },    { NULL, 0, false },
};
static const struct protocol remote_websocket[] = {
	{ "v5.channel.k8s.io", 5, false },       { "v4.channel.k8s.io", 4, false },
	{ "v4.base64.channel.k8s.io", 4, true }, { "v3.channel.k8s.io", 3, false },
	{ "v2.channel.k8s.io", 2, false },       { "channel.k8s.io", 1, false },
	{ "base64.channel.k8s.io", 1, true },    { NULL, 0, false },
};
static const struct protocol forward_spdy[] = { { "portforward.k8s.io", 4, false }, { NULL, 0, false } };
static const struct protocol forward_websocket[] = { { "SPDY/3.1+portforward.k8s.io", 4, false },
						     { "v4.channel.k8s.io", 4, false, true },
						     { "v4.base64.channel.k8s.io", 4, true, true },
						     { NULL, 0, false } };

void upgrade_request_done(struct upgrade_request *request)
{
	strv_done(&request->spdy_offers);
	strv_done(&request->websocket_offers);
}

/* Whether one of the words of a list is this one, in whatever case. */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list && *list) {
		size_t part;

		list += strspn(list, " \t,");
		part = strcspn(list, " \t,");
		if (part == len && strncasecmp(list, word, len) == 0)
			return true;
		list += part;
	}
	return false;
}

/* The words of all values in order. */
static void split_offers(const struct strv *values, struct strv *ret)
{
	for (size_t i = 0; i < values->len; i++) {
		const char *at = values->items[i];

		while (*at && ret->len < UPGRADE_OFFERS_MAX) {
			size_t part;

			at += strspn(at, " \t,");
			part = strcspn(at, " \t,");
			if (part)
				strv_add_take(ret, xstrndup(at, part));
			at += part;
		}
	}
}

static const struct protocol *choose(const struct strv *offers, const struct protocol *known)
{
	for (size_t i = 0; i < offers->len; i++)
		for (const struct protocol *protocol = known; protocol->name; protocol++)
			if (str_eq(offers->items[i], protocol->name))
				return protocol;
	return NULL;
}

static int choose_protocol(const struct strv *values, const struct protocol *known, struct upgrade *ret,
			   int *ret_status, struct err *err)
{
	struct strv offers CLEANUP(strv_done) = STRV_INIT;
	const struct protocol *protocol;

	split_offers(values, &offers);
	/* By WebSocket without a name: the first version; ports have a channel each. */
	if (!offers.len && (known == remote_websocket || known == forward_websocket)) {
		ret->version = 1;
		ret->by_port = known == forward_websocket;
		return 0;
	}
	if (!offers.len) {
		*ret_status = STATUS_BAD_REQUEST;
		return err_set(err, RPC_INVALID_ARGUMENT, "the client names no protocol to stream by");
	}
	protocol = choose(&offers, known);
	if (!protocol) {
		*ret_status = STATUS_FORBIDDEN;
		return err_set(err, RPC_INVALID_ARGUMENT, "none of the client's protocols is known: %.200s",
			       offers.items[0]);
	}
	ret->version = protocol->version;
	ret->base64 = protocol->base64;
	ret->by_port = protocol->by_port;
	snprintf(ret->protocol, sizeof(ret->protocol), "%s", protocol->name);
	return 0;
}

int upgrade_choose(const struct upgrade_request *request, bool forward, struct upgrade *ret, int *ret_status,
		   struct err *err)
{
	struct upgrade upgrade = { 0 };
	bool spdy = has_word(request->upgrade, "spdy/3.1");

	upgrade.websocket = has_word(request->upgrade, "websocket");
	*ret_status = STATUS_BAD_REQUEST;
	if (!has_word(request->connection, "upgrade") || spdy == upgrade.websocket)
		return err_set(err, RPC_INVALID_ARGUMENT, "not an upgrade to SPDY/3.1 or WebSocket");
	if (upgrade.websocket &&
	    (str_empty(request->websocket_key) || !has_word(request->websocket_version, "13")))
		return err_set(err, RPC_INVALID_ARGUMENT, "not a WebSocket handshake of version 13");
	if (choose_protocol(spdy ? &request->spdy_offers : &request->websocket_offers,
			    forward ? (spdy ? forward_spdy : forward_websocket)
				    : (spdy ? remote_spdy : remote_websocket),
			    &upgrade, ret_status, err) < 0)
		return -1;
	*ret = upgrade;
	return 0;
}
