/*
 * One pass over the folder. The previous load is asked twice per file: for a list of the same text, so that
 * an unchanged file keeps its snapshot (whoever compares pointers sees no change), and for the last good list
 * when the file is bad now.
 */
#include "cni/confdir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"

struct conf_file {
	char *name;
	const struct conflist *list; /* NULL: never was good */
	char *problem, *warning;     /* NULL: none */
};

struct confdir {
	char *path, *network;
	char *problem; /* the folder cannot be read; NULL: it can */
	struct conf_file files[CONFDIR_FILES_MAX];
	size_t len;
	size_t chosen; /* == len: none */
};

struct confdir *confdir_free(struct confdir *confdir)
{
	for (size_t i = 0; confdir && i < confdir->len; i++) {
		free(confdir->files[i].name);
		conflist_unref(confdir->files[i].list);
		free(confdir->files[i].problem);
		free(confdir->files[i].warning);
	}
	if (confdir) {
		free(confdir->path);
		free(confdir->network);
		free(confdir->problem);
	}
	free(confdir);
	return NULL;
}

static const struct conflist *last_good(const struct confdir *previous, const char *name)
{
	for (size_t i = 0; previous && i < previous->len; i++)
		if (str_eq(previous->files[i].name, name))
			return previous->files[i].list;
	return NULL;
}

static void load_file(struct confdir *confdir, int dir, const char *name, const struct confdir *previous)
{
	struct conf_file *file = &confdir->files[confdir->len++];
	const struct conflist *before = last_good(previous, name);
	CLEANUP(conflist_unrefp) const struct conflist *now = NULL;
	struct err err;

	*file = (struct conf_file){ .name = xstrdup(name) };
	if (conflist_read(dir, name, &now, &file->warning, &err) < 0) {
		file->problem =
			xasprintf("%s%s", err.text, before ? " (its last good content stays in use)" : "");
		file->list = conflist_ref(before);
		return;
	}
	file->list = before && str_eq(before->text, now->text) ? conflist_ref(before) : TAKE(now);
}

static void load_files(struct confdir *confdir, const struct confdir *previous)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err;

	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, confdir->path, &err);
	if (dir < 0 || dir_list(dir, ".", &names, &err) < 0) {
		confdir->problem = xstrdup(err.text);
		return;
	}
	for (size_t i = 0; i < names.len && confdir->len < CONFDIR_FILES_MAX; i++)
		if (conflist_is_file_name(names.items[i]))
			load_file(confdir, dir, names.items[i], previous);
}

static size_t choose(const struct confdir *confdir)
{
	for (size_t i = 0; i < confdir->len; i++)
		if (confdir->files[i].list &&
		    (str_empty(confdir->network) || str_eq(confdir->network, confdir->files[i].list->name)))
			return i;
	return confdir->len;
}

struct confdir *confdir_load(const char *path, const char *network, const struct confdir *previous)
{
	struct confdir *confdir = xnew(struct confdir);

	confdir->path = xstrdup(path);
	confdir->network = xstrdup(network);
	load_files(confdir, previous);
	confdir->chosen = choose(confdir);
	return confdir;
}

const struct conflist *confdir_chosen(const struct confdir *confdir)
{
	return confdir->chosen < confdir->len ? confdir->files[confdir->chosen].list : NULL;
}

char *confdir_problem(const struct confdir *confdir)
{
	CLEANUP(str_done) struct str out = STR_LIMIT(ERR_TEXT_MAX);

	if (str_empty(confdir->network))
		str_addf(&out, "no CNI configuration in %s", confdir->path);
	else
		str_addf(&out, "no CNI configuration of network \"%s\" in %s", confdir->network,
			 confdir->path);
	if (confdir->problem)
		str_addf(&out, ": %s", confdir->problem);
	for (size_t i = 0; i < confdir->len; i++)
		if (confdir->files[i].problem)
			str_addf(&out, "; %s", confdir->files[i].problem);
	return str_take(&out);
}

static json_t *file_info(const struct conf_file *file, bool chosen)
{
	json_t *json = json_object();

	json_object_set_new(json, "file", json_string(file->name));
	if (file->list) {
		json_t *plugins = json_array();
		for (size_t i = 0; i < file->list->plugins_len; i++)
			json_array_append_new(plugins, json_string(file->list->plugins[i].type));
		json_object_set_new(json, "network", json_string(file->list->name));
		json_object_set_new(json, "cniVersion", json_string(file->list->version));
		json_object_set_new(json, "plugins", plugins);
	}
	json_object_set_new(json, "inUse", json_boolean(chosen));
	if (file->problem)
		json_object_set_new(json, "problem", json_string(file->problem));
	if (file->warning)
		json_object_set_new(json, "warning", json_string(file->warning));
	return json;
}

json_t *confdir_info(const struct confdir *confdir)
{
	json_t *files = json_array();

	for (size_t i = 0; i < confdir->len; i++)
		json_array_append_new(files, file_info(&confdir->files[i], i == confdir->chosen));
	return files;
}
