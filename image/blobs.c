/*
 * Files of one directory per algorithm. Usage is counted at open, by one listing, and kept up to date.
 */
#include "image/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"

enum { ALGORITHMS = 2, BLOCK = 4096 };

struct blobs {
	int dirs[ALGORITHMS]; /* by enum digest_algorithm */
	atomic_uint_least64_t bytes, inodes;
};

static uint64_t blocks(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static int open_dir(struct blobs *blobs, int root, size_t algorithm, struct err *err)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	CLEANUP(freep)
	char *path = xasprintf("blobs/%s", digest_algorithm_name((enum digest_algorithm)algorithm));
	int dir = dir_make(root, path, 0700, err);

	blobs->dirs[algorithm] = dir;
	if (dir < 0)
		return -1;
	file_sweep(dir);
	if (dir_list(dir, ".", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;
		struct err ignored;

		if (fstatat(dir, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) { /* not ours, and no blob could replace it */
			if (tree_remove(dir, names.items[i], &ignored) < 0)
				ignored.code = RPC_OK; /* tried again at the next start */
			continue;
		}
		blobs->bytes += blocks((uint64_t)st.st_size);
		blobs->inodes++;
	}
	return 0;
}

int blobs_open(int root, struct blobs **ret, struct err *err)
{
	struct blobs *blobs = xnew(struct blobs);

	for (size_t i = 0; i < ALGORITHMS; i++)
		blobs->dirs[i] = -1;
	for (size_t i = 0; i < ALGORITHMS; i++)
		if (open_dir(blobs, root, i, err) < 0) {
			blobs_free(blobs);
			return -1;
		}
	*ret = blobs;
	return 0;
}

struct blobs *blobs_free(struct blobs *blobs)
{
	if (!blobs)
		return NULL;
	for (size_t i = 0; i < ALGORITHMS; i++)
		fd_closep(&blobs->dirs[i]);
	free(blobs);
	return NULL;
}

int blobs_get(struct blobs *blobs, const struct digest *digest, size_t max, char **ret, size_t *ret_len,
	      struct err *err)
{
	CLEANUP(freep) char *data = NULL;
	char hex[DIGEST_HEX_SIZE];
	size_t len;

	digest_hex(digest, hex);
	if (file_read(blobs->dirs[digest->algorithm], hex, max, &data, &len, err) < 0 ||
	    digest_check(digest, data, len, "blob on disk", err) < 0)
		return -1;
	*ret = TAKE(data);
	*ret_len = len;
	return 0;
}

int blobs_put(struct blobs *blobs, const struct digest *digest, const struct str *data, bool durable,
	      struct err *err)
{
	int (*replace)(int, const char *, const void *, size_t, mode_t, struct err *) =
		durable ? file_replace : file_replace_volatile;
	int dir = blobs->dirs[digest->algorithm];
	char hex[DIGEST_HEX_SIZE];
	struct stat st;
	bool fresh;

	digest_hex(digest, hex);
	fresh = fstatat(dir, hex, &st, AT_SYMLINK_NOFOLLOW) < 0;
	if (replace(dir, hex, str_get(data), data->len, 0600, err) < 0)
		return err_prefix(err, "store blob");
	if (fresh) {
		blobs->bytes += blocks(data->len);
		blobs->inodes++;
	}
	return 0;
}

static void collect_dir(struct blobs *blobs, size_t algorithm, bool (*keep)(void *, const char *), void *data)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	const char *algorithm_name = digest_algorithm_name((enum digest_algorithm)algorithm);
	int dir = blobs->dirs[algorithm];
	struct err ignored;

	if (dir_list(dir, ".", &names, &ignored) < 0)
		return;
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *digest = xasprintf("%s:%s", algorithm_name, names.items[i]);
		struct stat st;

		if (names.items[i][0] == '.' || keep(data, digest) ||
		    fstatat(dir, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    unlinkat(dir, names.items[i], 0) < 0)
			continue;
		crash_point("remove_image.blob");
		blobs->bytes -= blocks((uint64_t)st.st_size);
		blobs->inodes--;
	}
}

void blobs_collect(struct blobs *blobs, bool (*keep)(void *data, const char *digest), void *data)
{
	for (size_t i = 0; i < ALGORITHMS; i++)
		collect_dir(blobs, i, keep, data);
}

void blobs_usage(struct blobs *blobs, struct tree_usage *ret)
{
	*ret = (struct tree_usage){ blobs->bytes, blobs->inodes };
}
