/* Written when it is not there or of another version, so that most starts have nothing to sync. */
#include "server/marker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

#define MARKER_FILE "version"

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

int marker_write(const char *root, struct err *err)
{
	static const char format[] = "{\"crisp\":\"%s\",\"state\":%d}\n";
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, root, err);
	CLEANUP(json_decrefp) json_t *marker = NULL;
	struct err why;

	if (dir < 0)
		return -1;
	if (read_marker(dir, root, &marker, &why) < 0) {
		if (why.code != RPC_NOT_FOUND)
			return err_set(err, why.code, "%s", why.text);
	} else if (check(marker, root, err) < 0) {
		return -1;
	} else if (str_eq(json_string_value(json_object_get(marker, "crisp")), CRISP_VERSION)) {
		return 0;
	}
	CLEANUP(freep) char *text = xasprintf(format, CRISP_VERSION, MARKER_STATE);
	return file_replace(dir, MARKER_FILE, text, strlen(text), 0600, err);
}
