/*
 * Users and groups of a container.
 *
 * A request is first made into one `struct wanted`: user and group, each a number or a name. Then passwd is
 * read once (to turn a name into ids, or an id into its name, group and home) and group once (to turn a
 * group's name into a number and to find the memberships of the user's name). Both are streamed through one
 * line reader over a fixed buffer, so that nothing in those files decides how much memory is taken; the
 * number of groups is bounded by the kernel's own limit. A missing file is an empty one.
 */
#include "sandbox/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

enum {
	ID_MAX = INT32_MAX,
	NAME_LEN_MAX = 255,
	BUFFER_SIZE = 16 * 1024,
};

/* One half of "user:group". */
struct wanted_id {
	bool set;
	bool numeric;
	uint32_t id;      /* numeric */
	const char *name; /* else; NAME_LEN_MAX bytes at most */
};

struct wanted {
	struct wanted_id user, group;
	char *image_user; /* the image's USER, cut in two; owned */
};

static void wanted_done(struct wanted *wanted)
{
	free(wanted->image_user);
}

/* One entry of passwd or group: the fields, cut at the colons. Valid until the next line. */
enum { FIELDS_MAX = 7 };

struct entry {
	char *fields[FIELDS_MAX];
	size_t len;
};

struct reader {
	int fd;
	size_t total;   /* bytes read so far */
	size_t at, end; /* unread part of buffer */
	bool eof;
	struct str line;
	char buffer[BUFFER_SIZE];
};

static bool all_digits(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static bool name_fits(const char *name)
{
	return strlen(name) <= NAME_LEN_MAX && str_is_printable(name) && !strpbrk(name, ": ");
}

/* What begins as a number and goes on like one of another notation (0x0, 9e9, 1.5, 1_000) is no name that
 * useradd would make and no number that we take: refused, never looked up. */
static bool looks_numeric(const char *name)
{
	return *name == '+' || *name == '-' ||
	       (*name >= '0' && *name <= '9' && strspn(name, "0123456789abcdefABCDEFxX.+-_") == strlen(name));
}

static int check_id(int64_t id, const char *what, struct err *err)
{
	if (id < 0 || id > ID_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s %lld is not in the range 0 to %d", what,
			       (long long)id, ID_MAX);
	return 0;
}

static int parse_wanted(const char *text, const char *what, struct wanted_id *ret, struct err *err)
{
	uint64_t id;

	if (all_digits(text)) {
		if (!parse_u64(text, ID_MAX, &id))
			return err_set(err, RPC_INVALID_ARGUMENT, "%s %.64s is not in the range 0 to %d",
				       what, text, ID_MAX);
		*ret = (struct wanted_id){ .set = true, .numeric = true, .id = (uint32_t)id };
		return 0;
	}
	if (!*text || !name_fits(text) || looks_numeric(text))
		return err_set(err, RPC_INVALID_ARGUMENT, "malformed %s name \"%.64s\"", what,
			       str_is_printable(text) ? text : "?");
	*ret = (struct wanted_id){ .set = true, .name = text };
	return 0;
}

/* "", "user" or "user:group". */
static int parse_image_user(const char *text, struct wanted *wanted, struct err *err)
{
	char *colon;

	if (str_empty(text))
		return 0;
	if (strlen(text) > 2 * NAME_LEN_MAX + 1)
		return err_set(err, RPC_INVALID_ARGUMENT, "the image's user is too long");
	wanted->image_user = xstrdup(text);
	colon = strchr(wanted->image_user, ':');
	if (colon)
		*colon++ = '\0';
	if (parse_wanted(wanted->image_user, "user", &wanted->user, err) < 0 ||
	    (colon && parse_wanted(colon, "group", &wanted->group, err) < 0))
		return err_prefix(err, "USER of the image");
	return 0;
}

int user_check(const Cri__LinuxContainerSecurityContext *security, struct err *err)
{
	struct wanted_id name;

	if (!security)
		return 0;
	if (security->run_as_user && !str_empty(security->run_as_username))
		return err_set(err, RPC_INVALID_ARGUMENT, "run_as_user and run_as_username are both set");
	if (security->run_as_group && !security->run_as_user && str_empty(security->run_as_username))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "run_as_group is set without run_as_user or run_as_username");
	if (security->run_as_user && check_id(security->run_as_user->value, "run_as_user", err) < 0)
		return -1;
	if (security->run_as_group && check_id(security->run_as_group->value, "run_as_group", err) < 0)
		return -1;
	if (!str_empty(security->run_as_username) &&
	    parse_wanted(security->run_as_username, "user", &name, err) < 0)
		return err_prefix(err, "run_as_username");
	if (security->n_supplemental_groups > USERS_GROUPS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "more than %d supplemental groups",
			       USERS_GROUPS_MAX);
	for (size_t i = 0; i < security->n_supplemental_groups; i++)
		if (check_id(security->supplemental_groups[i], "supplemental group", err) < 0)
			return -1;
	if (security->supplemental_groups_policy != CRI__SUPPLEMENTAL_GROUPS_POLICY__Merge &&
	    security->supplemental_groups_policy != CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict)
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown supplemental_groups_policy %d",
			       (int)security->supplemental_groups_policy);
	return 0;
}

static int wanted_init(const struct user_request *request, struct wanted *ret, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *security = request->security;

	if (user_check(security, err) < 0)
		return -1;
	if (security && security->run_as_user)
		ret->user = (struct wanted_id){ .set = true,
						.numeric = true,
						.id = (uint32_t)security->run_as_user->value };
	else if (security && !str_empty(security->run_as_username)) {
		if (parse_wanted(security->run_as_username, "user", &ret->user, err) < 0)
			return -1;
	} else if (parse_image_user(request->image_user, ret, err) < 0) {
		return -1;
	}
	if (security && security->run_as_group)
		ret->group = (struct wanted_id){ .set = true,
						 .numeric = true,
						 .id = (uint32_t)security->run_as_group->value };
	return 0;
}

/* Opens a file of the image for streaming. *ret is -1 when it does not exist. */
static int open_database(int rootfs, const char *path, int *ret, struct err *err)
{
	/* O_NONBLOCK: a FIFO must not hold us; O_NOCTTY: nor a terminal become ours. */
	CLEANUP(fd_closep) int fd = open_in_root(rootfs, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		*ret = -1;
		return 0;
	}
	if (fd < 0)
		return err_set(err, RPC_INVALID_ARGUMENT, "open %s of the image: %m", path);
	if (fstat(fd, &st) < 0)
		return err_errno(err, "stat %s of the image", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, RPC_INVALID_ARGUMENT, "%s of the image is not a regular file", path);
	if (st.st_size > USERS_FILE_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s of the image is larger than %d bytes", path,
			       USERS_FILE_MAX);
	*ret = TAKE_FD(fd);
	return 0;
}

static void reader_init(struct reader *reader, int fd)
{
	reader->fd = fd;
	reader->total = reader->at = reader->end = 0;
	reader->eof = fd < 0;
	reader->line = (struct str)STR_LIMIT(USERS_LINE_MAX);
}

static void reader_done(struct reader *reader)
{
	str_done(&reader->line);
	reader->fd = fd_close(reader->fd);
}

static bool reader_fill(struct reader *reader)
{
	ssize_t len;

	if (reader->eof || reader->total >= USERS_FILE_MAX)
		return false;
	do
		len = read(reader->fd, reader->buffer, sizeof(reader->buffer));
	while (len < 0 && errno == EINTR);
	if (len <= 0) { /* a file that cannot be read ends here, as if it were shorter */
		reader->eof = true;
		return false;
	}
	reader->total += (size_t)len;
	reader->at = 0;
	reader->end = (size_t)len;
	return true;
}

/* The next line without its end; a line that is too long leaves line.failed set. False at the end of the
 * file. */
static bool reader_line(struct reader *reader)
{
	bool any = false;

	str_clear(&reader->line);
	reader->line.failed = false;
	while (reader->at < reader->end || reader_fill(reader)) {
		const char *from = reader->buffer + reader->at;
		size_t left = reader->end - reader->at;
		const char *newline = memchr(from, '\n', left);
		size_t len = newline ? (size_t)(newline - from) : left;

		any = true;
		str_addn(&reader->line, from, len);
		reader->at += len + (newline ? 1 : 0);
		if (newline)
			return true;
	}
	return any;
}

/* The next entry with at least `fields` fields. Comments, long lines and lines with a NUL are skipped. */
static bool reader_entry(struct reader *reader, size_t fields, struct entry *ret)
{
	while (reader_line(reader)) {
		char *text = reader->line.data;

		if (reader->line.failed || reader->line.len == 0 || strlen(text) != reader->line.len ||
		    *text == '#')
			continue;
		ret->len = 0;
		for (char *field = text; field && ret->len < FIELDS_MAX;) {
			ret->fields[ret->len++] = field;
			field = strchr(field, ':');
			if (field && ret->len < FIELDS_MAX)
				*field++ = '\0';
		}
		if (ret->len >= fields && *ret->fields[0])
			return true;
	}
	return false;
}

static bool field_id(const char *text, uint32_t *ret)
{
	uint64_t id;

	if (!all_digits(text) || !parse_u64(text, ID_MAX, &id))
		return false;
	*ret = (uint32_t)id;
	return true;
}

/* name:password:uid:gid:comment:home:shell. The first entry that matches counts, as in getpwnam(3). */
static int read_passwd(int rootfs, const struct wanted_id *wanted, struct user *user, struct err *err)
{
	struct reader reader CLEANUP(reader_done);
	struct entry entry;
	uint32_t uid, gid;
	int fd;

	reader_init(&reader, -1);
	if (open_database(rootfs, "/etc/passwd", &fd, err) < 0)
		return -1;
	reader_init(&reader, fd);
	while (reader_entry(&reader, 4, &entry)) {
		if (!field_id(entry.fields[2], &uid) || !field_id(entry.fields[3], &gid))
			continue;
		if (wanted->numeric ? uid != wanted->id : strcmp(entry.fields[0], wanted->name) != 0)
			continue;
		user->uid = uid;
		user->gid = gid;
		user->listed = true;
		if (name_fits(entry.fields[0]))
			user->name = xstrdup(entry.fields[0]);
		if (entry.len > 5 && *entry.fields[5] == '/' && strlen(entry.fields[5]) < 4096 &&
		    str_is_printable(entry.fields[5]))
			user->home = xstrdup(entry.fields[5]);
		return 0;
	}
	if (!wanted->numeric)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "unable to find user %s: no matching entries in passwd file", wanted->name);
	user->uid = wanted->id;
	user->gid = 0;
	return 0;
}

static bool has_member(char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at;) {
		const char *comma = strchr(at, ',');
		size_t part = comma ? (size_t)(comma - at) : strlen(at);

		if (part == len && memcmp(at, name, len) == 0)
			return true;
		at = comma ? comma + 1 : NULL;
	}
	return false;
}

struct groups {
	uint32_t *items;
	size_t len, size;
};

static void groups_done(struct groups *groups)
{
	free(groups->items);
}

static void groups_add(struct groups *groups, uint32_t gid)
{
	if (groups->len >= USERS_GROUPS_MAX)
		return; /* sort_groups() then refuses */
	if (groups->len == groups->size) {
		groups->size = groups->size ? groups->size * 2 : 16;
		groups->items = xrealloc(groups->items, groups->size, sizeof(*groups->items));
	}
	groups->items[groups->len++] = gid;
}

/* name:password:gid:members. Sets user->gid for a group asked by name; adds the memberships of user->name. */
static int read_group(int rootfs, const struct wanted_id *wanted, struct user *user, struct groups *groups,
		      struct err *err)
{
	struct reader reader CLEANUP(reader_done);
	struct entry entry;
	bool found = !wanted;
	uint32_t gid;
	int fd;

	reader_init(&reader, -1);
	if (open_database(rootfs, "/etc/group", &fd, err) < 0)
		return -1;
	reader_init(&reader, fd);
	while (reader_entry(&reader, 3, &entry)) {
		if (!field_id(entry.fields[2], &gid))
			continue;
		if (!found && strcmp(entry.fields[0], wanted->name) == 0) {
			user->gid = gid;
			found = true;
		}
		if (groups && entry.len > 3 && !str_empty(user->name) &&
		    has_member(entry.fields[3], user->name))
			groups_add(groups, gid);
	}
	if (!found)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "unable to find group %s: no matching entries in group file", wanted->name);
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static int sort_groups(struct groups *groups, struct user *user, struct err *err)
{
	size_t len = 0;

	if (groups->len >= USERS_GROUPS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "the user is in more than %d groups",
			       USERS_GROUPS_MAX - 1);
	qsort(groups->items, groups->len, sizeof(*groups->items), compare_ids);
	for (size_t i = 0; i < groups->len; i++)
		if (len == 0 || groups->items[len - 1] != groups->items[i])
			groups->items[len++] = groups->items[i];
	user->groups = TAKE(groups->items);
	user->groups_len = len;
	return 0;
}

void user_done(struct user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
	*user = (struct user){ 0 };
}

static int resolve(const struct user_request *request, const struct wanted *wanted, struct user *user,
		   struct err *err)
{
	static const struct wanted_id root = { .set = true, .numeric = true, .id = 0 };
	const Cri__LinuxContainerSecurityContext *security = request->security;
	bool merge =
		!security || security->supplemental_groups_policy == CRI__SUPPLEMENTAL_GROUPS_POLICY__Merge;
	bool by_name = wanted->group.set && !wanted->group.numeric;
	struct groups groups CLEANUP(groups_done) = { 0 };

	if (read_passwd(request->rootfs, wanted->user.set ? &wanted->user : &root, user, err) < 0)
		return -1;
	if (wanted->group.set && wanted->group.numeric)
		user->gid = wanted->group.id;
	if ((by_name || (merge && !str_empty(user->name))) &&
	    read_group(request->rootfs, by_name ? &wanted->group : NULL, user, merge ? &groups : NULL, err) <
		    0)
		return -1;
	groups_add(&groups, user->gid);
	for (size_t i = 0; security && i < security->n_supplemental_groups; i++)
		groups_add(&groups, (uint32_t)security->supplemental_groups[i]);
	if (sort_groups(&groups, user, err) < 0)
		return -1;
	if (!user->name)
		user->name = xstrdup("");
	if (!user->home)
		user->home = xstrdup("/");
	return 0;
}

int user_resolve(const struct user_request *request, struct user *ret, struct err *err)
{
	struct wanted wanted CLEANUP(wanted_done) = { 0 };
	struct user user CLEANUP(user_done) = { 0 };

	if (wanted_init(request, &wanted, err) < 0 || resolve(request, &wanted, &user, err) < 0)
		return -1;
	*ret = user;
	user = (struct user){ 0 };
	return 0;
}

/* -1 when there is no file that user_resolve() reads. */
static int open_to_append(int rootfs, off_t *ret_size)
{
	CLEANUP(fd_closep) int look = open_in_root(rootfs, "/etc/passwd", O_PATH, 0);
	struct stat st;

	if (look < 0 || fstat(look, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > USERS_FILE_MAX)
		return -1;
	*ret_size = st.st_size;
	return open_in_root(rootfs, "/etc/passwd", O_RDWR | O_APPEND | O_NONBLOCK, 0);
}

int user_add_entry(int rootfs, const struct user *user, struct err *err)
{
	off_t size = 0;
	char line[128], last = '\n';

	if (user->listed)
		return 0;
	CLEANUP(fd_closep) int fd = open_to_append(rootfs, &size);
	if (fd < 0)
		return 0;
	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		return err_errno(err, "read /etc/passwd of the root filesystem");
	/* Numbers only: nothing of the request can become another entry (CVE-2022-4318). */
	int len = snprintf(line, sizeof(line), "%s%u:x:%u:%u:%u user:/:/sbin/nologin\n",
			   last == '\n' ? "" : "\n", user->uid, user->uid, user->gid, user->uid);
	return write_all(fd, line, (size_t)len) < 0
		       ? err_errno(err, "write /etc/passwd of the root filesystem")
		       : 0;
}
