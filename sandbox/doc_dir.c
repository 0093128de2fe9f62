/*
 * A set is made anew from a listing; documents whose files are the same as in the last set (device, inode,
 * size, times, mode, owner) are shared with it. Only pointers are exchanged under the lock: two readers may
 * do the same work at once, and the later one's set stays.
 */
#include "sandbox/doc_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"

struct entry {
	struct doc doc; /* first: doc_set_at() */
	atomic_int refs;
	struct stat st;
	struct arena *arena;
	const struct doc_kind *kind;
	struct entry *older; /* whose parsed is in force here; a reference */
};

struct doc_set {
	atomic_int refs;
	struct entry **entries;
	size_t len;
};

struct doc_dirs {
	const struct doc_kind *kind;
	struct strv dirs;
	struct lock lock;
	struct doc_set *last; /* under lock; NULL: nothing has been read */
};

static struct entry *entry_ref(struct entry *entry)
{
	atomic_fetch_add(&entry->refs, 1);
	return entry;
}

static void entry_unref(struct entry *entry)
{
	if (!entry || atomic_fetch_sub(&entry->refs, 1) != 1)
		return;
	if (entry->older)
		entry_unref(entry->older);
	else if (entry->doc.parsed && entry->kind->release)
		entry->kind->release(entry->doc.parsed);
	arena_free(entry->arena);
	free(entry->doc.path);
	free(entry->doc.problem);
	free(entry);
}

static struct doc_set *set_ref(struct doc_set *set)
{
	if (set)
		atomic_fetch_add(&set->refs, 1);
	return set;
}

struct doc_set *doc_set_unref(struct doc_set *set)
{
	if (set && atomic_fetch_sub(&set->refs, 1) == 1) {
		for (size_t i = 0; i < set->len; i++)
			entry_unref(set->entries[i]);
		free(set->entries);
		free(set);
	}
	return NULL;
}

void doc_set_unrefp(struct doc_set **set)
{
	*set = doc_set_unref(*set);
}

const struct doc *doc_set_at(const struct doc_set *set, size_t i)
{
	return i < set->len ? &set->entries[i]->doc : NULL;
}

struct doc_dirs *doc_dirs_new(const struct doc_kind *kind, const struct config_strings *dirs)
{
	struct doc_dirs *self = xnew(struct doc_dirs);

	self->kind = kind;
	strv_add_all(&self->dirs, dirs->items, dirs->len);
	lock_init(&self->lock, "documents", LOCK_DOCS);
	return self;
}

struct doc_dirs *doc_dirs_free(struct doc_dirs *dirs)
{
	if (!dirs)
		return NULL;
	doc_set_unref(dirs->last);
	lock_done(&dirs->lock);
	strv_done(&dirs->dirs);
	free(dirs);
	return NULL;
}

struct reading { /* a set under construction */
	const struct doc_kind *kind;
	const struct doc_set *last; /* may be NULL */
	struct doc_set *set;
	size_t priority;
	const char *dir_path;
	int dir;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static struct entry *find_last(const struct reading *reading, const char *path)
{
	for (size_t i = 0; reading->last && i < reading->last->len; i++)
		if (reading->last->entries[i]->doc.priority == reading->priority &&
		    str_eq(reading->last->entries[i]->doc.path, path))
			return reading->last->entries[i];
	return NULL;
}

static void add_take(struct reading *reading, struct entry *entry)
{
	struct doc_set *set = reading->set;

	set->entries = xrealloc(set->entries, set->len + 1, sizeof(struct entry *));
	set->entries[set->len++] = entry;
}

static struct entry *new_entry(const struct reading *reading, const char *path, const struct stat *st)
{
	struct entry *entry = xnew(struct entry);
	const char *slash;

	atomic_init(&entry->refs, 1);
	entry->kind = reading->kind;
	entry->st = *st;
	entry->doc.path = xstrdup(path);
	entry->doc.priority = reading->priority;
	slash = strrchr(entry->doc.path, '/');
	entry->doc.name = slash ? slash + 1 : entry->doc.path;
	return entry;
}

static const char *mistrust(const struct stat *st)
{
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "is writable for its group or for all";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "does not belong to root";
	return NULL;
}

/* The text of an opened file, malloc'd and NUL-terminated. */
static int read_text(int fd, char **ret, size_t *ret_len, struct err *err)
{
	struct str text CLEANUP(str_done) = STR_INIT;
	ssize_t got;

	do {
		char *room = str_room(&text, 16384);

		got = read(fd, room, 16384);
		if (got > 0)
			str_grown(&text, (size_t)got);
		if (text.len > DOC_SIZE_MAX)
			return err_set(err, RPC_RESOURCE_EXHAUSTED, "is larger than %d bytes", DOC_SIZE_MAX);
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (got < 0)
		return err_errno(err, "read");
	*ret_len = text.len;
	*ret = str_take(&text);
	return 0;
}

/* FAILED_PRECONDITION: the file is not to be trusted, whatever it was before. */
static int load(struct entry *entry, const struct reading *reading, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(reading->dir, entry->doc.name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;
	size_t len;

	if (fd < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "cannot be opened: %m");
	if (fstat(fd, &entry->st) < 0 || !S_ISREG(entry->st.st_mode))
		return err_set(err, RPC_FAILED_PRECONDITION, "is no regular file");
	if (mistrust(&entry->st))
		return err_set(err, RPC_FAILED_PRECONDITION, "%s", mistrust(&entry->st));
	if (read_text(fd, &text, &len, err) < 0)
		return -1;
	entry->arena = arena_new(0);
	return reading->kind->parse(text, len, entry->arena, &entry->doc.parsed, err);
}

static void keep_older(struct entry *entry, struct entry *last)
{
	if (!last || !last->doc.parsed)
		return;
	entry->older = entry_ref(last->older ? last->older : last);
	entry->doc.parsed = last->doc.parsed;
}

static void refuse(struct entry *entry, const char *why)
{
	entry->doc.problem = xstrdup(why);
	log_warn("%s %s: %s, ignoring %s", entry->kind->what, entry->doc.path, why,
		 entry->doc.parsed ? "it: the version before it stays in force" : "it");
}

static void add_file(struct reading *reading, const char *name, const char *refused)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", reading->dir_path, name);
	struct entry *last = find_last(reading, path);
	struct entry *entry;
	struct stat st;
	struct err err;

	if (fstatat(reading->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* gone meanwhile */
	if (last && same_file(&last->st, &st)) {
		add_take(reading, entry_ref(last));
		return;
	}
	entry = new_entry(reading, path, &st);
	if (refused) {
		refuse(entry, refused);
	} else if (S_ISLNK(st.st_mode)) {
		refuse(entry, "is a link");
	} else if (load(entry, reading, &err) < 0) {
		entry->doc.parsed = NULL;
		if (err.code != RPC_FAILED_PRECONDITION)
			keep_older(entry, last);
		refuse(entry, err.text);
	}
	add_take(reading, entry);
}

static bool has_refused_suffix(const struct doc_kind *kind, const char *name)
{
	for (size_t i = 0; kind->refused_suffixes && kind->refused_suffixes[i]; i++)
		if (str_has_suffix(name, kind->refused_suffixes[i]))
			return true;
	return false;
}

static void add_problem(struct reading *reading, const struct stat *st, const char *why)
{
	struct entry *last = find_last(reading, reading->dir_path);
	struct entry *entry;

	if (last && same_file(&last->st, st) && str_eq(last->doc.problem, why)) {
		add_take(reading, entry_ref(last));
		return;
	}
	entry = new_entry(reading, reading->dir_path, st);
	refuse(entry, why);
	add_take(reading, entry);
}

static void read_names(struct reading *reading, const struct stat *st)
{
	struct strv names CLEANUP(strv_done) = STRV_INIT;
	struct err err;

	if (dir_list(reading->dir, ".", &names, &err) < 0) {
		add_problem(reading, st, err.text);
		return;
	}
	for (size_t i = 0; i < names.len; i++) {
		const char *name = names.items[i];
		bool other = has_refused_suffix(reading->kind, name);

		if (*name == '.' || (!other && !str_has_suffix(name, ".json")))
			continue;
		if (reading->set->len >= DOCS_MAX) {
			add_problem(reading, st, "there are too many files");
			return;
		}
		add_file(reading, name, other ? "only JSON is read" : NULL);
	}
}

static void read_dir(struct reading *reading)
{
	CLEANUP(fd_closep) int dir = open(reading->dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st = { 0 };

	if (dir < 0) {
		CLEANUP(freep) char *why = xasprintf("cannot be opened: %m");

		if (errno != ENOENT)
			add_problem(reading, &st, why);
		return;
	}
	if (fstat(dir, &st) < 0 || mistrust(&st)) {
		add_problem(reading, &st, mistrust(&st) ? mistrust(&st) : "cannot be looked at");
		return;
	}
	reading->dir = dir;
	read_names(reading, &st);
}

struct doc_set *doc_dirs_read(struct doc_dirs *dirs)
{
	struct reading reading = { .kind = dirs->kind, .set = xnew(struct doc_set) };
	struct doc_set *replaced;

	atomic_init(&reading.set->refs, 1);
	lock_take(&dirs->lock);
	CLEANUP(doc_set_unrefp) struct doc_set *last = set_ref(dirs->last);
	lock_drop(&dirs->lock);
	reading.last = last;
	for (size_t i = 0; i < dirs->dirs.len; i++) {
		reading.priority = i;
		reading.dir_path = dirs->dirs.items[i];
		read_dir(&reading);
	}
	lock_take(&dirs->lock);
	replaced = dirs->last;
	dirs->last = set_ref(reading.set);
	lock_drop(&dirs->lock);
	doc_set_unref(replaced);
	return reading.set;
}
