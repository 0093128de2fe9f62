/* Helpers are asked for a registry, not for a repository: their protocol knows nothing finer. */
#include "image/keyring.h"

#include "base/file.h"
#include "image/auth_file.h"
#include "image/cred_helper.h"

struct search {
	const struct keyring *keyring;
	const struct ctx *ctx;
	const char *host, *repository;
	struct credentials *found;
	struct err *err; /* the first failure, when failed */
	bool failed, over;
};

static bool done(const struct search *search)
{
	return search->over || !credentials_empty(search->found);
}

static void note(struct search *search, const struct err *why)
{
	if (!search->failed)
		*search->err = *why;
	search->failed = true;
}

static void ask_helper(struct search *search, const char *name)
{
	const struct cred_helper helper = { name, search->keyring->helper_path,
					    search->keyring->helper_timeout };
	/* The name that docker's helpers have always had for Docker Hub. */
	const char *server = str_eq(search->host, "docker.io") ? "https://index.docker.io/v1/" : search->host;
	struct err why;

	if (!name || done(search) || cred_helper_get(&helper, search->ctx, server, search->found, &why) == 0)
		return;
	search->over = ctx_check(search->ctx, name, &why) < 0;
	if (search->over)
		search->failed = false; /* that is what is told */
	note(search, &why);
}

static void ask_file(struct search *search, const char *file)
{
	CLEANUP(wipe_freep) char *text = NULL;
	CLEANUP(auth_answer_done) struct auth_answer answer = { 0 };
	struct err why;
	size_t len;

	if (file_read_linked(file, AUTH_FILE_MAX, &text, &len, &why) < 0) {
		if (why.code != RPC_NOT_FOUND)
			note(search, &why);
		return;
	}
	if (auth_file_look_up(text, len, search->host, search->repository, &answer, &why) < 0) {
		err_prefix(&why, "%s", file);
		why.code = RPC_FAILED_PRECONDITION;
		note(search, &why);
		return;
	}
	ask_helper(search, answer.helper);
	if (!done(search))
		credentials_copy(&answer.credentials, search->found);
	ask_helper(search, answer.store);
}

static void ask_files(struct search *search)
{
	const struct strv *files = search->keyring->files;

	for (size_t i = 0; i < files->len && !done(search); i++)
		ask_file(search, files->items[i]);
}

int keyring_find(const struct keyring *keyring, const struct ctx *ctx, const char *host,
		 const char *repository, struct credentials *ret, struct err *err)
{
	static const char *const usual[] = { "containers-auth.json", NULL };
	const char *const *helper = keyring->helpers ? keyring->helpers : usual;
	CLEANUP(credentials_done) struct credentials found = { 0 };
	struct search search = { keyring, ctx, host, repository, &found, err, false, false };

	for (; *helper && !done(&search); helper++) {
		if (str_eq(*helper, usual[0]))
			ask_files(&search);
		else
			ask_helper(&search, *helper);
	}
	if (credentials_empty(&found) && search.failed)
		return err_prefix(err, "credentials for %s", host);
	*ret = found;
	found = (struct credentials){ 0 };
	return 0;
}

void keyring_files(const char *global_auth_file, struct strv *ret)
{
	if (!str_empty(global_auth_file))
		strv_add(ret, global_auth_file);
	strv_add(ret, "/run/containers/0/auth.json");
	strv_add(ret, "/root/.config/containers/auth.json");
	strv_add(ret, "/root/.docker/config.json");
}
