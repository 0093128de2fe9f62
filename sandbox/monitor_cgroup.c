/* See monitor_cgroup.h. */
#include "sandbox/monitor_cgroup.h"

#include "base/file.h"
#include "sandbox/cgroup_systemd.h"
#include "sandbox/store.h"

int monitor_cgroup_check(const struct config *config, struct err *err)
{
	const struct config_runtimes *runtimes = &config->runtime;
	struct err why;

	for (size_t i = 0; i < runtimes->runtimes_len; i++)
		if (cgroup_parent_check(runtimes->cgroup_manager, runtimes->runtimes[i].monitor_cgroup,
					&why) < 0)
			return err_set(err, RPC_FAILED_PRECONDITION,
				       "crisp.runtime.runtimes.%s: monitor_cgroup: %s",
				       runtimes->runtimes[i].name, why.text);
	return 0;
}

/* "" for none. */
static const char *configured(const struct container *container)
{
	const struct handler *handler = container->pod->handler;
	const struct config_runtime *runtime =
		handler ? config_find_runtime(container->owner->config, handler->name) : NULL;

	return runtime && runtime->monitor_cgroup ? runtime->monitor_cgroup : "";
}

static bool in_scope(const struct container *container)
{
	return container->owner->config->runtime.cgroup_manager == CONFIG_SYSTEMD;
}

int monitor_cgroup_open(const struct container *container, int *ret, struct err *err)
{
	const struct cgroups *cgroups = container->owner->cgroups;
	const char *path = configured(container);

	*ret = -1;
	if (!*path || in_scope(container))
		return 0;
	if (cgroup_make_leaf(cgroups, path, err) < 0)
		return err_prefix(err, "monitor_cgroup");
	if (cgroups_view(cgroups) == CGROUP_VIEW_V2)
		*ret = cgroup_open(cgroups, path, err);
	return cgroups_view(cgroups) == CGROUP_VIEW_V2 && *ret < 0 ? err_prefix(err, "monitor_cgroup") : 0;
}

static int enter(const struct container *container, const struct process *monitor, struct err *err)
{
	const struct cgroups *cgroups = container->owner->cgroups;
	const char *path = configured(container);

	if (in_scope(container)) {
		CLEANUP(freep) char *name = xasprintf("crisp-conmon-%s.scope", container->id);
		return cgroup_systemd_scope(name, path, monitor->pid, err);
	}
	if (cgroups_view(cgroups) == CGROUP_VIEW_V2)
		return 0;
	return cgroup_move(cgroups, path, monitor->pid, err);
}

int monitor_cgroup_enter(const struct container *container, const struct process *monitor, struct err *err)
{
	if (!*configured(container) || enter(container, monitor, err) == 0 || !process_alive(monitor))
		return 0;
	return err_prefix(err, "monitor_cgroup");
}
