/*
 * As exec_process_kill(), without handles: first the marked, so that crisp-exec reaps its child and ends by
 * itself, then crisp-exec if it has not, then the marked once more.
 */
#include "conmon/exec_leftovers.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "conmon/exec_process.h"
#include "conmon/procs.h"

enum { DOCUMENT_MAX = 16 * 1024 * 1024 };
static const int64_t end_patience = NS_PER_SEC;
static const char prefix[] = "exec-", suffix[] = ".json";

void exec_leftovers_find(const char *run_dir, struct strv *ret)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err ignored;

	if (dir_list(AT_FDCWD, run_dir, &names, &ignored) < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		if (str_has_prefix(names.items[i], prefix))
			strv_add(ret, names.items[i]);
}

/* 0: it cannot be told. */
static uint64_t read_mark(int dir, const char *name)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(json_decrefp) json_t *document = NULL;
	struct err ignored;
	size_t len;

	if (file_read(dir, name, DOCUMENT_MAX, &text, &len, &ignored) < 0 ||
	    json_parse(text, len, DOCUMENT_MAX, &document, &ignored) < 0)
		return 0;
	return exec_process_mark(document);
}

/* A killed crispd may have left the document without its process, or before it had one. */
static int end_one(const char *path, uint64_t mark, const struct ctx *ctx, struct err *err)
{
	const char *const words[] = { path };
	struct ctx soon CLEANUP(ctx_done);
	struct err ignored;

	ctx_init_child(&soon, ctx, clock_deadline_in(end_patience));
	if (mark && procs_kill_marked(mark, 0, ctx, err) < 0)
		return -1;
	(void)!procs_wait_words(words, ARRAY_LEN(words), &soon, &ignored);
	if (procs_kill_words(words, ARRAY_LEN(words), ctx, err) < 0)
		return -1;
	return mark ? procs_kill_marked(mark, 0, ctx, err) : 0;
}

/* A runtime may have written its pid file after the names were read. */
static void remove_pid_file(int dir, const char *document)
{
	CLEANUP(freep) char *name = xasprintf("%.*s.pid", (int)(strlen(document) - strlen(suffix)), document);

	(void)unlinkat(dir, name, 0);
}

int exec_leftovers_end(const char *run_dir, const struct strv *names, const struct ctx *ctx, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, run_dir, err);

	if (dir < 0)
		return err->code == RPC_NOT_FOUND ? 0 : -1;
	for (size_t i = 0; i < names->len; i++) {
		const char *name = names->items[i];
		CLEANUP(freep) char *path = xasprintf("%s/%s", run_dir, name);

		if (str_has_suffix(name, suffix)) {
			if (end_one(path, read_mark(dir, name), ctx, err) < 0)
				return err_prefix(err, "%s", name);
			remove_pid_file(dir, name);
		}
		(void)unlinkat(dir, name, 0);
	}
	return 0;
}
