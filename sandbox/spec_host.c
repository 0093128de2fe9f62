/*
 * What the host can do, asked of /proc and /sys. A question that cannot be answered counts as no: a limit or
 * a feature is then not asked of the runtime, which would refuse it.
 */
#include "sandbox/spec.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "config/program.h"
#include "sandbox/capabilities.h"
#include "sandbox/selinux.h"

static const char cgroup_mount[] = "/sys/fs/cgroup";

static bool has_word(const char *list, const char *word)
{
	struct strv words CLEANUP(strv_done) = STRV_INIT;

	strv_split(&words, list, ' ');
	return strv_has(&words, word);
}

/* Limits do not exist at the root, where these controllers cannot be looked at directly: a folder below is
 * asked. */
static bool counts_swap_v2(void)
{
	struct strv names CLEANUP(strv_done) = STRV_INIT;
	bool any = false;

	if (dir_list(AT_FDCWD, cgroup_mount, &names, NULL) < 0)
		return false;
	for (size_t i = 0; i < names.len; i++) {
		CLEANUP(freep) char *limit = xasprintf("%s/%s/memory.max", cgroup_mount, names.items[i]);
		CLEANUP(freep) char *swap = xasprintf("%s/%s/memory.swap.max", cgroup_mount, names.items[i]);

		if (access(swap, F_OK) == 0)
			return true;
		any = any || access(limit, F_OK) == 0;
	}
	/* With the memory controller handed down to nobody yet: swap is counted unless the kernel was told
	 * otherwise. */
	return !any;
}

static void ask_cgroups(struct spec_host *host)
{
	CLEANUP(freep) char *controllers = NULL;
	struct statfs st;

	host->cgroup2 = statfs(cgroup_mount, &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC;
	if (!host->cgroup2) {
		host->swap_accounting =
			access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0;
		host->hugetlb = access("/sys/fs/cgroup/hugetlb", F_OK) == 0;
		return;
	}
	if (file_read_virtual(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", 4096, &controllers, NULL) < 0)
		return;
	controllers[strcspn(controllers, "\n")] = '\0';
	host->hugetlb = has_word(controllers, "hugetlb");
	host->swap_accounting = has_word(controllers, "memory") && counts_swap_v2();
}

static int own_oom_score_adj(void)
{
	CLEANUP(freep) char *text = NULL;
	int64_t score;

	if (file_read_virtual(AT_FDCWD, "/proc/self/oom_score_adj", 32, &text, NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return parse_i64(text, -1000, 1000, &score) ? (int)score : 0;
}

static bool memlock_unlimited(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_max == RLIM_INFINITY;
}

void spec_host_read(const struct config *config, struct spec_host *ret)
{
	*ret = (struct spec_host){ .selinux = selinux_enabled(config),
				   .rro_mounts = kernel_at_least(5, 12),
				   .oom_score_adj = own_oom_score_adj(),
				   .capabilities = capabilities_available() };
	ret->can_lower_oom_score = ret->capabilities >> CAP_SYS_RESOURCE & 1;
	ret->can_raise_memlock = ret->can_lower_oom_score || memlock_unlimited();
	ask_cgroups(ret);
}
