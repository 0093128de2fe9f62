/*
 * A helper tells "not found" by a text on stdout and exit code 1; that text is part of the protocol
 * (docker-credential-helpers, credentials/error.go). Any other failure's last line is shown, redacted: what a
 * helper prints may well hold a URL with a token.
 */
#include "image/cred_helper.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/spawn.h"
#include "base/str.h"
#include "image/redact.h"

enum { NAME_MAX_LEN = 64, WORDS_MAX = 200 };
#define TIMEOUT_DEFAULT (30 * NS_PER_SEC)

struct answer {
	char *username, *secret;
};

static const struct json_field answer_fields[] = {
	{ "Username", JSON_FIELD_STRING, offsetof(struct answer, username), JSON_NEEDED, NULL, 0 },
	{ "Secret", JSON_FIELD_STRING, offsetof(struct answer, secret), JSON_NEEDED, NULL, 0 },
	{ 0 },
};

/* The name becomes part of a program's name: no '/', nothing that hides. */
static bool name_valid(const char *name)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	return *name && !name[strspn(name, chars)] && strlen(name) <= NAME_MAX_LEN;
}

int cred_helper_parse(const char *text, size_t len, struct credentials *ret, struct err *err)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct answer answer = { 0 };
	struct image_auth auth = { 0 };
	struct err why;

	if (json_parse(text, len, CRED_HELPER_OUTPUT_MAX, &json, &why) < 0 || !json_is_object(json) ||
	    json_decode(json, answer_fields, &answer, arena, &why) < 0)
		return err_set(err, RPC_UNAUTHENTICATED, "answer is not the JSON of a credential helper");
	if (str_eq(answer.username, "<token>")) {
		auth.identity_token = answer.secret;
	} else {
		auth.username = answer.username;
		auth.password = answer.secret;
	}
	if (credentials_collect(&auth, ret, &why) < 0)
		return err_set(err, RPC_UNAUTHENTICATED, "%s", why.text);
	return 0;
}

static bool knows_nothing(const struct command_result *result)
{
	return strstr(str_get(&result->out), "credentials not found") != NULL;
}

/* What a failed helper said last, on stdout where the protocol wants it, or on stderr. */
static void last_words(const struct command_result *result, struct str *text)
{
	CLEANUP(str_done) struct str safe = STR_LIMIT(WORDS_MAX);
	const struct str *said = result->out.len ? &result->out : &result->err_out;
	CLEANUP(freep) char *copy = xstrndup(str_get(said), WORDS_MAX / 2);

	copy[strcspn(copy, "\r\n")] = '\0';
	redact(copy, &safe);
	if (safe.len)
		str_addf(text, ": %s", str_get(&safe));
}

static int judge(const struct command_result *result, struct credentials *ret, struct err *err)
{
	CLEANUP(str_done) struct str text = STR_INIT;

	if (result->exited && result->status == 0) {
		if (result->out_truncated)
			return err_set(err, RPC_UNAUTHENTICATED, "answer is longer than %d bytes",
				       CRED_HELPER_OUTPUT_MAX);
		return cred_helper_parse(str_get(&result->out), result->out.len, ret, err);
	}
	if (knows_nothing(result))
		return 0;
	last_words(result, &text);
	return err_set(err, RPC_UNAUTHENTICATED, "%s %d%s", result->exited ? "exit code" : "killed by signal",
		       result->status, str_get(&text));
}

static void wipe_result(struct command_result *result)
{
	if (result->out.data)
		explicit_bzero(result->out.data, result->out.size);
	command_result_done(result);
}

/* The daemon's environment, with another PATH if the helper has one of its own. */
static void environment(const struct cred_helper *helper, struct strv *ret)
{
	for (char **variable = environ; *variable; variable++)
		if (!helper->path || !str_has_prefix(*variable, "PATH="))
			strv_add(ret, *variable);
	if (helper->path)
		strv_addf(ret, "PATH=%s", helper->path);
}

static int run(const struct cred_helper *helper, const struct ctx *ctx, const char *server,
	       struct credentials *ret, struct err *err)
{
	CLEANUP(freep) char *program = xasprintf("docker-credential-%s", helper->name);
	CLEANUP(strv_done) struct strv env = STRV_INIT;
	CLEANUP(wipe_result) struct command_result result = { 0 };
	const char *const argv[] = { program, "get", NULL };
	struct command command = {
		.path = program,
		.argv = argv,
		.input = server,
		.input_len = strlen(server),
		.stdout_max = CRED_HELPER_OUTPUT_MAX,
		.stderr_max = WORDS_MAX,
		.timeout = helper->timeout > 0 ? helper->timeout : TIMEOUT_DEFAULT,
	};

	environment(helper, &env);
	command.env = (const char *const *)env.items;
	if (command_run(&command, ctx, &result, err) == 0)
		return judge(&result, ret, err);
	if (ctx_check(ctx, program, err) < 0)
		return -1;
	if (result.timed_out)
		return err_set(err, RPC_UNAUTHENTICATED, "no answer within %lld s",
			       (long long)(command.timeout / NS_PER_SEC));
	err->code = RPC_UNAUTHENTICATED;
	return -1;
}

int cred_helper_get(const struct cred_helper *helper, const struct ctx *ctx, const char *server,
		    struct credentials *ret, struct err *err)
{
	if (!name_valid(helper->name))
		return err_set(err, RPC_UNAUTHENTICATED, "not a credential helper's name");
	if (run(helper, ctx, server, ret, err) < 0)
		return err_prefix(err, "credential helper %s", helper->name);
	return 0;
}
