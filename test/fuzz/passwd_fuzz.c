/* floor: sandbox
 *
 * An image's passwd and group: the first byte chooses how the user is named, the rest is the content of both
 * files. Whatever they hold, ids stay in range, groups are sorted and have the primary one, and name and home
 * are fit for a line of a file.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "fuzz.h"
#include "sandbox/users.h"

static char dir[] = "/tmp/crisp-passwd-fuzz.XXXXXX";
static int rootfs = -1;

static void tidy(void)
{
	unlinkat(rootfs, "etc/passwd", 0);
	unlinkat(rootfs, "etc/group", 0);
	unlinkat(rootfs, "etc", AT_REMOVEDIR);
	rmdir(dir);
}

static void prepare(void)
{
	if (rootfs >= 0)
		return;
	assert(mkdtemp(dir));
	rootfs = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(rootfs >= 0 && mkdirat(rootfs, "etc", 0755) == 0);
	atexit(tidy);
}

static void put(const char *name, const uint8_t *data, size_t len)
{
	int fd = openat(rootfs, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert(fd >= 0 && write_all(fd, data, len) == 0);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const users[] = {
		"", "root", "0", "1000", "app:staff", "app:50", "2147483647", "x"
	};
	struct user user CLEANUP(user_done) = { 0 };
	struct err err = { 0 };
	bool primary = false;

	if (len == 0)
		return 0;
	prepare();
	put("etc/passwd", data + 1, len - 1);
	put("etc/group", data + 1, len - 1);
	struct user_request request = { .image_user = users[data[0] % ARRAY_LEN(users)], .rootfs = rootfs };
	if (user_resolve(&request, &user, &err) < 0) {
		assert(err.code == RPC_INVALID_ARGUMENT && !user.groups);
		return 0;
	}
	assert(user.uid <= INT32_MAX && user.gid <= INT32_MAX && user.groups_len > 0);
	for (size_t i = 0; i < user.groups_len; i++) {
		assert(user.groups[i] <= INT32_MAX && (i == 0 || user.groups[i - 1] < user.groups[i]));
		primary = primary || user.groups[i] == user.gid;
	}
	assert(primary && *user.home == '/' && str_is_printable(user.home));
	assert(str_is_printable(user.name) && !strchr(user.name, ':'));
	return 0;
}
