/*
 * libarchive parses, with nothing but its tar reader enabled; what it says about a member goes to one
 * function of layer_tree. Data goes from the inflated buffer to the file without another copy.
 *
 * libarchive bounds long names and PAX headers, but not the map of a sparse member (CVE-2025-58183 was that
 * in another reader), so the read callback counts what one header takes.
 */
#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

enum { XATTRS_MAX = 64, XATTR_VALUE_MAX = 64 * 1024 };
enum {
	FLUSH_STEP = 8 * 1024 * 1024, /* bytes of a file that the disk is given at a time */
	FLUSH_MIN = 1024 * 1024, /* smaller files are left to the sync: each would be a request of its own */
};

struct unpack {
	const struct byte_source *source;
	struct layer_tree *tree;
	uint64_t header_bytes; /* read since the last member's data ended */
	bool in_header;
	bool source_failed;
	bool sync_soon;
	struct err *err;
};

static const char opaque_name[] = ".wh..wh..opq";
static const char aufs_prefix[] = ".wh..wh.";
static const char whiteout_prefix[] = ".wh.";

static la_ssize_t on_read(struct archive *archive, void *data, const void **ret)
{
	struct unpack *unpack = data;
	const uint8_t *piece;
	size_t len;

	if (unpack->in_header && unpack->header_bytes > UNPACK_HEADER_MAX) {
		archive_set_error(archive, EINVAL, "headers are too large");
		return ARCHIVE_FATAL;
	}
	if (unpack->source->next(unpack->source->data, &piece, &len, unpack->err) < 0) {
		unpack->source_failed = true;
		archive_set_error(archive, EIO, "source failed");
		return ARCHIVE_FATAL;
	}
	if (unpack->in_header)
		unpack->header_bytes += len;
	*ret = piece;
	return (la_ssize_t)len;
}

static int tar_error(struct unpack *unpack, struct archive *archive)
{
	const char *text = archive_error_string(archive);

	if (unpack->source_failed)
		return -1;
	return err_set(unpack->err, RPC_INVALID_ARGUMENT, "tar: %s", text ? text : "malformed");
}

static bool xattr_kept(const char *name)
{
	if (str_eq(name, "security.capability"))
		return true;
	return str_has_prefix(name, "user.") && !str_has_prefix(name, "user.overlay.") &&
	       strlen(name) <= TREE_NAME_MAX;
}

/* xattrs: room for XATTRS_MAX; the values stay the entry's. */
static int read_xattrs(struct archive_entry *entry, struct tree_xattr *xattrs, size_t *ret_len,
		       struct err *err)
{
	const char *name;
	const void *value;
	size_t len, count = 0;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
		if (!name || !xattr_kept(name))
			continue;
		if (count == XATTRS_MAX || len > XATTR_VALUE_MAX)
			return err_set(err, RPC_INVALID_ARGUMENT, "too many or too large xattrs");
		xattrs[count++] = (struct tree_xattr){ name, value, len };
	}
	*ret_len = count;
	return 0;
}

static int read_meta(struct archive_entry *entry, struct tree_xattr *xattrs, struct tree_meta *ret,
		     struct err *err)
{
	int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
	long nsec = archive_entry_mtime_nsec(entry);

	/* (uid_t)-1 means "don't change" to chown(2): it is no id either. */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "owner out of range");
	*ret = (struct tree_meta){
		.uid = (uid_t)uid,
		.gid = (gid_t)gid,
		.mode = archive_entry_perm(entry) & 07777,
		.mtime = { archive_entry_mtime(entry), nsec >= 0 && nsec < 1000000000 ? nsec : 0 },
		.xattrs = xattrs,
	};
	return read_xattrs(entry, xattrs, &ret->xattrs_len, err);
}

static int pwrite_all(int fd, const uint8_t *data, size_t len, int64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
		offset += n;
	}
	return 0;
}

/* [offset, end) has been written, maybe as the file's last: begins to put on the disk what is due. A disk
 * that fails is for the sync to tell. */
static void flush_data(const struct unpack *unpack, int fd, int64_t offset, int64_t end, bool last)
{
	int64_t begin = offset - offset % FLUSH_STEP;
	int64_t until = last ? end : end - end % FLUSH_STEP;

	if (unpack->sync_soon && begin < until && end >= FLUSH_MIN)
		(void)sync_file_range(fd, begin, until - begin, SYNC_FILE_RANGE_WRITE);
}

static int copy_data(struct unpack *unpack, struct archive *archive, int fd, int64_t size,
		     uint64_t *ret_written)
{
	int64_t end = 0;

	*ret_written = 0;
	for (;;) {
		const void *block;
		size_t len;
		la_int64_t offset;
		int code = archive_read_data_block(archive, &block, &len, &offset);

		if (code == ARCHIVE_EOF)
			break;
		if (code != ARCHIVE_OK)
			return tar_error(unpack, archive);
		if (offset < 0 || offset > size || (int64_t)len > size - offset)
			return err_set(unpack->err, RPC_INVALID_ARGUMENT, "data outside of the file's size");
		if (pwrite_all(fd, block, len, offset) < 0)
			return err_errno(unpack->err, "write");
		*ret_written += len;
		if (len > 0)
			end = offset + (int64_t)len;
		flush_data(unpack, fd, offset, end, false);
	}
	flush_data(unpack, fd, end, end, true);
	if (end < size && ftruncate(fd, size) < 0)
		return err_errno(unpack->err, "extend to %lld bytes", (long long)size);
	return 0;
}

static int unpack_file(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
		       const char *path, const struct tree_meta *meta)
{
	CLEANUP(fd_closep) int fd = -1;
	int64_t size = archive_entry_size(entry);
	uint64_t written;

	if (size < 0 || size > UNPACK_FILE_MAX)
		return err_set(unpack->err, RPC_INVALID_ARGUMENT, "file size out of range");
	if (layer_tree_file(unpack->tree, path, &fd, unpack->err) < 0 ||
	    copy_data(unpack, archive, fd, size, &written) < 0)
		return -1;
	return layer_tree_file_end(unpack->tree, fd, meta, written, unpack->err);
}

static int unpack_node(struct unpack *unpack, struct archive_entry *entry, const char *path,
		       const struct tree_meta *meta)
{
	mode_t type = archive_entry_filetype(entry);
	dev_t device = 0;

	if (type != AE_IFIFO)
		device = makedev((unsigned int)archive_entry_rdevmajor(entry),
				 (unsigned int)archive_entry_rdevminor(entry));
	if (type == AE_IFCHR && device == makedev(0, 0)) /* means just this to overlayfs */
		return layer_tree_whiteout(unpack->tree, path, unpack->err);
	return layer_tree_node(unpack->tree, path, type, device, meta, unpack->err);
}

static int unpack_typed(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
			const char *path)
{
	struct tree_xattr xattrs[XATTRS_MAX];
	const char *target = archive_entry_hardlink(entry);
	struct tree_meta meta;

	if (target)
		return layer_tree_link(unpack->tree, path, target, unpack->err);
	if (read_meta(entry, xattrs, &meta, unpack->err) < 0)
		return -1;
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return unpack_file(unpack, archive, entry, path, &meta);
	case AE_IFDIR:
		return layer_tree_dir(unpack->tree, path, &meta, unpack->err);
	case AE_IFLNK:
		target = archive_entry_symlink(entry);
		return layer_tree_symlink(unpack->tree, path, target ? target : "", &meta, unpack->err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return unpack_node(unpack, entry, path, &meta);
	default:
		return err_set(unpack->err, RPC_INVALID_ARGUMENT, "unknown type of member");
	}
}

/* path's last name is ".wh.<name>"; at is where it starts. */
static int unpack_whiteout(struct unpack *unpack, const char *path, size_t at)
{
	const char *name = path + at + strlen(whiteout_prefix);
	CLEANUP(str_done) struct str hidden = STR_INIT;

	str_addn(&hidden, path, at);
	if (str_eq(path + at, opaque_name))
		return layer_tree_opaque(unpack->tree, str_get(&hidden), unpack->err);
	if (str_has_prefix(path + at, aufs_prefix))
		return 0;
	if (name[0] == '\0' || str_eq(name, ".") || str_eq(name, ".."))
		return err_set(unpack->err, RPC_INVALID_ARGUMENT, "whiteout of nothing");
	str_add(&hidden, name);
	return layer_tree_whiteout(unpack->tree, str_get(&hidden), unpack->err);
}

/* True when a directory on the way to the last name has aufs's prefix (".wh..wh.plnk/..."). */
static bool in_aufs_dir(const char *path, size_t at)
{
	const char *found = memmem(path, at, aufs_prefix, strlen(aufs_prefix));

	return found && (found == path || found[-1] == '/');
}

static int unpack_member(struct unpack *unpack, struct archive *archive, struct archive_entry *entry)
{
	const char *raw = archive_entry_pathname(entry);
	CLEANUP(freep) char *path = NULL;
	const char *slash;
	size_t at;

	if (!raw || raw[0] == '\0' || strlen(raw) > 2 * TREE_PATH_MAX)
		return err_set(unpack->err, RPC_INVALID_ARGUMENT, "member without a usable name");
	path = xstrdup(raw);
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	slash = strrchr(path, '/');
	at = slash ? (size_t)(slash - path) + 1 : 0;
	if (in_aufs_dir(path, at))
		return 0;
	if (str_has_prefix(path + at, whiteout_prefix))
		return unpack_whiteout(unpack, path, at);
	return unpack_typed(unpack, archive, entry, path);
}

/* Names come from the layer: an error text shows only what is printable of them. */
static void clean_text(struct err *err)
{
	for (char *c = err->text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

/* Warnings are about character sets and ACLs, except for PAX records that libarchive would pass over: other
 * readers might not. */
static bool is_harmless(struct archive *archive, int code)
{
	const char *text = archive_error_string(archive);

	return code == ARCHIVE_WARN && !(text && strcasestr(text, "malformed"));
}

static int unpack_all(struct unpack *unpack, struct archive *archive)
{
	for (;;) {
		struct archive_entry *entry;
		int code;

		unpack->in_header = true;
		unpack->header_bytes = 0;
		code = archive_read_next_header(archive, &entry);
		unpack->in_header = false;
		if (code == ARCHIVE_EOF)
			return 0;
		if (code != ARCHIVE_OK && !is_harmless(archive, code))
			return tar_error(unpack, archive);
		if (unpack_member(unpack, archive, entry) < 0) {
			clean_text(unpack->err);
			return -1;
		}
		code = archive_read_data_skip(archive);
		if (code != ARCHIVE_OK && code != ARCHIVE_EOF)
			return tar_error(unpack, archive);
	}
}

static void archive_freep(struct archive **archive)
{
	archive_read_free(*archive);
}

int unpack(const struct byte_source *source, struct layer_tree *tree, bool sync_soon, struct err *err)
{
	struct unpack unpack = { .source = source, .tree = tree, .sync_soon = sync_soon, .err = err };
	CLEANUP(archive_freep) struct archive *archive = archive_read_new();

	assert(archive);
	if (archive_read_support_format_tar(archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(archive) != ARCHIVE_OK)
		return tar_error(&unpack, archive);
	unpack.in_header = true;
	if (archive_read_open(archive, &unpack, NULL, on_read, NULL) != ARCHIVE_OK)
		return tar_error(&unpack, archive);
	if (unpack_all(&unpack, archive) < 0)
		return -1;
	return layer_tree_finish(tree, err);
}
