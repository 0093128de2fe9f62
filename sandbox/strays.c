/*
 * Strays: what bears the name of a pod or container that has no record. The record, <root>/pods/<id> or
 * <root>/containers/<id>, is made before anything else of an object and is moved away after everything else
 * of it is gone; so what is seen first, and found to have no record after that, belongs to nobody, whatever
 * calls are under way. Objects in quarantine keep what they have.
 *
 * Only names that are exactly ids, in crispd's own folders below runroot, and cgroups that carry crispd's
 * mark with this root are looked at. When a pause or a monitor of that id still lives, which may be so when
 * root is not mounted, the stray is left alone and told of, once. No process is ever killed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "conmon/procs.h"
#include "sandbox/pod_files.h"
#include "sandbox/reconciler.h"
#include "sandbox/store.h"

static const int64_t cgroup_patience = NS_PER_SEC;

struct search {
	struct sandboxes *owner;
	struct strv quarantine; /* "pod-<id>", "container-<id>" */
	struct err *err;
	int failed;
};

/* Unsure counts as recorded. */
static bool has_record(const struct search *search, int dir, const char *kind, const char *id)
{
	CLEANUP(freep) char *aside = xasprintf("%s-%s", kind, id);

	return faccessat(dir, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT ||
	       strv_has(&search->quarantine, aside);
}

/* Unsure counts as alive. */
static bool pause_lives(const char *id)
{
	CLEANUP(process_done) struct process pause = PROCESS_INIT;
	struct err err;

	return procs_find_titled("crisp-pause", id, &pause, &err) < 0 || pause.pidfd >= 0;
}

static bool monitor_lives(const char *id)
{
	const char *const words[] = { "-c", id };
	struct ctx now;
	struct err err;

	ctx_init(&now, clock_mono());
	int waiting = procs_wait_words(words, ARRAY_LEN(words), &now, &err);
	ctx_done(&now);
	return waiting < 0;
}

static int left_alone(struct sandboxes *owner, const char *kind, const char *id)
{
	lock_take(&owner->lock);
	bool first = !strv_has(&owner->strays_told, id);
	if (first)
		strv_add(&owner->strays_told, id);
	lock_drop(&owner->lock);
	if (first)
		log_warn("%s %s has no record below %s, but still runs: it is left alone", kind, id,
			 owner->config->root);
	return 0;
}

static int remove_pod(struct search *search, const char *id, struct err *err)
{
	struct sandboxes *owner = search->owner;
	const char *run = owner->config->runroot;
	CLEANUP(freep) char *ns = xasprintf("%s/ns/%s", run, id);
	CLEANUP(freep) char *files = xasprintf("%s/pods/%s", run, id);

	if (pause_lives(id))
		return left_alone(owner, "pod sandbox", id);
	if (namespaces_unpin(ns, err) < 0 || pod_files_remove(files, err) < 0)
		return err_prefix(err, "pod sandbox %s, which has no record", id);
	log_warn("pod sandbox %s has no record: its namespaces and files are removed", id);
	return 0;
}

static int remove_beneath(const char *run, const char *folder, const char *id, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", run, folder);
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, path, err);

	return dir < 0 ? -1 : tree_remove(dir, id, err);
}

static int remove_container(struct search *search, const char *id, struct err *err)
{
	struct sandboxes *owner = search->owner;
	const char *run = owner->config->runroot;

	if (monitor_lives(id))
		return left_alone(owner, "container", id);
	if (remove_beneath(run, "containers", id, err) < 0 || remove_beneath(run, "attach", id, err) < 0)
		return err_prefix(err, "container %s, which has no record", id);
	exit_status_remove(owner->exit_dir, id);
	log_warn("container %s has no record: its files in %s are removed", id, run);
	return 0;
}

/* One of crispd's folders below runroot. */
static void look_in(struct search *search, const char *folder, const char *kind, int records,
		    int (*fn)(struct search *search, const char *id, struct err *err))
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", search->owner->config->runroot, folder);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err gone;

	if (dir_list(AT_FDCWD, path, &names, &gone) < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		if (id_valid(names.items[i]) && !has_record(search, records, kind, names.items[i]) &&
		    fn(search, names.items[i], search->err) < 0)
			search->failed = -1;
}

static int remove_cgroup(struct search *search, const char *id, struct err *err)
{
	struct sandboxes *owner = search->owner;
	CLEANUP(freep) char *path = cgroup_pod_path(CONFIG_CGROUPFS, "", id);
	struct ctx ctx;

	if (!cgroup_is_marked(owner->cgroups, path, owner->config->root))
		return 0; /* another crispd's */
	ctx_init(&ctx, clock_deadline_in(cgroup_patience));
	int failed = cgroup_remove(owner->cgroups, path, &ctx, err);
	ctx_done(&ctx);
	if (failed)
		return -1;
	log_warn("cgroup %s belongs to no pod: removed", path);
	return 0;
}

static void look_at_cgroups(struct search *search)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	cgroup_list_pods(search->owner->cgroups, &names);
	for (size_t i = 0; i < names.len; i++)
		if (!has_record(search, search->owner->pods_dir, "pod", names.items[i]) &&
		    remove_cgroup(search, names.items[i], search->err) < 0)
			search->failed = -1;
}

int strays_remove(struct sandboxes *sandboxes, struct err *err)
{
	struct search search = { .owner = sandboxes, .quarantine = STRV_INIT, .err = err };

	quarantine_names(sandboxes, &search.quarantine);
	look_in(&search, "ns", "pod", sandboxes->pods_dir, remove_pod);
	look_in(&search, "pods", "pod", sandboxes->pods_dir, remove_pod);
	look_in(&search, "containers", "container", sandboxes->containers_dir, remove_container);
	look_in(&search, "exits", "container", sandboxes->containers_dir, remove_container);
	look_in(&search, "attach", "container", sandboxes->containers_dir, remove_container);
	look_at_cgroups(&search);
	strv_done(&search.quarantine);
	return search.failed;
}
