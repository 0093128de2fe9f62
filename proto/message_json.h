/*
 * Protobuf messages as JSON and back, by reflection, in protobuf's own JSON mapping
 * (https://protobuf.dev/programming-guides/json/): for state on disk, verbose status and logs.
 *
 * Writing: lowerCamelCase names, enums by name (by number when unknown), 64-bit integers as strings, bytes as
 * base64, maps as objects, non-finite doubles as "NaN", "Infinity", "-Infinity"; fields at their default are
 * left out. Secrets (AuthConfig: password, auth, identity_token, registry_token, credentials within
 * server_address) are replaced by "<redacted>" unless they are asked for. Text that is not UTF-8 gets U+FFFD
 * in place of the bad bytes.
 *
 * Reading: what writing yields comes back exactly (message_equal()), except for unknown fields and what was
 * redacted, shortened or mended. Names are taken as lowerCamelCase or as in cri.proto, enums by name or
 * number, integers as numbers or decimal strings, null as absent.
 *
 * Ownership: json_t results are new references; messages live in the arena given, see proto/message.h.
 * Threads: as jansson (one thread a document) and message.h.
 */
#ifndef PROTO_MESSAGE_JSON_H
#define PROTO_MESSAGE_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/err.h"

enum message_json_flags {
	MESSAGE_JSON_ALL = 1, /* write defaults too: 0, "", [], {}, and null for absent messages */
	MESSAGE_JSON_SHORT =
		2, /* for logs: long text and lists are cut, bytes (environment values!) only counted */
	MESSAGE_JSON_SECRETS = 4, /* write secrets: only for what is sent on to where they belong */
	MESSAGE_JSON_STRICT = 8,  /* reading: unknown keys are refused, not ignored */
};

json_t *message_to_json(const ProtobufCMessage *message, unsigned int flags) __attribute__((returns_nonnull));
/* Compact text of message_to_json(), malloc'd. */
char *message_json_text(const ProtobufCMessage *message, unsigned int flags) __attribute__((returns_nonnull));

/*
 * RPC_INVALID_ARGUMENT, naming the path ("PodSandboxConfig.linux.resources.hugepageLimits[2].limit: ..."),
 * for a wrong type, a number out of range, an unknown enum name, bad base64, NUL in text, a field given under
 * both its names; RPC_RESOURCE_EXHAUSTED past the arena's limit.
 */
int message_from_json(const ProtobufCMessageDescriptor *desc, const json_t *json, unsigned int flags,
		      struct arena *arena, ProtobufCMessage **ret, struct err *err)
	__attribute__((warn_unused_result));

#endif
