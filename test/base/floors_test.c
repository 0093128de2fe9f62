/*
 * The shape of the tree, read from the tree itself (the working directory of tests is its root): floors
 * include only downwards, wings do not know each other, includes are written from the root, nobody but
 * base/spawn.c makes processes, and files stay readable in one sitting.
 */
#include "test/base/check.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/str.h"

enum { LINES_MAX = 700, FILE_MAX = 1 << 20 };

static const struct {
	const char *name;
	int height; /* wings share one */
} floors[] = {
	{ "base", 0 }, { "proto", 1 },  { "config", 2 },  { "image", 3 },
	{ "cni", 3 },  { "conmon", 3 }, { "sandbox", 4 }, { "server", 5 },
};

/* Made by the build, so not in the tree. */
static const char *const generated[] = { "proto/cri.pb-c.h", "proto/otlp.pb-c.h" };

static struct strv files = STRV_INIT; /* every .c and .h, from the root */
static struct str complaints = STR_INIT;

static void complain(const char *file, size_t line, const char *what)
{
	str_addf(&complaints, "\n  %s:%zu: %s", file, line, what);
}

static void check_complaints(void)
{
	static char text[16384]; /* fail_msg jumps out of here and frees nothing */

	snprintf(text, sizeof(text), "%s", str_get(&complaints));
	str_done(&complaints);
	if (*text)
		fail_msg("%s", text);
}

/* The floor's number for "image/store.c"; -1 for test/, integration/ and unknown folders. */
static int floor_of(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(floors); i++) {
		size_t len = strlen(floors[i].name);
		if (strncmp(path, floors[i].name, len) == 0 && path[len] == '/')
			return (int)i;
	}
	return -1;
}

static void collect(const char *folder)
{
	struct strv names = STRV_INIT;
	struct err err = { 0 };
	struct stat st;

	assert_ok(dir_list(AT_FDCWD, folder, &names, &err));
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *path = xasprintf("%s/%s", folder, names.items[i]);
		assert_int_equal(fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW), 0);
		if (S_ISDIR(st.st_mode))
			collect(path);
		else if (S_ISREG(st.st_mode) && (str_has_suffix(path, ".c") || str_has_suffix(path, ".h")))
			strv_add(&files, path);
	}
	strv_done(&names);
}

static int find_files(void **state)
{
	struct stat st;

	(void)state;
	if (stat("base/err.h", &st) < 0) {
		print_error("not started in the root of the source tree\n");
		return -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(floors); i++)
		if (stat(floors[i].name, &st) == 0)
			collect(floors[i].name);
	collect("test");
	if (stat("integration", &st) == 0)
		collect("integration");
	return 0;
}

static int forget_files(void **state)
{
	(void)state;
	strv_done(&files);
	return 0;
}

static char *content_of(const char *file)
{
	struct err err = { 0 };
	char *text = NULL;

	assert_ok(file_read(AT_FDCWD, file, FILE_MAX, &text, NULL, &err));
	return text;
}

/* Blanks out comments and, unless `keep_strings`, what stands between quotes; line numbers stay. */
static void blank(char *text, bool keep_strings)
{
	enum { CODE, LINE, BLOCK, STRING, CHARACTER } where = CODE;

	for (char *c = text; *c; c++) {
		char here = c[0], next = c[1];
		if (where == CODE && here == '/' && (next == '/' || next == '*')) {
			where = next == '/' ? LINE : BLOCK;
			*c = ' ';
		} else if (where == CODE && (here == '"' || here == '\'')) {
			where = here == '"' ? STRING : CHARACTER;
		} else if (where == LINE && here == '\n') {
			where = CODE;
		} else if (where == BLOCK && here == '*' && next == '/') {
			where = CODE;
			*c++ = ' ';
			*c = ' ';
		} else if ((where == STRING && here == '"') || (where == CHARACTER && here == '\'')) {
			where = CODE;
		} else if ((where == STRING || where == CHARACTER) && here == '\\' && next) {
			c++;
		} else if (here != '\n' &&
			   (where == LINE || where == BLOCK || (where != CODE && !keep_strings))) {
			*c = ' ';
		}
	}
}

static bool is_generated(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(generated); i++)
		if (strcmp(path, generated[i]) == 0)
			return true;
	return false;
}

static void check_include(const char *file, size_t line, const char *path)
{
	int from = floor_of(file), to = floor_of(path);
	CLEANUP(freep) char *what = NULL;
	struct stat st;

	if (from < 0)
		return; /* tests may look everywhere */
	if (to < 0)
		what = xasprintf("includes \"%s\", which is not of the form \"folder/file.h\"", path);
	else if (floors[to].height > floors[from].height)
		what = xasprintf("%s includes the higher floor's \"%s\"", floors[from].name, path);
	else if (floors[to].height == floors[from].height && to != from)
		what = xasprintf("the wing %s includes another wing's \"%s\"", floors[from].name, path);
	else if (strstr(path, "..") || !str_has_suffix(path, ".h"))
		what = xasprintf("includes \"%s\", which is no plain header", path);
	else if (!is_generated(path) && stat(path, &st) < 0)
		what = xasprintf("includes \"%s\", which does not exist", path);
	if (what)
		complain(file, line, what);
}

/* Each `#include "..."` of the text. */
static void check_includes(const char *file, char *text)
{
	size_t number = 0;

	for (char *line; (line = strsep(&text, "\n"));) {
		number++;
		line += strspn(line, " \t");
		if (*line++ != '#')
			continue;
		line += strspn(line, " \t");
		if (strncmp(line, "include", strlen("include")) != 0)
			continue;
		line += strlen("include");
		line += strspn(line, " \t");
		if (*line++ != '"')
			continue;
		line[strcspn(line, "\"")] = '\0';
		check_include(file, number, line);
	}
}

static void includes_go_downwards(void **state)
{
	(void)state;
	for (size_t i = 0; i < files.len; i++) {
		CLEANUP(freep) char *text = content_of(files.items[i]);
		blank(text, true);
		check_includes(files.items[i], text);
	}
	check_complaints();
}

/* Who else may say such a name, and why. */
static const struct {
	const char *file, *word;
} allowed[] = {
	{ "sandbox/pause/crisp_pause.c",
	  "__NR_clone3" },                            /* a program of its own, which becomes PID 1 of a pod */
	{ "conmon/exec/crisp_exec.c", "__NR_clone" }, /* a program of its own, above a runtime */
	{ "conmon/exec/crisp_exec.c", "__NR_execve" },
	{ "config/check_kernel.c", "SYS_clone3" }, /* asks whether it exists, with a size that is refused */
};

static bool is_allowed(const char *file, const char *word, size_t len)
{
	if (strcmp(file, "base/spawn.c") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (strcmp(file, allowed[i].file) == 0 && strlen(allowed[i].word) == len &&
		    strncmp(word, allowed[i].word, len) == 0)
			return true;
	return false;
}

/* Names that make a process, called or as system call numbers. */
static bool makes_processes(const char *word, size_t len)
{
	static const char *const names[] = { "fork",        "vfork",         "_Fork",        "clone",
					     "clone3",      "posix_spawn",   "posix_spawnp", "execl",
					     "execle",      "execlp",        "execv",        "execve",
					     "execvp",      "execvpe",       "execveat",     "fexecve",
					     "popen",       "system",        "SYS_fork",     "SYS_vfork",
					     "SYS_clone",   "SYS_clone3",    "SYS_execve",   "SYS_execveat",
					     "__NR_fork",   "__NR_vfork",    "__NR_clone",   "__NR_clone3",
					     "__NR_execve", "__NR_execveat", "forkpty" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && strncmp(names[i], word, len) == 0)
			return true;
	return false;
}

static void check_processes(const char *file, const char *text)
{
	size_t line = 1;

	while (*text) {
		size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		if (!len) {
			line += *text++ == '\n';
			continue;
		}
		const char *behind = text + len + strspn(text + len, " \t\n");
		bool number = strncmp(text, "SYS_", 4) == 0 || strncmp(text, "__NR_", 5) == 0;
		if (makes_processes(text, len) && (*behind == '(' || number) &&
		    !is_allowed(file, text, len)) {
			CLEANUP(freep)
			char *what = xasprintf("%.*s: only base/spawn.c makes processes", (int)len, text);
			complain(file, line, what);
		}
		text += len;
	}
}

static void only_spawn_makes_processes(void **state)
{
	(void)state;
	for (size_t i = 0; i < files.len; i++) {
		if (floor_of(files.items[i]) < 0)
			continue;
		CLEANUP(freep) char *text = content_of(files.items[i]);
		blank(text, false);
		check_processes(files.items[i], text);
	}
	check_complaints();
}

static void files_are_not_too_long(void **state)
{
	(void)state;
	for (size_t i = 0; i < files.len; i++) {
		CLEANUP(freep) char *text = content_of(files.items[i]);
		size_t lines = 0;
		for (const char *c = text; *c; c++)
			lines += *c == '\n';
		if (lines > LINES_MAX)
			complain(files.items[i], lines, "too long");
	}
	check_complaints();
}

/* The checks themselves, on made-up files: a check that finds nothing proves nothing. */
static void the_checks_find_what_they_should(void **state)
{
	static const struct {
		const char *file, *text, *found;
	} rows[] = {
		{ "base/x.c", "#include \"config/toml.h\"\n", "higher floor" },
		{ "proto/x.c", "\n # include \"server/server.h\"", "x.c:2" },
		{ "image/x.c", "#include \"cni/network.h\"", "another wing" },
		{ "conmon/x.c", "#include \"sandbox/pod.h\"", "higher floor" },
		{ "server/rpc/x.c", "#include \"rpc.h\"", "folder/file.h" },
		{ "server/x.c", "#include \"base/absent.h\"", "does not exist" },
		{ "server/x.c", "#include \"base/../base/err.h\"", "no plain header" },
		{ "server/x.c", "#include \"test/base/check.h\"", "folder/file.h" },
		{ "server/x.c",
		  "/* #include \"x.h\" */\n#include \"base/err.h\"\n#include \"proto/cri.pb-c.h\"", NULL },
		{ "test/x.c", "#include \"x.h\"", NULL },
		{ "image/x.c", "int f(void)\n{\n\treturn fork ();\n}", "x.c:3: fork" },
		{ "image/x.c", "syscall(SYS_clone3, 0)", "SYS_clone3" },
		{ "image/x.c", "execve(a)", "execve" },
		{ "config/check_kernel.c", "syscall(SYS_execve)", "SYS_execve" },
		{ "base/spawn.c", "clone(a)", NULL },
		{ "image/x.c", "/* fork() */ // execv()\n\"system(\" '\"' fork; prefork(1); x.fork_(2)",
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(freep) char *with_strings = xstrdup(rows[i].text);
		CLEANUP(freep) char *without = xstrdup(rows[i].text);
		blank(with_strings, true);
		blank(without, false);
		check_includes(rows[i].file, with_strings);
		check_processes(rows[i].file, without);
		CLEANUP(freep) char *text = str_take(&complaints);
		if (!rows[i].found != !*text || (rows[i].found && !strstr(text, rows[i].found)))
			fail_msg("row %zu: found \"%s\", \"%s\" expected", i, text,
				 rows[i].found ? rows[i].found : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checks_find_what_they_should),
		cmocka_unit_test(includes_go_downwards),
		cmocka_unit_test(only_spawn_makes_processes),
		cmocka_unit_test(files_are_not_too_long),
	};

	return cmocka_run_group_tests(tests, find_files, forget_files);
}
