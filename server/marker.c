/* Written when it is not there or of another version, so that most starts have nothing to sync. */
#include "server/marker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"

#define MARKER_FILE "version"
#define NOTE_FILE "root.json"

enum { MARKER_MAX = 4096 };

static int read_marker(int dir, const char *root, json_t **ret, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	size_t len = 0;

	if (file_read(dir, MARKER_FILE, MARKER_MAX, &text, &len, err) < 0)
		return err_prefix(err, "%s", root);
	if (json_parse(text, len, MARKER_MAX, ret, err) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "%s/" MARKER_FILE " is not crisp's", root);
	if (json_is_string(json_object_get(*ret, "crisp")) && json_is_integer(json_object_get(*ret, "state")))
		return 0;
	return err_set(err, RPC_FAILED_PRECONDITION, "%s/" MARKER_FILE " is not crisp's", root);
}

static int check(const json_t *marker, const char *root, struct err *err)
{
	if (json_integer_value(json_object_get(marker, "state")) <= MARKER_STATE)
		return 0;
	return err_set(err, RPC_FAILED_PRECONDITION,
		       "%s was written by a newer crisp (%.64s); this is " CRISP_VERSION, root,
		       json_string_value(json_object_get(marker, "crisp")));
}

int marker_check(const char *root, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, root, err);
	CLEANUP(json_decrefp) json_t *marker = NULL;

	return dir < 0 || read_marker(dir, root, &marker, err) < 0 ? -1 : check(marker, root, err);
}

static const char *text_of(const json_t *document, const char *name)
{
	return json_string_value(json_object_get(document, name));
}

/* NULL: there is none, or it says nothing. */
static json_t *read_note(int run)
{
	CLEANUP(freep) char *text = NULL;
	json_t *note = NULL;
	size_t len = 0;

	if (file_read(run, NOTE_FILE, MARKER_MAX, &text, &len, NULL) < 0 ||
	    json_parse(text, len, MARKER_MAX, &note, NULL) < 0)
		return NULL;
	return note;
}

static size_t count_objects(int run)
{
	static const char *const folders[] = { "pods", "containers" };
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		CLEANUP(strv_done) struct strv names = STRV_INIT;

		if (dir_list(run, folders[i], &names, NULL) < 0)
			continue;
		for (size_t j = 0; j < names.len; j++)
			count += id_valid(names.items[j]);
	}
	return count;
}

/* A root without an id is an older crisp's. */
static bool belong_together(const json_t *note, const json_t *marker)
{
	const char *noted = text_of(note, "id"), *id = text_of(marker, "id");

	return !noted || (marker && (!id || str_eq(noted, id)));
}

/* marker: NULL when root has none. */
static int check_pair(const json_t *marker, const char *root, const char *runroot, struct err *err)
{
	CLEANUP(fd_closep) int run = dir_open(AT_FDCWD, runroot, err);
	CLEANUP(json_decrefp) json_t *note = NULL;
	size_t count;

	if (run < 0)
		return -1;
	note = read_note(run);
	count = belong_together(note, marker) ? 0 : count_objects(run);
	if (!count)
		return 0;
	return err_set(
		err, RPC_FAILED_PRECONDITION,
		"%s has %zu pods and containers of another state than the one in %s: is its disk not mounted? "
		"(When that state is lost for good, remove %s/" NOTE_FILE
		"; what is left of them and does not run is then cleaned up.)",
		runroot, count, root, runroot);
}

/* *ret NULL: there is none. */
static int read_own(int dir, const char *root, json_t **ret, struct err *err)
{
	struct err why;

	*ret = NULL;
	if (read_marker(dir, root, ret, &why) == 0)
		return check(*ret, root, err);
	return why.code == RPC_NOT_FOUND ? 0 : err_set(err, why.code, "%s", why.text);
}

int marker_check_pair(const char *root, const char *runroot, struct err *err)
{
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, root, err);
	CLEANUP(json_decrefp) json_t *marker = NULL;

	if (dir < 0 || read_own(dir, root, &marker, err) < 0)
		return -1;
	return check_pair(marker, root, runroot, err);
}

static int write_note(const char *id, const char *root, const char *runroot, struct err *err)
{
	CLEANUP(fd_closep) int run = dir_open(AT_FDCWD, runroot, err);
	CLEANUP(json_decrefp) json_t *note = NULL;
	CLEANUP(json_decrefp) json_t *now = json_pack("{ssss}", "root", root, "id", id);

	if (run < 0)
		return -1;
	note = read_note(run);
	if (note && now && json_equal(note, now))
		return 0;
	CLEANUP(freep) char *text = now ? json_dumps(now, JSON_COMPACT) : NULL;
	if (!text)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s: a folder's name is UTF-8", root);
	return file_replace(run, NOTE_FILE, text, strlen(text), 0600, err);
}

int marker_write(const char *root, const char *runroot, struct err *err)
{
	static const char format[] = "{\"crisp\":\"%s\",\"state\":%d,\"id\":\"%s\"}\n";
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, root, err);
	CLEANUP(json_decrefp) json_t *marker = NULL;
	const char *old;
	char id[ID_SIZE];

	if (dir < 0 || read_own(dir, root, &marker, err) < 0 || check_pair(marker, root, runroot, err) < 0)
		return -1;
	old = text_of(marker, "id");
	if (old && id_valid(old))
		memcpy(id, old, ID_SIZE);
	else
		id_new(id);
	if (!str_eq(text_of(marker, "crisp"), CRISP_VERSION) || !str_eq(old, id)) {
		CLEANUP(freep) char *text = xasprintf(format, CRISP_VERSION, MARKER_STATE, id);
		if (file_replace(dir, MARKER_FILE, text, strlen(text), 0600, err) < 0)
			return -1;
	}
	return write_note(id, root, runroot, err);
}
