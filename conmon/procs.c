/*
 * Scans of /proc and the kill loop over what they find.
 *
 * One scan reads the stat file of each process: pid, parent, state, start time. A set is whatever a `select`
 * function picks out of a scan; the kill loop neither knows nor cares what makes the set. It scans, opens and
 * signals, waits for those it signalled, and scans again, until a scan selects nobody. Ten thousand processes
 * cost some tens of milliseconds: this is for timeouts and failures, never for the way of a call that goes
 * well.
 */
#include "conmon/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/spawn.h"
#include "base/str.h"

enum { STAT_MAX = 1024, LIMITS_MAX = 4096, CMDLINE_MAX = 16384, DEPTH_MAX = 4096, MOMENTS_MAX = 100 };
static const struct timespec a_moment = { .tv_nsec = NS_PER_MS };

struct proc {
	pid_t pid, parent;
	uint64_t start_time;
	bool gone; /* a zombie, or dead */
	bool selected;
};

struct scan {
	struct proc *procs;
	size_t len, size;
};

/* What a set is made of. */
struct wanted {
	void (*select)(struct scan *scan, const struct wanted *wanted);
	uint64_t mark;
	pid_t spared, root;
	const char *words; /* with a NUL before each and behind the last */
	size_t words_len;
};

static void scan_done(struct scan *scan)
{
	free(scan->procs);
}

/* Reads /proc/PID/NAME; its length, 0 when the process is gone. */
static size_t read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	size_t len = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (len < size - 1) {
		ssize_t got = read(fd, text + len, size - 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return 0;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	text[len] = '\0';
	return len;
}

static bool read_stat(pid_t pid, struct proc *ret)
{
	char text[STAT_MAX], state;
	const char *rest;
	int parent;

	if (!read_proc(pid, "stat", text, sizeof(text)))
		return false;
	/* The name may hold anything; behind its last parenthesis come state, parent, ... and start time as
	 * 22nd. */
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1,
		   " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
		   &state, &parent, &ret->start_time) != 3)
		return false;
	ret->pid = pid;
	ret->parent = parent;
	ret->gone = state == 'Z' || state == 'X';
	ret->selected = false;
	return true;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int scan_all(struct scan *scan, struct err *err)
{
	CLEANUP(closedirp) DIR *dir = opendir("/proc");
	const struct dirent *entry;

	if (!dir)
		return err_errno(err, "open /proc");
	scan->len = 0;
	while ((entry = readdir(dir))) {
		uint64_t pid;

		if (!parse_u64(entry->d_name, INT32_MAX, &pid))
			continue;
		if (scan->len == scan->size) {
			scan->size = scan->size ? scan->size * 2 : 256;
			scan->procs = xrealloc(scan->procs, scan->size, sizeof(*scan->procs));
		}
		if (read_stat((pid_t)pid, &scan->procs[scan->len]))
			scan->len++;
	}
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t left = ((const struct proc *)a)->pid, right = ((const struct proc *)b)->pid;

	return left < right ? -1 : left > right;
}

/* Needs the scan sorted by pid. */
static const struct proc *find(const struct scan *scan, pid_t pid)
{
	const struct proc key = { .pid = pid };

	return bsearch(&key, scan->procs, scan->len, sizeof(*scan->procs), compare_pids);
}

static void select_descendants(struct scan *scan, const struct wanted *wanted)
{
	qsort(scan->procs, scan->len, sizeof(*scan->procs), compare_pids);
	for (size_t i = 0; i < scan->len; i++) {
		const struct proc *at = &scan->procs[i];

		/* The depth is bounded since parents, read one after another, may seem to form a ring. */
		for (int depth = 0; at && depth < DEPTH_MAX && !scan->procs[i].selected; depth++) {
			scan->procs[i].selected = at->parent == wanted->root;
			at = find(scan, at->parent);
		}
	}
}

bool procs_is_marked(pid_t pid, uint64_t mark)
{
	char text[LIMITS_MAX], line[96];

	snprintf(line, sizeof(line), "Max file locks            %-20" PRIu64 " %-20" PRIu64, mark, mark);
	return read_proc(pid, "limits", text, sizeof(text)) && strstr(text, line);
}

static void select_marked(struct scan *scan, const struct wanted *wanted)
{
	for (size_t i = 0; i < scan->len; i++)
		if (!scan->procs[i].gone && scan->procs[i].pid != wanted->spared)
			scan->procs[i].selected = procs_is_marked(scan->procs[i].pid, wanted->mark);
}

static bool has_words(pid_t pid, const struct wanted *wanted)
{
	char text[CMDLINE_MAX];
	size_t len = read_proc(pid, "cmdline", text, sizeof(text));

	for (int moments = 0; len == 0 && moments < MOMENTS_MAX; moments++) {
		bool beginning = process_in_exec(pid);

		/* Asked before reading: who has begun by then has arguments to read. */
		len = read_proc(pid, "cmdline", text, sizeof(text));
		if (!beginning || len)
			break;
		nanosleep(&a_moment, NULL);
	}
	return len && memmem(text, len, wanted->words, wanted->words_len);
}

/* Who has the words, and whoever descends from one that has. */
static void select_words(struct scan *scan, const struct wanted *wanted)
{
	qsort(scan->procs, scan->len, sizeof(*scan->procs), compare_pids);
	for (size_t i = 0; i < scan->len; i++)
		scan->procs[i].selected = has_words(scan->procs[i].pid, wanted);
	for (size_t i = 0; i < scan->len; i++) {
		const struct proc *at = &scan->procs[i];

		for (int depth = 0; at && depth < DEPTH_MAX && !scan->procs[i].selected; depth++) {
			at = find(scan, at->parent);
			scan->procs[i].selected = at && at->selected;
		}
	}
}

/* Positive as a signed number, and far above what anybody would set by hand. */
uint64_t procs_new_mark(void)
{
	uint64_t mark;

	random_bytes(&mark, sizeof(mark));
	return (mark & ((UINT64_C(1) << 62) - 1)) | UINT64_C(1) << 61;
}

bool procs_may_be_mark(uint64_t value)
{
	return value >> 61 == 1;
}

struct victims {
	struct process *items;
	size_t len, size;
};

static void victims_done(struct victims *victims)
{
	for (size_t i = 0; i < victims->len; i++)
		process_done(&victims->items[i]);
	free(victims->items);
}

static bool is_victim(const struct victims *victims, const struct proc *proc)
{
	for (size_t i = 0; i < victims->len; i++)
		if (victims->items[i].pid == proc->pid && victims->items[i].start_time == proc->start_time)
			return true;
	return false;
}

/* Opens and stops those of the scan's set that are not among the victims yet; *ret_found: how many there
 * were. */
static int stop_new(const struct scan *scan, struct victims *victims, size_t *ret_found, struct err *err)
{
	*ret_found = 0;
	for (size_t i = 0; i < scan->len; i++) {
		const struct proc *proc = &scan->procs[i];
		struct process process = PROCESS_INIT;

		if (!proc->selected || proc->gone || is_victim(victims, proc))
			continue;
		++*ret_found;
		if (process_open(proc->pid, proc->start_time, &process, NULL) < 0)
			continue; /* gone since; or no descriptors left, then the next scan finds it again */
		if (victims->len == victims->size) {
			victims->size = victims->size ? victims->size * 2 : 16;
			victims->items = xrealloc(victims->items, victims->size, sizeof(*victims->items));
		}
		victims->items[victims->len++] = process;
		if (process_signal(&process, SIGSTOP, err) < 0)
			return -1;
	}
	return 0;
}

/* One round: stops all of the set, kills them, waits for them. *ret_any: there was somebody. */
static int kill_round(const struct wanted *wanted, const struct ctx *ctx, bool *ret_any, struct err *err)
{
	struct scan scan CLEANUP(scan_done) = { 0 };
	struct victims victims CLEANUP(victims_done) = { 0 };
	size_t found = 1;

	while (found > 0) {
		if (ctx_check(ctx, "kill processes", err) < 0 || scan_all(&scan, err) < 0)
			return -1;
		wanted->select(&scan, wanted);
		if (stop_new(&scan, &victims, &found, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < victims.len; i++)
		if (process_signal(&victims.items[i], SIGKILL, err) < 0)
			return -1;
	for (size_t i = 0; i < victims.len; i++)
		if (process_wait_gone(&victims.items[i], ctx, err) < 0)
			return -1;
	*ret_any = victims.len > 0;
	return 0;
}

static int kill_all(const struct wanted *wanted, const struct ctx *ctx, struct err *err)
{
	bool any = true;

	while (any)
		if (kill_round(wanted, ctx, &any, err) < 0)
			return -1;
	return 0;
}

int procs_kill_marked(uint64_t mark, pid_t spared, const struct ctx *ctx, struct err *err)
{
	const struct wanted wanted = { .select = select_marked, .mark = mark, .spared = spared };

	return kill_all(&wanted, ctx, err);
}

int procs_kill_descendants(pid_t root, const struct ctx *ctx, struct err *err)
{
	const struct wanted wanted = { .select = select_descendants, .root = root };

	return kill_all(&wanted, ctx, err);
}

static struct wanted wanted_words(const char *const *words, size_t len, struct str *text)
{
	str_addc(text, '\0');
	for (size_t i = 0; i < len; i++) {
		str_add(text, words[i]);
		str_addc(text, '\0');
	}
	return (struct wanted){ .select = select_words, .words = text->data, .words_len = text->len };
}

int procs_kill_words(const char *const *words, size_t len, const struct ctx *ctx, struct err *err)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	const struct wanted wanted = wanted_words(words, len, &text);

	return kill_all(&wanted, ctx, err);
}

int procs_wait_words(const char *const *words, size_t len, const struct ctx *ctx, struct err *err)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	const struct wanted wanted = wanted_words(words, len, &text);
	struct scan scan CLEANUP(scan_done) = { 0 };

	if (scan_all(&scan, err) < 0)
		return -1;
	for (size_t i = 0; i < scan.len; i++) {
		CLEANUP(process_done) struct process process = PROCESS_INIT;

		if (scan.procs[i].gone || !has_words(scan.procs[i].pid, &wanted) ||
		    process_open(scan.procs[i].pid, scan.procs[i].start_time, &process, NULL) < 0)
			continue;
		if (process_wait_gone(&process, ctx, err) < 0)
			return -1;
	}
	return 0;
}

/* Words are ended by NUL, in a title by a space. */
static bool is_titled(pid_t pid, const char *program, const char *word)
{
	char text[CMDLINE_MAX];
	size_t len = read_proc(pid, "cmdline", text, sizeof(text));
	size_t first = strlen(program), second = strlen(word);

	if (len < first + 1 + second || memcmp(text, program, first) != 0 ||
	    memcmp(text + first + 1, word, second) != 0)
		return false;
	return (text[first] == '\0' || text[first] == ' ') &&
	       (text[first + 1 + second] == '\0' || text[first + 1 + second] == ' ');
}

int procs_find_titled(const char *program, const char *word, struct process *ret, struct err *err)
{
	struct scan scan CLEANUP(scan_done) = { 0 };

	if (scan_all(&scan, err) < 0)
		return -1;
	*ret = (struct process)PROCESS_INIT;
	for (size_t i = 0; i < scan.len && ret->pidfd < 0; i++) {
		const struct proc *proc = &scan.procs[i];
		struct err why;

		if (!proc->gone && is_titled(proc->pid, program, word) &&
		    process_open(proc->pid, proc->start_time, ret, &why) < 0 && why.code != RPC_NOT_FOUND)
			return err_set(err, why.code, "%s", why.text);
	}
	return 0;
}

bool procs_is_descendant(pid_t pid, pid_t root)
{
	struct proc proc = { .parent = pid };

	for (int depth = 0; depth < DEPTH_MAX && proc.parent > 1; depth++) {
		if (!read_stat(proc.parent, &proc))
			return false;
		if (proc.parent == root)
			return true;
	}
	return false;
}
