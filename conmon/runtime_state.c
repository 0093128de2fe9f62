/* See runtime_state.h. */
#include "conmon/runtime_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

enum { STATE_MAX = 1024 * 1024 };

bool runtime_state_is_known(const struct handler *handler)
{
	return handler->is_crun || str_has_prefix(handler->version, "runc ");
}

enum runtime_state runtime_state_look(const struct runtime_target *target, struct process *ret)
{
	bool is_crun = target->handler->is_crun;
	CLEANUP(freep) char *dir = xasprintf("%s/%s", target->handler->root, target->id);
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, is_crun ? "status" : "state.json");
	CLEANUP(freep) char *text = NULL;
	CLEANUP(json_decrefp) json_t *json = NULL;
	struct stat st;
	size_t len;

	if (lstat(dir, &st) < 0)
		return errno == ENOENT ? RUNTIME_STATE_ABSENT : RUNTIME_STATE_UNKNOWN;
	if (file_read(AT_FDCWD, path, STATE_MAX, &text, &len, NULL) < 0 ||
	    json_parse(text, len, STATE_MAX, &json, NULL) < 0)
		return RUNTIME_STATE_UNKNOWN;
	json_t *pid = json_object_get(json, is_crun ? "pid" : "init_process_pid");
	json_t *start = json_object_get(json, is_crun ? "process-start-time" : "init_process_start");
	if (!json_is_integer(pid) || json_integer_value(pid) <= 1)
		return RUNTIME_STATE_UNKNOWN;
	if (process_open((pid_t)json_integer_value(pid), (uint64_t)json_integer_value(start), ret, NULL) < 0)
		return RUNTIME_STATE_DEAD;
	return RUNTIME_STATE_ALIVE;
}

char *runtime_state_fifo(const struct runtime_target *target)
{
	return xasprintf("%s/%s/exec.fifo", target->handler->root, target->id);
}

bool runtime_state_holds(const struct process *init, const char *path)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	char dir[32];
	struct stat wanted, st;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)init->pid);
	CLEANUP(fd_closep) int fds = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lstat(path, &wanted) < 0 || fds < 0 || dir_list(fds, ".", &names, NULL) < 0)
		return true;
	for (size_t i = 0; i < names.len; i++)
		if (fstatat(fds, names.items[i], &st, 0) == 0 && st.st_dev == wanted.st_dev &&
		    st.st_ino == wanted.st_ino)
			return true;
	return !process_alive(init); /* then it was somebody else's folder, maybe */
}
