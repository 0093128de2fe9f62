/*
 * A reading takes the asker, a socket and the names it learned, out of the meter and puts it back after a
 * whole answer: two at once never mix on one socket (the second opens its own), and one that failed is not
 * used again.
 */
#include "sandbox/net_meter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "sandbox/cgroup_meter.h"

enum {
	ANSWER_SECONDS = 2,
	ANSWER_LEN = 64 * 1024, /* the kernel's dumps come in parts of 32 KiB at most */
	THREAD_STACK = 256 * 1024,
};

struct link_name {
	int index;
	char name[IF_NAMESIZE];
	bool loopback;
};

struct net_asker {
	struct nl_sock *socket;
	struct link_name *names;
	size_t len;
	int64_t named_at; /* clock_mono() ns */
};

/* ---- opening ---- */

struct entry {
	const char *path;
	struct nl_sock *socket;
	int result;
	struct err err;
};

static int connect_route(struct nl_sock *socket, struct err *err)
{
	const struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	int error = nl_connect(socket, NETLINK_ROUTE);

	if (error < 0)
		return err_set(err, RPC_UNAVAILABLE, "netlink socket: %s", nl_geterror(error));
	/* One call for each part of an answer instead of a look at its length before. */
	nl_socket_disable_msg_peek(socket);
	nl_socket_set_msg_buf_size(socket, ANSWER_LEN);
	if (setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return err_errno(err, "netlink socket");
	return 0;
}

/* On a thread of its own, which ends in the namespace. */
static void *enter(void *data)
{
	struct entry *entry = data;
	CLEANUP(fd_closep) int fd = open(entry->path, O_RDONLY | O_CLOEXEC);

	entry->result = -1;
	if (fd < 0)
		err_set(&entry->err, errno == ENOENT ? RPC_NOT_FOUND : RPC_UNAVAILABLE,
			"open network namespace %s: %m", entry->path);
	else if (setns(fd, CLONE_NEWNET) < 0)
		err_errno(&entry->err, "enter network namespace %s", entry->path);
	else
		entry->result = connect_route(entry->socket, &entry->err);
	return NULL;
}

static int enter_on_thread(struct entry *entry, struct err *err)
{
	pthread_t thread;
	int error = thread_start(&thread, NULL, THREAD_STACK, enter, entry);

	if (error)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "start a thread: error %d", error);
	pthread_join(thread, NULL);
	if (entry->result < 0)
		*err = entry->err;
	return entry->result;
}

static void asker_free(struct net_asker *asker)
{
	if (!asker)
		return;
	nl_socket_free(asker->socket);
	free(asker->names);
	free(asker);
}

static struct net_asker *open_in(const char *path, struct err *err)
{
	struct net_asker *asker = xnew(struct net_asker);
	struct entry entry = { .path = path, .socket = nl_socket_alloc() };

	asker->socket = entry.socket;
	if (entry.socket && enter_on_thread(&entry, err) == 0)
		return asker;
	if (!entry.socket)
		err_set(err, RPC_RESOURCE_EXHAUSTED, "netlink socket: out of memory");
	asker_free(asker);
	return NULL;
}

/* ---- keeping ---- */

void net_meter_init(struct net_meter *meter)
{
	*meter = (struct net_meter){ 0 };
	lock_init(&meter->lock, "net meter", LOCK_METER);
}

static void drop(struct net_asker *asker)
{
	if (!asker)
		return;
	asker_free(asker);
	meter_descriptors_give(1);
}

void net_meter_close(struct net_meter *meter)
{
	struct net_asker *asker;

	lock_take(&meter->lock);
	asker = TAKE(meter->asker);
	meter->closed = true;
	lock_drop(&meter->lock);
	drop(asker);
}

void net_meter_done(struct net_meter *meter)
{
	net_meter_close(meter);
	lock_done(&meter->lock);
}

static struct net_asker *take_kept(struct net_meter *meter)
{
	struct net_asker *asker;

	lock_take(&meter->lock);
	asker = TAKE(meter->asker);
	lock_drop(&meter->lock);
	return asker;
}

static void keep(struct net_meter *meter, struct net_asker *asker)
{
	bool kept;

	lock_take(&meter->lock);
	kept = !meter->closed && !meter->asker;
	if (kept)
		meter->asker = asker;
	lock_drop(&meter->lock);
	if (!kept)
		drop(asker);
}

/* ---- reading ---- */

static void take_stats(const struct nlattr *attr, struct net_link *link)
{
	struct rtnl_link_stats64 stats = { 0 };
	size_t len = (size_t)nla_len(attr);

	memcpy(&stats, nla_data(attr), len < sizeof(stats) ? len : sizeof(stats));
	link->rx_bytes = stats.rx_bytes;
	link->rx_packets = stats.rx_packets;
	link->rx_errors = stats.rx_errors;
	link->rx_dropped = stats.rx_dropped;
	link->tx_bytes = stats.tx_bytes;
	link->tx_packets = stats.tx_packets;
	link->tx_errors = stats.tx_errors;
	link->tx_dropped = stats.tx_dropped;
}

/* One interface of an answer to RTM_GETLINK. */
static int take_link(struct nl_msg *message, void *data)
{
	struct net_usage *usage = data;
	const struct nlmsghdr *header = nlmsg_hdr(message);
	const struct ifinfomsg *info = nlmsg_data(header);
	struct nlattr *attrs[IFLA_MAX + 1];
	struct net_link *link = &usage->links[usage->len];

	if (header->nlmsg_type != RTM_NEWLINK || usage->len == NET_LINKS_MAX ||
	    nlmsg_parse((struct nlmsghdr *)header, sizeof(*info), attrs, IFLA_MAX, NULL) < 0 ||
	    !attrs[IFLA_IFNAME] || !attrs[IFLA_STATS64])
		return NL_OK;
	link->index = info->ifi_index;
	nla_strlcpy(link->name, attrs[IFLA_IFNAME], sizeof(link->name));
	link->loopback = info->ifi_flags & IFF_LOOPBACK;
	take_stats(attrs[IFLA_STATS64], link);
	usage->len++;
	return NL_OK;
}

/* One interface of an answer to RTM_GETSTATS. */
static int take_counters(struct nl_msg *message, void *data)
{
	struct net_usage *usage = data;
	const struct nlmsghdr *header = nlmsg_hdr(message);
	const struct if_stats_msg *info = nlmsg_data(header);
	struct nlattr *attrs[IFLA_STATS_MAX + 1];
	struct net_link *link = &usage->links[usage->len];

	if (header->nlmsg_type != RTM_NEWSTATS || usage->len == NET_LINKS_MAX ||
	    nlmsg_parse((struct nlmsghdr *)header, sizeof(*info), attrs, IFLA_STATS_MAX, NULL) < 0 ||
	    !attrs[IFLA_STATS_LINK_64])
		return NL_OK;
	link->index = (int)info->ifindex;
	take_stats(attrs[IFLA_STATS_LINK_64], link);
	usage->len++;
	return NL_OK;
}

static int dump(struct nl_sock *socket, int type, const void *request, size_t len, nl_recvmsg_msg_cb_t take,
		struct net_usage *usage, struct err *err)
{
	int error;

	usage->len = 0;
	nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take, usage);
	error = nl_send_simple(socket, type, NLM_F_DUMP, (void *)request, len);
	if (error >= 0)
		error = nl_recvmsgs_default(socket);
	if (error < 0)
		return err_set(err, RPC_UNAVAILABLE, "interfaces of the pod: %s", nl_geterror(error));
	usage->at = clock_real();
	return 0;
}

static void learn_names(struct net_asker *asker, const struct net_usage *usage)
{
	free(asker->names);
	asker->names = xcalloc(usage->len + 1, sizeof(*asker->names));
	asker->len = usage->len;
	asker->named_at = clock_mono();
	for (size_t i = 0; i < usage->len; i++) {
		const struct net_link *link = &usage->links[i];

		asker->names[i] = (struct link_name){ .index = link->index, .loopback = link->loopback };
		memcpy(asker->names[i].name, link->name, IF_NAMESIZE);
	}
}

static const struct link_name *name_of(const struct net_asker *asker, int index)
{
	for (size_t i = 0; i < asker->len; i++)
		if (asker->names[i].index == index)
			return &asker->names[i];
	return NULL;
}

/* False: one of them is not known. */
static bool give_names(const struct net_asker *asker, struct net_usage *usage)
{
	for (size_t i = 0; i < usage->len; i++) {
		struct net_link *link = &usage->links[i];
		const struct link_name *known = name_of(asker, link->index);

		if (!known)
			return false;
		memcpy(link->name, known->name, IF_NAMESIZE);
		link->loopback = known->loopback;
	}
	return true;
}

static int ask(struct net_asker *asker, struct net_usage *usage, struct err *err)
{
	const struct if_stats_msg counters = { .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64) };
	const struct ifinfomsg links = { .ifi_family = AF_UNSPEC };

	if (asker->len && clock_mono() - asker->named_at < NET_NAMES_NS) {
		if (dump(asker->socket, RTM_GETSTATS, &counters, sizeof(counters), take_counters, usage,
			 err) < 0)
			return -1;
		if (give_names(asker, usage))
			return 0;
	}
	if (dump(asker->socket, RTM_GETLINK, &links, sizeof(links), take_link, usage, err) < 0)
		return -1;
	learn_names(asker, usage);
	return 0;
}

/* For this reading alone. */
static int read_once(const char *path, struct net_usage *ret, struct err *err)
{
	struct net_asker *asker = open_in(path, err);
	int result;

	if (!asker)
		return -1;
	result = ask(asker, ret, err);
	asker_free(asker);
	return result;
}

int net_meter_read(struct net_meter *meter, const char *path, struct net_usage *ret, struct err *err)
{
	struct net_asker *asker = take_kept(meter);

	if (!asker) {
		if (!meter_descriptors_take(1))
			return read_once(path, ret, err);
		asker = open_in(path, err);
		if (!asker) {
			meter_descriptors_give(1);
			return -1;
		}
	}
	if (ask(asker, ret, err) < 0) {
		drop(asker);
		return -1;
	}
	keep(meter, asker);
	return 0;
}

const struct net_link *net_usage_default(const struct net_usage *usage)
{
	const struct net_link *first = NULL;

	for (size_t i = 0; i < usage->len; i++) {
		if (str_eq(usage->links[i].name, "eth0"))
			return &usage->links[i];
		if (!first && !usage->links[i].loopback)
			first = &usage->links[i];
	}
	return first;
}
