/*
 * Everything is worked out on the event loop's thread when a folder changes, and again on a slow timer for
 * what inotify does not tell (a mount over the folder); askers find the result ready under the lock.
 *
 * VERSION and STATUS have to run plugins, so they have a thread of their own, which is there only while one
 * runs: a pool of one. VERSION is asked for a new list, and again when a folder changes, as plugins are
 * replaced then; a list that offers one version is used meanwhile, one that offers several is not ready until
 * the best of them is known. A network whose plugins know STATUS is ready once they have said so. Afterwards
 * one failure in a row is forgiven, as plugins restart; the second makes the network not ready.
 */
#include "cni/readiness.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/ctx.h"
#include "base/lock.h"
#include "base/pool.h"
#include "base/str.h"
#include "cni/chain.h"
#include "cni/confdir.h"
#include "cni/confwatch.h"
#include "cni/plugin.h"
#include "cni/versions.h"

static const int64_t PERIOD = 5 * NS_PER_SEC;
static const int64_t STATUS_TIMEOUT = 10 * NS_PER_SEC;
enum { FAILURES_FORGIVEN = 1 };

enum status { STATUS_NOT_ASKED, STATUS_UNKNOWN, STATUS_GOOD, STATUS_BAD };

struct readiness {
	const struct config_network *config;
	struct confwatch *watch;
	struct source *timer;
	struct pool *pool;
	struct ctx ctx; /* of STATUS; cancelled at free */

	struct lock lock;
	/* under lock; confdir is replaced only by the loop's thread, which may read it without */
	struct confdir *confdir;
	const struct conflist *list;
	const struct conflist *spoken; /* the list at the version that its plugins speak; NULL: not known */
	bool versions_asked;           /* of the plugins as they are now */
	char *mismatch;                /* no version in common; NULL: there is one, or it is not known */
	char *missing;                 /* plugins that are not installed; NULL: none */
	enum status status;
	char *status_problem;
	unsigned int failures; /* of STATUS, in a row */
	bool asking;           /* STATUS is queued or runs */
};

/* Every binary the list needs, the ipam plugins too; NULL when all are there. */
static char *find_missing(const struct config_network *config, const struct conflist *list)
{
	CLEANUP(str_done) struct str out = STR_LIMIT(ERR_TEXT_MAX);

	for (size_t i = 0; i < list->plugins_len; i++) {
		const char *const types[] = { list->plugins[i].type, list->plugins[i].ipam };
		for (size_t j = 0; j < ARRAY_LEN(types); j++) {
			CLEANUP(freep) char *path = NULL;
			struct err err;
			if (types[j] && plugin_find(&config->plugin_dirs, types[j], &path, &err) < 0)
				str_addf(&out, "%s%s", out.len ? "; " : "", err.text);
		}
	}
	return out.len ? str_take(&out) : NULL;
}

struct question {
	struct readiness *readiness;
	const struct conflist *list;
	const struct conflist *spoken; /* NULL: to be asked */
};

static void question_free(struct question *question)
{
	conflist_unref(question->list);
	conflist_unref(question->spoken);
	free(question);
}

/* spoken: NULL when there is no common version, and err says why. */
static void note_versions_locked(struct readiness *readiness, const struct conflist *spoken,
				 const struct err *err) REQUIRES(readiness->lock)
{
	const struct conflist *effective = spoken ? spoken : readiness->list;

	free(readiness->mismatch);
	readiness->mismatch = spoken ? NULL : xstrdup(err->text);
	conflist_unref(readiness->spoken);
	readiness->spoken = conflist_ref(spoken);
	if (!conflist_version_at_least(effective->version, 1, 1))
		readiness->status = STATUS_NOT_ASKED;
	else if (readiness->status == STATUS_NOT_ASKED)
		readiness->status = STATUS_UNKNOWN;
}

static void note_answer_locked(struct readiness *readiness, int answer, const struct err *err)
	REQUIRES(readiness->lock)
{
	if (answer == 0) {
		readiness->failures = 0;
		readiness->status = STATUS_GOOD;
		return;
	}
	free(readiness->status_problem);
	readiness->status_problem = xstrdup(err->text);
	readiness->failures++;
	if (readiness->status != STATUS_GOOD || readiness->failures > FAILURES_FORGIVEN)
		readiness->status = STATUS_BAD;
}

static void ask_versions(struct question *question)
{
	struct readiness *readiness = question->readiness;
	const struct config_strings *dirs = &readiness->config->plugin_dirs;
	struct err err;

	if (versions_choose(question->list, dirs, STATUS_TIMEOUT, &readiness->ctx, &question->spoken, &err) <
	    0)
		question->spoken = NULL;
	lock_take(&readiness->lock);
	if (readiness->list == question->list) /* else the answer is about yesterday's network */
		note_versions_locked(readiness, question->spoken, &err);
	lock_drop(&readiness->lock);
}

static void ask_status(struct question *question)
{
	struct readiness *readiness = question->readiness;
	const struct chain chain = {
		.list = question->spoken,
		.dirs = &readiness->config->plugin_dirs,
		.plugin_timeout = STATUS_TIMEOUT,
	};
	struct err err;
	struct ctx ctx;

	ctx_init_child(&ctx, &readiness->ctx, clock_deadline_in(STATUS_TIMEOUT));
	int answer = chain_status(&chain, &ctx, &err);
	ctx_done(&ctx);
	lock_take(&readiness->lock);
	if (readiness->list == question->list)
		note_answer_locked(readiness, answer, &err);
	lock_drop(&readiness->lock);
}

/* On the pool's thread. */
static void ask(void *data)
{
	struct question *question = data;
	struct readiness *readiness = question->readiness;

	if (!question->spoken)
		ask_versions(question);
	if (question->spoken && conflist_version_at_least(question->spoken->version, 1, 1))
		ask_status(question);
	lock_take(&readiness->lock);
	readiness->asking = false;
	lock_drop(&readiness->lock);
	question_free(question);
}

/* NULL when there is nothing to be asked, or somebody is at it. */
static struct question *question_locked(struct readiness *readiness) REQUIRES(readiness->lock)
{
	bool versions = !readiness->versions_asked || readiness->mismatch;

	if (!readiness->list || readiness->missing || readiness->asking ||
	    (!versions && readiness->status == STATUS_NOT_ASKED))
		return NULL;
	struct question *question = xnew(struct question);
	question->readiness = readiness;
	question->list = conflist_ref(readiness->list);
	question->spoken = versions ? NULL : conflist_ref(readiness->spoken);
	readiness->versions_asked = true;
	readiness->asking = true;
	return question;
}

/* One question at a time; what changes meanwhile is asked at the next tick. */
static void ask_soon(struct readiness *readiness)
{
	struct err ignored;

	lock_take(&readiness->lock);
	struct question *question = question_locked(readiness);
	lock_drop(&readiness->lock);
	if (!question || pool_run(readiness->pool, ask, question, &ignored) == 0)
		return;
	lock_take(&readiness->lock);
	readiness->asking = false;
	readiness->versions_asked = question->spoken != NULL;
	lock_drop(&readiness->lock);
	question_free(question);
}

/* Nothing is known of the list yet. */
static void start_anew_locked(struct readiness *readiness) REQUIRES(readiness->lock)
{
	const struct conflist *list = readiness->list;
	bool unsure = list && (list->versions_len > 1 || conflist_version_at_least(list->version, 1, 1));

	readiness->status = unsure ? STATUS_UNKNOWN : STATUS_NOT_ASKED;
	readiness->failures = 0;
	readiness->versions_asked = false;
	readiness->spoken = conflist_unref(readiness->spoken);
	free(readiness->mismatch);
	readiness->mismatch = NULL;
}

/* Reads the folders again. */
static void reload(struct readiness *readiness)
{
	const struct config_network *config = readiness->config;
	struct confdir *next =
		confdir_load(config->network_dir, config->cni_default_network, readiness->confdir);
	const struct conflist *list = confdir_chosen(next);
	char *missing = list ? find_missing(config, list) : NULL;

	lock_take(&readiness->lock);
	bool changed = list != readiness->list;
	struct confdir *old = readiness->confdir;
	const struct conflist *old_list = readiness->list;
	char *old_missing = readiness->missing;
	readiness->confdir = next;
	readiness->list = conflist_ref(list);
	readiness->missing = missing;
	if (changed)
		start_anew_locked(readiness);
	lock_drop(&readiness->lock);
	confdir_free(old);
	conflist_unref(old_list);
	free(old_missing);
}

/* A folder has changed, and the plugins perhaps with it. */
static void on_change(void *data)
{
	struct readiness *readiness = data;

	reload(readiness);
	lock_take(&readiness->lock);
	readiness->versions_asked = false;
	lock_drop(&readiness->lock);
	ask_soon(readiness);
}

static void on_timer(struct source *source, void *data)
{
	struct readiness *readiness = data;

	(void)source;
	reload(readiness);
	ask_soon(readiness);
}

struct readiness *readiness_free(struct readiness *readiness)
{
	if (!readiness)
		return NULL;
	confwatch_free(readiness->watch);
	source_free(readiness->timer);
	ctx_cancel(&readiness->ctx);
	pool_free(readiness->pool);
	ctx_done(&readiness->ctx);
	confdir_free(readiness->confdir);
	conflist_unref(readiness->list);
	conflist_unref(readiness->spoken);
	free(readiness->mismatch);
	free(readiness->missing);
	free(readiness->status_problem);
	lock_done(&readiness->lock);
	free(readiness);
	return NULL;
}

static int watch(struct readiness *readiness, struct loop *loop, struct err *err)
{
	const struct config_network *config = readiness->config;
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;

	strv_add(&dirs, config->network_dir);
	strv_add_all(&dirs, config->plugin_dirs.items, config->plugin_dirs.len);
	readiness->watch =
		confwatch_new(loop, (const char *const *)dirs.items, dirs.len, on_change, readiness, err);
	if (!readiness->watch)
		return -1;
	/* Without inotify the timer alone has to do, then it is a quicker one. */
	int64_t period = confwatch_works(readiness->watch) ? PERIOD : NS_PER_SEC;
	readiness->timer = loop_add_timer(loop, period, period, on_timer, readiness, err);
	return readiness->timer ? 0 : -1;
}

struct readiness *readiness_open(const struct config_network *config, struct loop *loop, struct err *err)
{
	const struct pool_options options = {
		.name = "cni-status",
		.threads_max = 1,
		.queue_max = 4,
		.idle_ns = NS_PER_SEC,
	};
	struct readiness *readiness = xnew(struct readiness);

	readiness->config = config;
	lock_init(&readiness->lock, "cni readiness", LOCK_NETWORK);
	ctx_init(&readiness->ctx, NO_DEADLINE);
	readiness->pool = pool_new(&options);
	if (watch(readiness, loop, err) < 0)
		return readiness_free(readiness);
	reload(readiness);
	ask_soon(readiness);
	return readiness;
}

const struct conflist *readiness_list(struct readiness *readiness, char **ret_problem)
{
	lock_take(&readiness->lock);
	const struct conflist *list = conflist_ref(readiness->spoken ? readiness->spoken : readiness->list);
	char *problem = list ? NULL : confdir_problem(readiness->confdir);
	lock_drop(&readiness->lock);
	if (!list)
		*ret_problem = problem;
	return list;
}

/* malloc'd; NULL: ready */
static char *problem_locked(struct readiness *readiness) REQUIRES(readiness->lock)
{
	if (!readiness->list)
		return confdir_problem(readiness->confdir);
	if (readiness->missing)
		return xasprintf("network \"%s\": %s", readiness->list->name, readiness->missing);
	if (readiness->mismatch)
		return xasprintf("network \"%s\": %s", readiness->list->name, readiness->mismatch);
	if (readiness->status == STATUS_UNKNOWN)
		return xasprintf("network \"%s\": its plugins have not told their status yet",
				 readiness->list->name);
	if (readiness->status == STATUS_BAD)
		return xasprintf("network \"%s\": %s", readiness->list->name, readiness->status_problem);
	return NULL;
}

bool readiness_ready(struct readiness *readiness, char **ret_problem)
{
	lock_take(&readiness->lock);
	char *problem = problem_locked(readiness);
	lock_drop(&readiness->lock);
	if (problem)
		*ret_problem = problem;
	return !problem;
}

json_t *readiness_info(struct readiness *readiness)
{
	json_t *json = json_object();

	lock_take(&readiness->lock);
	char *problem = problem_locked(readiness);
	json_object_set_new(json, "dir", json_string(readiness->config->network_dir));
	json_object_set_new(json, "files", confdir_info(readiness->confdir));
	if (readiness->spoken)
		json_object_set_new(json, "cniVersion", json_string(readiness->spoken->version));
	lock_drop(&readiness->lock);
	json_object_set_new(json, "ready", json_boolean(!problem));
	if (problem)
		json_object_set_new(json, "problem", json_string(problem));
	free(problem);
	return json;
}
