/* floor: image
 *
 * A layer blob (tar, gzip or zstd) unpacked into a fresh directory. Whatever it holds, nothing appears beside
 * that directory, and an error is one that a layer can cause.
 *
 * Unlike other targets this one needs a file system; it makes its directory below /tmp and removes it each
 * time.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "fuzz.h"
#include "image/layer.h"

struct input {
	const uint8_t *data;
	size_t len;
};

static int give(void *data, const uint8_t **ret, size_t *ret_len, struct err *err UNUSED)
{
	struct input *input = data;

	*ret = input->data;
	*ret_len = input->len;
	input->len = 0;
	return 0;
}

static void check_alone(int parent)
{
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err err;
	int listed = dir_list(parent, ".", &names, &err);

	assert(listed == 0 && names.len == 1);
}

static void unpack_into(int root, const uint8_t *data, size_t len)
{
	static const struct layer_limits limits = {
		.tree = { .entries_max = 1000, .names_max = 1 << 20 },
		.unpacked_free = 1 << 20,
		.expansion_max = 200,
		.unpacked_max = 1 << 24,
	};
	CLEANUP(layer_output_done) struct layer_output output = { 0 };
	struct input input = { data, len };
	const struct byte_source source = { give, &input };
	struct digest digest;
	const struct layer_input layer = { &source, &digest, &digest, &limits, root };
	struct err err = { 0 };

	digest_of(DIGEST_SHA256, data, len, &digest);
	if (layer_unpack(&layer, &output, &err) == 0)
		return;
	/* INTERNAL: the file system refuses what tar can say (a device number, an xattr, a file size). */
	assert(err.code == RPC_INVALID_ARGUMENT || err.code == RPC_DATA_LOSS || err.code == RPC_INTERNAL ||
	       err.code == RPC_RESOURCE_EXHAUSTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char path[] = "/tmp/crisp-fuzz-XXXXXX";
	char *made = mkdtemp(path);
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int root = -1;
	struct err err;
	int removed, failed;

	assert(made && tmp >= 0 && parent >= 0);
	failed = mkdirat(parent, "root", 0755);
	root = openat(parent, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(!failed && root >= 0);
	unpack_into(root, data, len);
	check_alone(parent);
	removed = tree_remove(tmp, path + strlen("/tmp/"), &err);
	assert(removed == 0);
	return 0;
}
