/*
 * The search is that of execvp, but over absolute directories only: an empty or relative PATH element would
 * make the result depend on where the daemon was started.
 */
#include "config/program.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/spawn.h"
#include "base/str.h"

enum { EXE_MAX = 4096 };
static const int64_t version_timeout = 5 * NS_PER_SEC;

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* malloc'd, or NULL. */
static char *find_in(const char *path_list, const char *name)
{
	CLEANUP(strv_done) struct strv dirs = STRV_INIT;

	strv_split(&dirs, path_list, ':');
	for (size_t i = 0; i < dirs.len; i++) {
		if (dirs.items[i][0] != '/')
			continue;
		CLEANUP(freep) char *path = xasprintf("%s/%s", dirs.items[i], name);
		if (is_program(path))
			return TAKE(path);
	}
	return NULL;
}

int program_find(const char *program, char **ret, struct err *err)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the environment never changes after start */
	const char *path_list = getenv("PATH");

	if (program[0] == '/') {
		if (!is_program(program))
			return err_set(err, RPC_FAILED_PRECONDITION, "%s is not an executable file", program);
		*ret = xstrdup(program);
		return 0;
	}
	char *found = *program && !strchr(program, '/') ? find_in(path_list ? path_list : "", program) : NULL;
	if (!found && *program && !strchr(program, '/'))
		found = find_in(PROGRAM_PATH, program);
	if (!found)
		return err_set(err, RPC_FAILED_PRECONDITION, "no program %s in PATH", program);
	*ret = found;
	return 0;
}

static char *beside_us(const char *folder, const char *name)
{
	CLEANUP(freep) char *exe = xcalloc(1, EXE_MAX);
	ssize_t len = readlink("/proc/self/exe", exe, EXE_MAX - 1);
	char *slash = len > 0 ? strrchr(exe, '/') : NULL;

	return slash ? xasprintf("%.*s/%s%s", (int)(slash - exe), exe, folder, name) : xstrdup("");
}

int program_find_own(const char *name, const char *variable, char **ret, struct err *err)
{
	CLEANUP(strv_done) struct strv places = STRV_INIT;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the environment never changes after start */
	const char *named = getenv(variable);

	if (!str_empty(named)) {
		strv_add(&places, named);
	} else {
		strv_add_take(&places, beside_us("", name));
		strv_add_take(&places, beside_us("../libexec/crisp/", name));
		strv_addf(&places, "%s/%s", CRISP_LIBEXECDIR, name);
	}
	for (size_t i = 0; i < places.len; i++)
		if (places.items[i][0] == '/' && is_program(places.items[i])) {
			*ret = xstrdup(places.items[i]);
			return 0;
		}
	CLEANUP(freep) char *tried = strv_join(&places, ", ");
	return err_set(err, RPC_NOT_FOUND, "%s not found; tried %s", name, tried);
}

int program_version_line(const char *path, const struct ctx *ctx, char **ret, struct err *err)
{
	const char *argv[] = { path, "--version", NULL };
	struct command command = {
		.path = path, .argv = argv, .stdout_max = 4096, .stderr_max = 4096, .timeout = version_timeout
	};
	CLEANUP(command_result_done) struct command_result result = { 0 };

	if (command_run(&command, ctx, &result, err) < 0)
		return err_prefix(err, "%s --version", path);
	if (!result.exited || result.status != 0) {
		char text[256];
		command_result_text(&result, text, sizeof(text));
		return err_set(err, RPC_FAILED_PRECONDITION, "%s --version: %s", path, text);
	}
	const char *line = str_get(&result.out);
	size_t len = strcspn(line, "\r\n");
	if (len == 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "%s --version printed nothing", path);
	*ret = xstrndup(line, len);
	return 0;
}

/* A number of at most nine digits at *at, which moves behind it. */
static bool take_number(const char **at, int *ret)
{
	size_t len = strspn(*at, "0123456789");

	if (len == 0 || len > 9)
		return false;
	*ret = (int)strtol(*at, NULL, 10);
	*at += len;
	return true;
}

bool program_version_parse(const char *line, struct program_version *ret)
{
	for (const char *at = line; *at; at++) {
		struct program_version version = { 0 };
		const char *end = at;

		if (!isdigit((unsigned char)*at) ||
		    (at > line && (isdigit((unsigned char)at[-1]) || at[-1] == '.')))
			continue;
		if (!take_number(&end, &version.major) || *end++ != '.' || !take_number(&end, &version.minor))
			continue;
		if (*end == '.') {
			end++;
			if (!take_number(&end, &version.patch))
				version.patch = 0;
		}
		*ret = version;
		return true;
	}
	return false;
}

bool program_version_before(struct program_version version, int major, int minor, int patch)
{
	if (version.major != major)
		return version.major < major;
	if (version.minor != minor)
		return version.minor < minor;
	return version.patch < patch;
}

bool kernel_at_least(int major, int minor)
{
	struct program_version version;
	struct utsname name;

	return uname(&name) == 0 && program_version_parse(name.release, &version) &&
	       !program_version_before(version, major, minor, 0);
}
