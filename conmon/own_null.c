/*
 * The detached mount is made once and lives as long as its descriptor, which is the process's: nothing is
 * left when crispd ends. Its node has the device number of /dev/null (null(4)); whoever changes owner or mode
 * of it changes nothing for crispd, which is root, nor for descriptors that are open.
 */
#include "conmon/own_null.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

enum { NULL_MAJOR = 1, NULL_MINOR = 3 };
static const char name[] = "null";
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int folder = -1;
static struct err problem;

static int make(struct err *err)
{
	CLEANUP(fd_closep) int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	CLEANUP(fd_closep) int mount = -1;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_errno(err, "a tmpfs for a null device");
	mount = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mount < 0)
		return err_errno(err, "mount a tmpfs for a null device");
	if (mknodat(mount, name, S_IFCHR | 0666, makedev(NULL_MAJOR, NULL_MINOR)) < 0)
		return err_errno(err, "make a null device");
	folder = TAKE_FD(mount);
	return 0;
}

static void make_once(void)
{
	(void)!make(&problem);
}

int own_null_open(struct err *err)
{
	pthread_once(&once, make_once);
	if (folder < 0)
		return err_set(err, problem.code, "%s", problem.text);
	int fd = openat(folder, name, O_RDWR | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "open a null device") : fd;
}

void host_null_repair(void)
{
	struct stat st;

	if (lstat("/dev/null", &st) < 0 || !S_ISCHR(st.st_mode) || (st.st_uid == 0 && st.st_gid == 0))
		return;
	if (lchown("/dev/null", 0, 0) < 0)
		log_warn("/dev/null belongs to user %u, and cannot be given back to root: %s", st.st_uid,
			 strerror(errno));
}
