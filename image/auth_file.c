/* Keys are compared as auth_key() writes them; a lookup walks from host/a/b/c up to host. */
#include "image/auth_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

void auth_answer_done(struct auth_answer *answer)
{
	free(answer->helper);
	free(answer->store);
	credentials_done(&answer->credentials);
	*answer = (struct auth_answer){ 0 };
}

struct raw_entry {
	char *auth, *username, *password, *identity_token, *registry_token;
};

static const struct json_field entry_fields[] = {
	{ "auth", JSON_FIELD_STRING, offsetof(struct raw_entry, auth), 0, NULL, 0 },
	{ "username", JSON_FIELD_STRING, offsetof(struct raw_entry, username), 0, NULL, 0 },
	{ "password", JSON_FIELD_STRING, offsetof(struct raw_entry, password), 0, NULL, 0 },
	{ "identitytoken", JSON_FIELD_STRING, offsetof(struct raw_entry, identity_token), 0, NULL, 0 },
	{ "registrytoken", JSON_FIELD_STRING, offsetof(struct raw_entry, registry_token), 0, NULL, 0 },
	{ 0 },
};

/* True when key is wanted or one of the paths above it. */
static bool covers(const char *key, const char *wanted)
{
	size_t len = strlen(key);

	return len > 0 && strncmp(key, wanted, len) == 0 && (wanted[len] == '\0' || wanted[len] == '/');
}

/* docker leaves empty entries for hosts whose credentials are in a store. */
static bool says_something(const json_t *entry)
{
	return json_is_object(entry) && json_object_size(entry) > 0;
}

static const json_t *best_entry(json_t *auths, const char *wanted)
{
	const json_t *best = NULL;
	size_t best_len = 0;
	const char *key;
	json_t *value;

	json_object_foreach(auths, key, value)
	{
		CLEANUP(freep) char *normal = auth_key(key);

		if (says_something(value) && covers(normal, wanted) && strlen(normal) > best_len) {
			best = value;
			best_len = strlen(normal);
		}
	}
	return best;
}

static int decode_entry(const json_t *entry, struct credentials *ret, struct err *err)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct raw_entry raw = { 0 };
	struct image_auth auth;

	if (json_decode(entry, entry_fields, &raw, arena, err) < 0)
		return -1;
	auth = (struct image_auth){ .username = raw.username,
				    .password = raw.password,
				    .auth = raw.auth,
				    .identity_token = raw.identity_token,
				    .registry_token = raw.registry_token };
	return credentials_collect(&auth, ret, err);
}

static char *text_of(const json_t *value)
{
	const char *text = json_string_value(value);

	return str_empty(text) ? NULL : xstrdup(text);
}

/* credHelpers has whole hosts as keys. */
static char *helper_of(json_t *helpers, const char *host)
{
	const char *key;
	json_t *value;

	json_object_foreach(helpers, key, value)
	{
		CLEANUP(freep) char *normal = auth_key(key);

		if (str_eq(normal, host))
			return text_of(value);
	}
	return NULL;
}

static int decode(json_t *json, const char *host, const char *wanted, struct auth_answer *answer,
		  struct err *err)
{
	json_t *auths = json_object_get(json, "auths"), *helpers = json_object_get(json, "credHelpers");
	const json_t *entry;

	if (!json_is_object(json) || (auths && !json_is_object(auths)) ||
	    (helpers && !json_is_object(helpers)))
		return err_set(err, RPC_INVALID_ARGUMENT, "not an auth file: an object is expected");
	answer->helper = helper_of(helpers, host);
	answer->store = text_of(json_object_get(json, "credsStore"));
	entry = best_entry(auths, wanted);
	return entry ? decode_entry(entry, &answer->credentials, err) : 0;
}

int auth_file_look_up(const char *text, size_t len, const char *host, const char *repository,
		      struct auth_answer *ret, struct err *err)
{
	CLEANUP(freep) char *name = auth_key(host);
	CLEANUP(freep) char *wanted = xasprintf("%s/%s", name, repository);
	CLEANUP(auth_answer_done) struct auth_answer answer = { 0 };
	CLEANUP(json_decrefp) json_t *json = NULL;

	if (json_parse(text, len, AUTH_FILE_MAX, &json, err) < 0 ||
	    decode(json, name, wanted, &answer, err) < 0)
		return -1;
	*ret = answer;
	answer = (struct auth_answer){ 0 };
	return 0;
}
