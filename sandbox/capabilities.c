/*
 * Capability sets as 64-bit masks over one static table of names.
 *
 * The table is the kernel's numbering (include/uapi/linux/capability.h); what the running kernel and this
 * process can really hand on is asked of prctl(2) and capget(2) each time, because a service manager may have
 * cut the bounding set and a container asking for ALL must then still start. Names asked for singly are
 * different: leaving one out silently would break the workload later and elsewhere, so that is refused.
 */
#include "sandbox/capabilities.h"

#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

static uint64_t bit(int number)
{
	return UINT64_C(1) << number;
}

const char *capability_name(int number)
{
	return number >= 0 && (size_t)number < ARRAY_LEN(names) ? names[number] : NULL;
}

int capability_number(const char *name)
{
	size_t skip = strncasecmp(name, "CAP_", 4) == 0 ? 4 : 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(names[i] + 4, name + skip) == 0)
			return (int)i;
	return -1;
}

uint64_t capabilities_available(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	uint64_t available = 0;

	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	for (int i = 0; i < (int)ARRAY_LEN(names); i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) /* -1: the kernel does not know this one */
			available |= bit(i);
	return available & (data[0].permitted | (uint64_t)data[1].permitted << 32);
}

/* *ret_all: "ALL" was among them. */
static int parse_list(char *const *list, size_t len, uint64_t *ret, bool *ret_all, struct err *err)
{
	uint64_t set = 0;
	bool all = false;

	for (size_t i = 0; i < len; i++) {
		const char *name = list[i];
		int number;

		if (strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0) {
			all = true;
			continue;
		}
		number = capability_number(name);
		if (number < 0)
			return err_set(err, RPC_INVALID_ARGUMENT, "unknown capability \"%.64s\"", name);
		set |= bit(number);
	}
	*ret = set;
	*ret_all = all;
	return 0;
}

static int check_available(uint64_t set, uint64_t available, struct err *err)
{
	uint64_t missing = set & ~available;

	if (!missing)
		return 0;
	return err_set(err, RPC_FAILED_PRECONDITION, "capability %s is not available on this host",
		       capability_name(__builtin_ctzll(missing)));
}

static uint64_t default_set(const struct config_strings *defaults)
{
	uint64_t set = 0;

	for (size_t i = 0; defaults && i < defaults->len; i++) {
		int number = capability_number(defaults->items[i]);

		if (number >= 0) /* the configuration was checked when it was read */
			set |= bit(number);
	}
	return set;
}

int capabilities_resolve(const struct capabilities_request *request, struct capabilities *ret,
			 struct err *err)
{
	const Cri__Capability *asked = request->asked;
	uint64_t add = 0, drop = 0, ambient = 0, set;
	bool add_all = false, drop_all = false, ambient_all = false;

	if (asked &&
	    (parse_list(asked->add_capabilities, asked->n_add_capabilities, &add, &add_all, err) < 0 ||
	     parse_list(asked->drop_capabilities, asked->n_drop_capabilities, &drop, &drop_all, err) < 0 ||
	     parse_list(asked->add_ambient_capabilities, asked->n_add_ambient_capabilities, &ambient,
			&ambient_all, err) < 0))
		return -1;
	if (request->privileged) {
		set = request->available;
	} else {
		set = drop_all ? 0 : default_set(request->defaults) & request->available;
		if (add_all)
			set = request->available;
		if (check_available(add, request->available, err) < 0)
			return -1;
		set = (set | add) & ~drop;
	}
	if (ambient_all)
		ambient |= set;
	if (ambient & ~set)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "ambient capability %s is not among the container's",
			       capability_name(__builtin_ctzll(ambient & ~set)));
	*ret = (struct capabilities){ .bounding = set, .ambient = ambient };
	return 0;
}
