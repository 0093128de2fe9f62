/*
 * The body is {"errors":[{"code":..,"message":..}]}; only the first entry is shown. Anything else (a proxy's
 * HTML) is not shown at all: the status says enough.
 */
#include "image/registry_error.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "image/redact.h"

enum { ERROR_BODY_MAX = 64 * 1024, ERROR_TEXT_MAX = 300 };

struct entry {
	char *code, *message;
};

static const struct json_field entry_fields[] = {
	{ "code", JSON_FIELD_STRING, offsetof(struct entry, code), 0, NULL, 0 },
	{ "message", JSON_FIELD_STRING, offsetof(struct entry, message), 0, NULL, 0 },
	{ 0 },
};

struct answer {
	struct json_array errors;
};

static const struct json_field answer_fields[] = {
	{ "errors", JSON_FIELD_ARRAY, offsetof(struct answer, errors), 0, entry_fields,
	  sizeof(struct entry) },
	{ 0 },
};

static enum rpc_code code_of(int status)
{
	switch (status) {
	case 401:
		return RPC_UNAUTHENTICATED;
	case 403:
		return RPC_PERMISSION_DENIED;
	case 404:
		return RPC_NOT_FOUND;
	default:
		return RPC_UNAVAILABLE;
	}
}

static void describe(const struct str *body, struct str *out)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct answer answer = { 0 };
	const struct entry *first;
	struct err ignored;

	if (json_parse(str_get(body), body->len, ERROR_BODY_MAX, &json, &ignored) < 0 ||
	    !json_is_object(json) || json_decode(json, answer_fields, &answer, arena, &ignored) < 0 ||
	    answer.errors.len == 0)
		return;
	first = answer.errors.items;
	str_add(out, ": ");
	redact(first->code ? first->code : "", out);
	if (!str_empty(first->message)) {
		str_add(out, ": ");
		redact(first->message, out);
	}
}

int registry_error(struct http *http, const struct ctx *ctx, const char *path, struct err *err)
{
	const struct http_response *response = http_response(http);
	CLEANUP(str_done) struct str body = STR_INIT;
	CLEANUP(str_done) struct str text = STR_LIMIT(ERROR_TEXT_MAX);
	struct err broken;

	if (http_read_all(http, ctx, ERROR_BODY_MAX, &body, &broken) == 0)
		describe(&body, &text);
	return err_set(err, code_of(response->status), "%s answered %d to %s%s", response->host,
		       response->status, path, str_get(&text));
}
