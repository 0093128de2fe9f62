/*
 * A GET of realm?service=..&scope=.. with Basic credentials if there are any; with an identity token, a POST
 * of the OAuth 2 form instead. The answer's `token` (or `access_token`) must be printable text without
 * spaces: it goes into a header.
 */
#include "image/token.h"

#include <curl/curl.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "image/origin.h"

enum { LIFETIME_DEFAULT = 60, LIFETIME_MAX = 3600 }; /* seconds; the first is the specification's */

struct answer {
	char *token, *access_token;
	int64_t expires_in; /* seconds */
};

static const struct json_field answer_fields[] = {
	{ "token", JSON_FIELD_STRING, offsetof(struct answer, token), 0, NULL, 0 },
	{ "access_token", JSON_FIELD_STRING, offsetof(struct answer, access_token), 0, NULL, 0 },
	{ "expires_in", JSON_FIELD_INT, offsetof(struct answer, expires_in), 0, NULL, 0 },
	{ 0 },
};

static void wipe_str(struct str *str)
{
	if (str->data)
		explicit_bzero(str->data, str->size);
	str_done(str);
}

void token_done(struct token *token)
{
	wipe_free(token->text);
	*token = (struct token){ 0 };
}

static int decode(const struct str *body, struct token *ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct answer answer = { .expires_in = LIFETIME_DEFAULT };
	const char *token;

	if (json_parse(str_get(body), body->len, TOKEN_ANSWER_MAX, &json, err) < 0 ||
	    json_decode(json, answer_fields, &answer, arena, err) < 0)
		return -1;
	token = str_empty(answer.token) ? answer.access_token : answer.token;
	if (str_empty(token) || strlen(token) > TOKEN_MAX || !str_is_printable(token) || strchr(token, ' '))
		return err_set(err, RPC_UNAUTHENTICATED, "answer has no usable token");
	if (answer.expires_in <= 0)
		answer.expires_in = LIFETIME_DEFAULT;
	if (answer.expires_in > LIFETIME_MAX)
		answer.expires_in = LIFETIME_MAX;
	*ret = (struct token){ xstrdup(token), answer.expires_in * NS_PER_SEC };
	return 0;
}

static char *query_url(const struct token_request *request)
{
	const struct challenge *challenge = request->challenge;
	const char *scope = str_empty(challenge->scope) ? request->scope : challenge->scope;
	CLEANUP(freep) char *url = NULL;

	if (str_empty(challenge->service))
		return url_add_query(challenge->realm, "scope", scope);
	url = url_add_query(challenge->realm, "service", challenge->service);
	return url ? url_add_query(url, "scope", scope) : NULL;
}

static void form_add(struct str *form, const char *name, const char *value)
{
	char *escaped = curl_easy_escape(NULL, value, 0);

	str_addf(form, "%s%s=%s", form->len ? "&" : "", name, escaped ? escaped : "");
	if (escaped)
		explicit_bzero(escaped, strlen(escaped));
	curl_free(escaped);
}

static void oauth_form(const struct token_request *request, struct str *form)
{
	const struct challenge *challenge = request->challenge;

	form_add(form, "grant_type", "refresh_token");
	form_add(form, "client_id", "crisp");
	form_add(form, "service", challenge->service ? challenge->service : "");
	form_add(form, "scope", str_empty(challenge->scope) ? request->scope : challenge->scope);
	form_add(form, "refresh_token", request->credentials->identity_token);
}

static int ask(struct http *http, const struct ctx *ctx, const struct http_request *request,
	       struct token *ret, struct err *err)
{
	CLEANUP(wipe_str) struct str body = STR_INIT;
	int status;

	if (http_start(http, ctx, request, err) < 0)
		return -1;
	status = http_response(http)->status;
	if (status != 200)
		return err_set(err,
			       status == 403                    ? RPC_PERMISSION_DENIED
			       : status >= 500 || status == 429 ? RPC_UNAVAILABLE
								: RPC_UNAUTHENTICATED,
			       "token server %s answered %d", http_response(http)->host, status);
	if (http_read_all(http, ctx, TOKEN_ANSWER_MAX, &body, err) < 0)
		return -1;
	return decode(&body, ret, err);
}

int token_fetch(struct http *http, const struct ctx *ctx, const struct token_request *request,
		struct token *ret, struct err *err)
{
	CLEANUP(origin_done) struct origin origin = { 0 };
	CLEANUP(wipe_str) struct str form = STR_INIT;
	CLEANUP(wipe_freep) char *basic = NULL;
	CLEANUP(freep) char *url = NULL;
	struct http_request get = { .insecure = request->insecure, .home = request->base_url };

	if (str_empty(request->challenge->realm) || !origin_of(request->challenge->realm, &origin))
		return err_set(err, RPC_UNAUTHENTICATED, "token realm is not a usable address");
	if (!origin.secure && !request->insecure)
		return err_set(err, RPC_UNAUTHENTICATED, "token realm %s is not https", origin.text);
	if (request->credentials->identity_token) {
		oauth_form(request, &form);
		get.form = str_get(&form);
		get.url = request->challenge->realm;
		return ask(http, ctx, &get, ret, err);
	}
	url = query_url(request);
	if (!url)
		return err_set(err, RPC_UNAUTHENTICATED, "token realm is not a usable address");
	basic = credentials_basic(request->credentials);
	get.url = url;
	get.authorization = basic;
	return ask(http, ctx, &get, ret, err);
}
