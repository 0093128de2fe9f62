/*
 * A reading takes the socket out of the meter and puts it back after a whole answer: two at once never mix on
 * one socket (the second opens its own), and one that failed is not used again.
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
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "sandbox/cgroup_meter.h"

enum { ANSWER_SECONDS = 2, THREAD_STACK = 256 * 1024 };

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

static struct nl_sock *open_in(const char *path, struct err *err)
{
	struct entry entry = { .path = path, .socket = nl_socket_alloc() };

	if (!entry.socket) {
		err_set(err, RPC_RESOURCE_EXHAUSTED, "netlink socket: out of memory");
		return NULL;
	}
	if (enter_on_thread(&entry, err) == 0)
		return entry.socket;
	nl_socket_free(entry.socket);
	return NULL;
}

/* ---- keeping ---- */

void net_meter_init(struct net_meter *meter)
{
	*meter = (struct net_meter){ 0 };
	lock_init(&meter->lock, "net meter", LOCK_METER);
}

static void drop(struct nl_sock *socket)
{
	if (!socket)
		return;
	nl_socket_free(socket);
	meter_descriptors_give(1);
}

void net_meter_close(struct net_meter *meter)
{
	struct nl_sock *socket;

	lock_take(&meter->lock);
	socket = TAKE(meter->socket);
	meter->closed = true;
	lock_drop(&meter->lock);
	drop(socket);
}

void net_meter_done(struct net_meter *meter)
{
	net_meter_close(meter);
	lock_done(&meter->lock);
}

static struct nl_sock *take_kept(struct net_meter *meter)
{
	struct nl_sock *socket;

	lock_take(&meter->lock);
	socket = TAKE(meter->socket);
	lock_drop(&meter->lock);
	return socket;
}

static void keep(struct net_meter *meter, struct nl_sock *socket)
{
	bool kept;

	lock_take(&meter->lock);
	kept = !meter->closed && !meter->socket;
	if (kept)
		meter->socket = socket;
	lock_drop(&meter->lock);
	if (!kept)
		drop(socket);
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
	nla_strlcpy(link->name, attrs[IFLA_IFNAME], sizeof(link->name));
	link->loopback = info->ifi_flags & IFF_LOOPBACK;
	take_stats(attrs[IFLA_STATS64], link);
	usage->len++;
	return NL_OK;
}

static int ask(struct nl_sock *socket, struct net_usage *usage, struct err *err)
{
	struct ifinfomsg info = { .ifi_family = AF_UNSPEC };
	int error;

	usage->len = 0;
	nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take_link, usage);
	error = nl_send_simple(socket, RTM_GETLINK, NLM_F_DUMP, &info, sizeof(info));
	if (error >= 0)
		error = nl_recvmsgs_default(socket);
	if (error < 0)
		return err_set(err, RPC_UNAVAILABLE, "interfaces of the pod: %s", nl_geterror(error));
	usage->at = clock_real();
	return 0;
}

/* For this reading alone. */
static int read_once(const char *path, struct net_usage *ret, struct err *err)
{
	struct nl_sock *socket = open_in(path, err);
	int result;

	if (!socket)
		return -1;
	result = ask(socket, ret, err);
	nl_socket_free(socket);
	return result;
}

int net_meter_read(struct net_meter *meter, const char *path, struct net_usage *ret, struct err *err)
{
	struct nl_sock *socket = take_kept(meter);

	if (!socket) {
		if (!meter_descriptors_take(1))
			return read_once(path, ret, err);
		socket = open_in(path, err);
		if (!socket) {
			meter_descriptors_give(1);
			return -1;
		}
	}
	if (ask(socket, ret, err) < 0) {
		drop(socket);
		return -1;
	}
	keep(meter, socket);
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
