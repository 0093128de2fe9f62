/*
 * cgroupfs without a manager. At open the mount is looked at once: a cgroup2 filesystem is the v2 view; else
 * each folder that is a cgroup filesystem of its own is one v1 hierarchy, and `unified`, if it is cgroup2,
 * makes the view hybrid. Directory fds of the roots are kept, so that later mounts cannot change the view.
 *
 * Making a cgroup goes down component by component. On v2 each level hands its controllers to the next one
 * before that is used; a level that has processes of its own cannot (the "no internal process" rule), which
 * is no error here.
 */
#include "sandbox/cgroup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/str.h"
#include "sandbox/cgroup_hierarchy.h"
#include "sandbox/cgroup_systemd.h"

#define DEFAULT_MOUNT "/sys/fs/cgroup"
#define DEFAULT_PARENT "/crisp.pods"
#define SLICE_PREFIX "crisp-pods-pod"
#define SLICE ".slice"
#define OWNER_MARK "trusted.crisp.root"

enum { COMPONENT_MAX = 255, FILE_MAX = 64 * 1024 };

static bool is_filesystem(int fd, unsigned long magic)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == magic;
}

static void add_hierarchy(struct cgroups *cgroups, const char *name, int root_take, bool unified)
{
	cgroups->items[cgroups->len++] = (struct cgroup_hierarchy){
		.name = xstrdup(name),
		.root = root_take,
		.unified = unified,
	};
}

/* v1: links like cpu -> cpu,cpuacct are the same hierarchy again and are left out. */
static int add_v1(struct cgroups *cgroups, int mount, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (dir_list(mount, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len && cgroups->len < CGROUP_HIERARCHIES_MAX; i++) {
		CLEANUP(fd_closep)
		int root = openat(mount, names.items[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		bool unified = root >= 0 && is_filesystem(root, CGROUP2_SUPER_MAGIC);
		if (!unified && (root < 0 || !is_filesystem(root, CGROUP_SUPER_MAGIC)))
			continue;
		if (unified)
			cgroups->view = CGROUP_VIEW_HYBRID;
		add_hierarchy(cgroups, names.items[i], TAKE_FD(root), unified);
	}
	return 0;
}

struct cgroups *cgroups_open(const char *mount, struct err *err)
{
	CLEANUP(cgroups_freep) struct cgroups *cgroups = xnew(struct cgroups);

	mount = mount ? mount : DEFAULT_MOUNT;
	CLEANUP(fd_closep) int dir = dir_open(AT_FDCWD, mount, err);
	if (dir < 0)
		return NULL;
	if (is_filesystem(dir, CGROUP2_SUPER_MAGIC)) {
		cgroups->view = CGROUP_VIEW_V2;
		add_hierarchy(cgroups, "", TAKE_FD(dir), true);
		return TAKE(cgroups);
	}
	cgroups->view = CGROUP_VIEW_V1;
	if (add_v1(cgroups, dir, err) < 0)
		return NULL;
	if (cgroups->len == 0) {
		err_set(err, RPC_FAILED_PRECONDITION, "no cgroup filesystem is mounted at %s", mount);
		return NULL;
	}
	return TAKE(cgroups);
}

struct cgroups *cgroups_free(struct cgroups *cgroups)
{
	for (size_t i = 0; cgroups && i < cgroups->len; i++) {
		free(cgroups->items[i].name);
		fd_closep(&cgroups->items[i].root);
	}
	free(cgroups);
	return NULL;
}

void cgroups_freep(struct cgroups **cgroups)
{
	*cgroups = cgroups_free(*cgroups);
}

enum cgroup_view cgroups_view(const struct cgroups *cgroups)
{
	return cgroups->view;
}

const char *cgroup_view_name(enum cgroup_view view)
{
	static const char *const names[] = {
		[CGROUP_VIEW_V1] = "v1",
		[CGROUP_VIEW_V2] = "v2",
		[CGROUP_VIEW_HYBRID] = "hybrid",
	};

	return names[view];
}

static int check_component(const char *parent, const char *name, struct err *err)
{
	if (!*name || str_eq(name, ".") || str_eq(name, ".."))
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "cgroup_parent \"%s\": component \"%s\" is not allowed", parent, name);
	if (strlen(name) > COMPONENT_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "cgroup_parent \"%.64s...\": a component is longer than %d bytes", parent,
			       COMPONENT_MAX);
	return 0;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The kubelet names the slice alone; others the way to it, which must be the right one. */
static int check_slice(const char *parent, struct err *err)
{
	CLEANUP(freep) char *path = NULL;

	if (!str_has_suffix(parent, SLICE))
		return err_set(
			err, RPC_INVALID_ARGUMENT,
			"cgroup_parent \"%s\" is no systemd slice, but the cgroup manager here is systemd: "
			"set the kubelet's cgroupDriver to systemd",
			parent);
	if (cgroup_slice_path(base_of(parent), &path, err) < 0)
		return err_prefix(err, "cgroup_parent");
	if (strchr(parent, '/') && !str_has_suffix(parent, path))
		return err_set(err, RPC_INVALID_ARGUMENT, "cgroup_parent \"%s\": that slice is at %s", parent,
			       path);
	return 0;
}

int cgroup_parent_check(enum config_cgroup_manager manager, const char *parent, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (str_empty(parent) || str_eq(parent, "/"))
		return 0;
	if (strlen(parent) > CGROUP_PATH_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "cgroup_parent is longer than %d bytes",
			       CGROUP_PATH_MAX);
	if (!str_is_printable(parent))
		return err_set(err, RPC_INVALID_ARGUMENT, "cgroup_parent has a byte that is not printable");
	strv_split(&names, parent[0] == '/' ? parent + 1 : parent, '/');
	for (size_t i = 0; i < names.len; i++)
		if (check_component(parent, names.items[i], err) < 0)
			return -1;
	if (manager == CONFIG_SYSTEMD)
		return check_slice(parent, err);
	if (str_has_suffix(parent, SLICE))
		return err_set(
			err, RPC_INVALID_ARGUMENT,
			"cgroup_parent \"%s\" is a systemd slice, but the cgroup manager here is cgroupfs: set the "
			"kubelet's cgroupDriver to cgroupfs",
			parent);
	return 0;
}

static char *slice_of_pod(const char *parent, const char *pod_id)
{
	bool own = str_empty(parent) || str_eq(parent, "/") || str_eq(base_of(parent), "-.slice");
	CLEANUP(freep)
	char *name = own ? xasprintf(SLICE_PREFIX "%s" SLICE, pod_id) : xstrdup(base_of(parent));
	char *path = NULL;

	if (cgroup_slice_path(name, &path, NULL) <
	    0) /* of an older state: it cannot be right, but must be a path */
		path = xasprintf("/%s", name);
	return path;
}

char *cgroup_pod_path(enum config_cgroup_manager manager, const char *parent, const char *pod_id)
{
	/* A pod from before a change of the manager keeps its own. */
	if (str_has_suffix(parent, SLICE) ||
	    (manager == CONFIG_SYSTEMD && (str_empty(parent) || str_eq(parent, "/"))))
		return slice_of_pod(parent, pod_id);
	if (str_empty(parent))
		return xasprintf(DEFAULT_PARENT "/pod%s", pod_id);
	if (str_eq(parent, "/"))
		return xasprintf("/pod%s", pod_id);
	return parent[0] == '/' ? xstrdup(parent) : xasprintf("/%s", parent);
}

bool cgroup_pod_path_is_ours(const char *path, const char *pod_id)
{
	CLEANUP(freep) char *folder = xasprintf("pod%s", pod_id);
	CLEANUP(freep) char *slice = xasprintf(SLICE_PREFIX "%s" SLICE, pod_id);

	return str_eq(base_of(path), folder) || str_eq(base_of(path), slice);
}

bool cgroup_path_is_slice(const char *path)
{
	return str_has_suffix(path, SLICE);
}

char *cgroup_container_path(const char *pod_path, const char *id)
{
	return xasprintf("%s/crisp-%s%s", pod_path, id, cgroup_path_is_slice(pod_path) ? ".scope" : "");
}

char *cgroup_runtime_path(const char *pod_path, const char *id)
{
	return cgroup_path_is_slice(pod_path) ? xasprintf("%s:crisp:%s", base_of(pod_path), id)
					      : cgroup_container_path(pod_path, id);
}

/* "cpu,cpuacct" has the controller "cpu". */
static bool has_controller(const struct cgroup_hierarchy *hierarchy, const char *controller)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (hierarchy->unified)
		return false;
	strv_split(&names, hierarchy->name, ',');
	return strv_has(&names, controller);
}

const struct cgroup_hierarchy *cgroup_hierarchy_of(const struct cgroups *cgroups, const char *controller)
{
	if (cgroups->view == CGROUP_VIEW_V2)
		return &cgroups->items[0];
	for (size_t i = 0; i < cgroups->len; i++)
		if (has_controller(&cgroups->items[i], controller))
			return &cgroups->items[i];
	return NULL;
}

int cgroup_hierarchy_open(const struct cgroup_hierarchy *hierarchy, const char *path)
{
	assert(path[0] == '/');
	return open_beneath(hierarchy->root, path[1] ? path + 1 : ".", O_RDONLY | O_DIRECTORY, 0);
}

/* True when the space-separated list has the word. */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' ' || at[len] == '\n'))
			return true;
	return false;
}

/* v2: hands every controller the cgroup has to its children. Each is written by itself, as one that the
 * kernel refuses (EBUSY, or cpu with realtime processes about) must not take the others with it. */
static void delegate(int dir)
{
	CLEANUP(freep) char *have = NULL;
	CLEANUP(freep) char *given = NULL;
	struct err ignored;

	if (file_read_virtual(dir, "cgroup.controllers", FILE_MAX, &have, &ignored) < 0 || !*have ||
	    *have == '\n' || file_read_virtual(dir, "cgroup.subtree_control", FILE_MAX, &given, &ignored) < 0)
		return;
	for (char *rest = have, *word; (word = strtok_r(rest, " \n", &rest));) {
		CLEANUP(freep) char *add = xasprintf("+%s", word);
		if (!has_word(given, word))
			(void)!file_write_virtual(dir, "cgroup.subtree_control", add, &ignored);
	}
}

/* v1: a new cpuset has neither cpus nor memory nodes and could run nothing; it starts with its parent's. */
static void inherit_cpuset(int parent, int dir)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	struct err ignored;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP(freep) char *own = NULL;
		CLEANUP(freep) char *theirs = NULL;
		if (file_read_virtual(dir, files[i], FILE_MAX, &own, &ignored) < 0 ||
		    own[strspn(own, " \n")] ||
		    file_read_virtual(parent, files[i], FILE_MAX, &theirs, &ignored) < 0)
			continue;
		(void)!file_write_virtual(dir, files[i], theirs, &ignored);
	}
}

/* Makes one component in dir and returns it opened; -1 with errno. */
static int make_component(const struct cgroup_hierarchy *hierarchy, int dir, const char *name)
{
	bool made = mkdirat(dir, name, 0755) == 0;

	if (!made && errno != EEXIST)
		return -1;
	CLEANUP(fd_closep) int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Containers in a user namespace go through here, whatever our umask. */
	if (child < 0 || (made && fchmod(child, 0755) < 0))
		return -1;
	if (made && !hierarchy->unified)
		inherit_cpuset(dir, child);
	return TAKE_FD(child);
}

/* hands_down: only on pure v2. In the hybrid view the unified hierarchy just groups processes, and handing
 * down the odd controller that v1 left it would forbid processes in the cgroups above. leaf: path itself does
 * not, so that it may have processes. */
static int make_in(const struct cgroup_hierarchy *hierarchy, const char *path, bool hands_down, bool leaf,
		   struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	if (!hands_down) { /* what exists is ready */
		CLEANUP(fd_closep) int there = cgroup_hierarchy_open(hierarchy, path);
		if (there >= 0)
			return 0;
	}
	CLEANUP(fd_closep) int dir = fcntl(hierarchy->root, F_DUPFD_CLOEXEC, 0);
	if (dir < 0)
		return err_errno(err, "make cgroup %s", path);
	if (path[1])
		strv_split(&names, path + 1, '/');
	for (size_t i = 0; i < names.len; i++) {
		if (hands_down)
			delegate(dir);
		int child = make_component(hierarchy, dir, names.items[i]);
		if (child < 0)
			return err_errno(err, "make cgroup %s%s%s", hierarchy->name,
					 *hierarchy->name ? ":" : "", path);
		fd_close(dir);
		dir = child;
	}
	if (hands_down && !leaf)
		delegate(dir);
	return 0;
}

static int make_everywhere(const struct cgroups *cgroups, const char *path, bool leaf, struct err *err)
{
	for (size_t i = 0; i < cgroups->len; i++)
		if (make_in(&cgroups->items[i], path, cgroups->view == CGROUP_VIEW_V2, leaf, err) < 0)
			return -1;
	return 0;
}

int cgroup_make(const struct cgroups *cgroups, const char *path, struct err *err)
{
	assert(path[0] == '/');
	if (cgroup_path_is_slice(path))
		return cgroup_exists(cgroups, path) ? 0 : cgroup_systemd_start(base_of(path), err);
	return make_everywhere(cgroups, path, false, err);
}

int cgroup_make_leaf(const struct cgroups *cgroups, const char *path, struct err *err)
{
	return make_everywhere(cgroups, path, true, err);
}

int cgroup_open(const struct cgroups *cgroups, const char *path, struct err *err)
{
	if (cgroups->view != CGROUP_VIEW_V2)
		return err_set(err, RPC_FAILED_PRECONDITION, "cgroup %s: this host has cgroup %s, not v2",
			       path, cgroup_view_name(cgroups->view));
	int fd = cgroup_hierarchy_open(&cgroups->items[0], path);
	if (fd < 0)
		err_errno(err, "open cgroup %s", path);
	return fd;
}

bool cgroup_exists(const struct cgroups *cgroups, const char *path)
{
	for (size_t i = 0; i < cgroups->len; i++) {
		CLEANUP(fd_closep) int fd = cgroup_hierarchy_open(&cgroups->items[i], path);
		if (fd >= 0)
			return true;
	}
	return false;
}

/* Of all hierarchies the first has the mark. */
static int open_first(const struct cgroups *cgroups, const char *path)
{
	return cgroup_hierarchy_open(&cgroups->items[0], path);
}

void cgroup_mark(const struct cgroups *cgroups, const char *path, const char *owner)
{
	CLEANUP(fd_closep) int dir = open_first(cgroups, path);

	if (dir >= 0)
		(void)!fsetxattr(dir, OWNER_MARK, owner, strlen(owner), 0);
}

bool cgroup_is_marked(const struct cgroups *cgroups, const char *path, const char *owner)
{
	CLEANUP(fd_closep) int dir = open_first(cgroups, path);
	char value[CGROUP_PATH_MAX];
	ssize_t len = dir < 0 ? -1 : fgetxattr(dir, OWNER_MARK, value, sizeof(value));

	return len >= 0 && (size_t)len == strlen(owner) && memcmp(value, owner, (size_t)len) == 0;
}

void cgroup_list_pods(const struct cgroups *cgroups, struct strv *ret)
{
	CLEANUP(fd_closep) int dir = open_first(cgroups, DEFAULT_PARENT);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err ignored;

	if (dir < 0 || dir_list(dir, ".", &names, &ignored) < 0)
		return;
	for (size_t i = 0; i < names.len; i++)
		if (str_has_prefix(names.items[i], "pod") && id_valid(names.items[i] + strlen("pod")))
			strv_add(ret, names.items[i] + strlen("pod"));
}

static bool find_oom_kills(char *text, uint64_t *ret)
{
	for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));)
		if (str_has_prefix(line, "oom_kill "))
			return parse_u64(line + strlen("oom_kill "), UINT64_MAX, ret);
	return false;
}

bool cgroup_oom_kills_read(int fd, uint64_t *ret)
{
	char text[1024];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

	if (len < 0)
		return false;
	text[len] = '\0';
	return find_oom_kills(text, ret);
}

uint64_t cgroup_oom_kills_in(int dir, const char *file)
{
	CLEANUP(freep) char *text = NULL;
	struct err ignored;
	uint64_t count;

	if (file_read_virtual(dir, file, FILE_MAX, &text, &ignored) < 0)
		return 0;
	return find_oom_kills(text, &count) ? count : 0;
}

/* v1 counts each cgroup by itself. */
static int add_oom_kills(int dir, int parent, const char *name, void *data, struct err *err)
{
	uint64_t *sum = data;

	(void)parent, (void)name, (void)err;
	*sum += cgroup_oom_kills_in(dir, "memory.oom_control");
	return 0;
}

char *cgroup_oom_file(const struct cgroups *cgroups, const char *path)
{
	const struct cgroup_hierarchy *hierarchy = cgroup_hierarchy_of(cgroups, "memory");

	if (!hierarchy || !hierarchy->unified)
		return NULL;
	return xasprintf("/proc/self/fd/%d%s/memory.events", hierarchy->root, path);
}

int cgroup_oom_kills(const struct cgroups *cgroups, const char *path, uint64_t *ret, struct err *err)
{
	uint64_t sum = 0;

	if (!cgroup_exists(cgroups, path))
		return err_set(err, RPC_NOT_FOUND, "no cgroup %s", path);
	for (size_t i = 0; i < cgroups->len; i++) {
		const struct cgroup_hierarchy *hierarchy = &cgroups->items[i];
		CLEANUP(fd_closep) int dir = cgroup_hierarchy_open(hierarchy, path);
		if (dir < 0)
			continue;
		if (hierarchy->unified)
			sum += cgroup_oom_kills_in(dir, "memory.events");
		else if (faccessat(dir, "memory.oom_control", R_OK, 0) == 0 &&
			 cgroup_walk(hierarchy, path, add_oom_kills, &sum, err) < 0)
			return -1;
	}
	*ret = sum;
	return 0;
}
