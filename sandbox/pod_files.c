/*
 * Small files written from checked words. What is copied from the host (hostname, hosts, resolv.conf) is read
 * only if it is a regular file of a sane size; links are followed there, as /etc/resolv.conf often is one.
 *
 * shm and etc are mounts on folders of ours; they are known by having another device than their parent, so
 * making them twice and removing them after a crash need no record.
 */
#include "sandbox/pod_files.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"
#include "base/str.h"
#include "sandbox/selinux.h"

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define NAME_BYTES ALPHANUMERIC "-._"

enum { HOST_FILE_MAX = 64 * 1024, STACKED_MOUNTS_MAX = 64, ZONE_MAX = 15, FILE_MODE = 0644 };

/* Containers may write to the files in it: this is all that they get of the host's memory (CVE-2020-8557). */
#define ETC_OPTIONS "mode=0755,size=512k,nr_inodes=32"

static const char mark_name[] = ".unfinished", etc_name[] = "etc", shm_name[] = "shm";

char *pod_files_path(const char *dir, const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

char *pod_files_shared(const char *dir, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s/%s", dir, etc_name, name);

	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? TAKE(path)
									 : pod_files_path(dir, name);
}

static bool is_made_of(const char *text, const char *bytes)
{
	return *text && text[strspn(text, bytes)] == '\0';
}

/* An IPv4 or IPv6 address, the latter with an optional zone ("fe80::1%eth0"). */
static bool is_address(const char *text)
{
	struct in6_addr address;
	const char *zone = strchr(text, '%');

	if (!zone)
		return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
	CLEANUP(freep) char *bare = xstrndup(text, (size_t)(zone - text));
	return inet_pton(AF_INET6, bare, &address) == 1 && strlen(zone + 1) <= ZONE_MAX &&
	       is_made_of(zone + 1, NAME_BYTES);
}

static bool is_search(const char *text)
{
	return is_made_of(text, NAME_BYTES);
}

static bool is_option(const char *text)
{
	return is_made_of(text, NAME_BYTES ":");
}

static int check_items(const char *what, const char *const *items, bool (*is_good)(const char *),
		       struct err *err)
{
	for (size_t i = 0; items && items[i]; i++) {
		if (i >= POD_DNS_ITEMS_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "DNS %s: more than %d", what,
				       POD_DNS_ITEMS_MAX);
		if (strlen(items[i]) > POD_DNS_ITEM_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "DNS %s \"%.32s...\": longer than %d bytes",
				       what, items[i], POD_DNS_ITEM_MAX);
		if (!is_good(items[i]))
			return err_set(err, RPC_INVALID_ARGUMENT, "DNS %s \"%s\": malformed", what, items[i]);
	}
	return 0;
}

int pod_files_check(const struct pod_files_spec *spec, struct err *err)
{
	const char *hostname = spec->hostname ? spec->hostname : "";

	if (strlen(hostname) > POD_HOSTNAME_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "hostname \"%.32s...\": longer than %d bytes",
			       hostname, POD_HOSTNAME_MAX);
	if (*hostname && (!is_made_of(hostname, NAME_BYTES) || strchr("-.", hostname[0])))
		return err_set(err, RPC_INVALID_ARGUMENT, "hostname \"%s\": malformed", hostname);
	if (check_items("server", spec->dns_servers, is_address, err) < 0 ||
	    check_items("search", spec->dns_searches, is_search, err) < 0 ||
	    check_items("option", spec->dns_options, is_option, err) < 0)
		return -1;
	return 0;
}

/* A host's file, or "" when there is none or it is nothing we would copy. */
static char *host_file(const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	CLEANUP(str_done) struct str text = STR_LIMIT(HOST_FILE_MAX);
	struct stat st;
	ssize_t got = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > HOST_FILE_MAX)
		return xstrdup("");
	do {
		char *room = str_room(&text, 4096);
		if (!room)
			return xstrdup("");
		got = read(fd, room, 4096);
		if (got > 0)
			str_grown(&text, (size_t)got);
	} while (got > 0 || (got < 0 && errno == EINTR));
	return got < 0 ? xstrdup("") : str_take(&text);
}

/* True when systemd-resolved's stub on the host's loopback is what the file names: of no use in another
 * network. */
static bool names_local_stub(const char *resolv_conf)
{
	return strstr(resolv_conf, "nameserver 127.0.0.53") != NULL;
}

static void add_line(struct str *out, const char *keyword, const char *const *items)
{
	if (!items || !items[0])
		return;
	str_add(out, keyword);
	for (size_t i = 0; items[i]; i++) {
		str_addc(out, ' ');
		str_add(out, items[i]);
	}
	str_addc(out, '\n');
}

static bool is_none(const char *const *items)
{
	return !items || !items[0];
}

/* resolv.conf(5); malloc'd. */
static char *resolv_conf(const struct pod_files_spec *spec)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	if (is_none(spec->dns_servers) && is_none(spec->dns_searches) && is_none(spec->dns_options)) {
		CLEANUP(freep) char *host = host_file("/etc/resolv.conf");
		CLEANUP(freep)
		char *upstream = !spec->host_network && names_local_stub(host)
					 ? host_file("/run/systemd/resolve/resolv.conf")
					 : NULL;
		return upstream && *upstream ? TAKE(upstream) : TAKE(host);
	}
	add_line(&out, "search", spec->dns_searches);
	for (size_t i = 0; spec->dns_servers && spec->dns_servers[i]; i++)
		str_addf(&out, "nameserver %s\n", spec->dns_servers[i]);
	add_line(&out, "options", spec->dns_options);
	return str_take(&out);
}

/* malloc'd */
static char *hostname_of(const struct pod_files_spec *spec)
{
	char name[POD_HOSTNAME_MAX + 1] = "";

	if (!str_empty(spec->hostname))
		return xstrdup(spec->hostname);
	if (gethostname(name, sizeof(name)) < 0 || !is_made_of(name, NAME_BYTES))
		return xstrdup("localhost");
	return xstrdup(name);
}

static int write_file(const struct pod_files_spec *spec, int dir, const char *name, const char *text,
		      struct err *err)
{
	const struct userns *userns = spec->userns;

	if (file_replace_volatile(dir, name, text, strlen(text), FILE_MODE, err) < 0)
		return -1;
	if (userns &&
	    fchownat(dir, name, userns_root_uid(userns), userns_root_gid(userns), AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "chown %s", name);
	return spec->selinux_label ? selinux_label(dir, name, spec->selinux_label, err) : 0;
}

static bool is_mounted(int dir, const char *name)
{
	struct stat above, there;

	return fstat(dir, &above) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       above.st_dev != there.st_dev;
}

static int make_mount(const struct pod_files_spec *spec, int dir, const char *name, const char *options,
		      struct err *err)
{
	CLEANUP(freep) char *path = pod_files_path(spec->dir, name);

	if (is_mounted(dir, name))
		return 0;
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make %s", path);
	if (mount(name, path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return err_errno(err, "mount %s", path);
	return 0;
}

static int make_shm(const struct pod_files_spec *spec, int dir, struct err *err)
{
	CLEANUP(freep)
	char *context = spec->selinux_label ? xasprintf(",context=\"%s\"", spec->selinux_label) : xstrdup("");
	CLEANUP(freep)
	char *options = xasprintf("mode=1777,size=%llu,uid=%u,gid=%u%s", (unsigned long long)spec->shm_size,
				  spec->userns ? userns_root_uid(spec->userns) : 0,
				  spec->userns ? userns_root_gid(spec->userns) : 0, context);

	crash_point("pod_files.shm");
	return make_mount(spec, dir, shm_name, options, err);
}

/* An fd; -1 with err. */
static int open_etc(const struct pod_files_spec *spec, struct err *err)
{
	CLEANUP(freep) char *path = pod_files_path(spec->dir, etc_name);

	return dir_open(AT_FDCWD, path, err);
}

static int write_etc(const struct pod_files_spec *spec, const char *hostname, const char *resolver,
		     struct err *err)
{
	CLEANUP(fd_closep) int etc = open_etc(spec, err);

	if (etc < 0 || write_file(spec, etc, "hostname", hostname, err) < 0 ||
	    write_file(spec, etc, "resolv.conf", resolver, err) < 0)
		return err_prefix(err, "%s", spec->dir);
	return 0;
}

int pod_files_make(const struct pod_files_spec *spec, struct err *err)
{
	CLEANUP(freep) char *name = hostname_of(spec);
	CLEANUP(freep) char *line = xasprintf("%s\n", name);
	CLEANUP(freep) char *resolver = resolv_conf(spec);

	assert(spec->dir[0] == '/');
	CLEANUP(fd_closep) int dir = dir_make(AT_FDCWD, spec->dir, 0700, err);
	if (dir < 0)
		return -1;
	/* The OCI runtime goes through here as the namespace's root. */
	if (spec->userns &&
	    (fchown(dir, (uid_t)-1, userns_root_gid(spec->userns)) < 0 || fchmod(dir, 0710) < 0))
		return err_errno(err, "chown %s", spec->dir);
	if (make_mount(spec, dir, etc_name, ETC_OPTIONS, err) < 0 || crash_point("pod_files.etc") ||
	    write_etc(spec, line, resolver, err) < 0)
		return -1;
	crash_point("pod_files.written");
	return spec->shm_size ? make_shm(spec, dir, err) : 0;
}

int pod_files_write_hosts(const struct pod_files_spec *spec, const char *const *ips, struct err *err)
{
	static const char standard[] = "127.0.0.1\tlocalhost\n"
				       "::1\tlocalhost ip6-localhost ip6-loopback\n"
				       "fe00::\tip6-localnet\n"
				       "fe00::\tip6-mcastprefix\n"
				       "fe00::1\tip6-allnodes\n"
				       "fe00::2\tip6-allrouters\n";
	CLEANUP(str_done) struct str out = STR_INIT;
	CLEANUP(freep) char *name = hostname_of(spec);
	CLEANUP(fd_closep) int etc = open_etc(spec, err);

	if (etc < 0)
		return -1;
	if (spec->host_network) {
		CLEANUP(freep) char *host = host_file("/etc/hosts");
		str_add(&out, *host ? host : standard);
	} else {
		str_add(&out, standard);
		for (size_t i = 0; ips && ips[i]; i++)
			str_addf(&out, "%s\t%s\n", ips[i], name);
	}
	if (write_file(spec, etc, "hosts", str_get(&out), err) < 0)
		return err_prefix(err, "%s", spec->dir);
	return 0;
}

int pod_files_mark(const char *dir, struct err *err)
{
	CLEANUP(freep) char *path = pod_files_path(dir, mark_name);
	CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_errno(err, "make %s", path) : 0;
}

int pod_files_unmark(const char *dir, struct err *err)
{
	CLEANUP(freep) char *path = pod_files_path(dir, mark_name);

	return unlink(path) < 0 && errno != ENOENT ? err_errno(err, "remove %s", path) : 0;
}

bool pod_files_marked(const char *dir)
{
	CLEANUP(freep) char *path = pod_files_path(dir, mark_name);

	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int unmount(const char *dir, const char *name, struct err *err)
{
	CLEANUP(freep) char *path = pod_files_path(dir, name);

	for (int i = 0; i < STACKED_MOUNTS_MAX; i++) {
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			continue;
		return errno == EINVAL || errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_errno(err, "unmount %s", path);
	}
	return err_set(err, RPC_INTERNAL, "unmount %s: mounted more than %d times", path, STACKED_MOUNTS_MAX);
}

int pod_files_remove(const char *dir, struct err *err)
{
	const char *slash = strrchr(dir, '/');
	struct err why;

	assert(dir[0] == '/' && slash > dir);
	if (unmount(dir, shm_name, err) < 0 || unmount(dir, etc_name, err) < 0 ||
	    unmount(dir, "layers", err) < 0)
		return -1;
	crash_point("pod_files.unmounted");
	CLEANUP(freep) char *above = xstrndup(dir, (size_t)(slash - dir));
	CLEANUP(fd_closep) int parent = dir_open(AT_FDCWD, above, &why);
	if (parent < 0)
		return why.code == RPC_NOT_FOUND ? 0 : err_set(err, why.code, "%s", why.text);
	return tree_remove(parent, slash + 1, err);
}
