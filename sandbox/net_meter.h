/*
 * Counters of the interfaces in a pod's network namespace, by one dump per reading on a route netlink socket
 * (rtnetlink(7)) that was opened inside the namespace and is kept: RTM_GETSTATS, which has the counters alone
 * (kernel include/uapi/linux/if_link.h), and RTM_GETLINK at first, when there is an interface that is not
 * known, and every NET_NAMES_NS: an interface that got another name has the former one until then.
 *
 * The socket holds the namespace: net_meter_close() before it is to go. Kept sockets count among
 * meter_descriptors_max(); past that, one is opened for each reading. Entering the namespace is done by a
 * thread that exists for nothing else, so no other thread is ever in a wrong one.
 *
 * Threads: all but init and done, any; no lock is held while the kernel is asked.
 */
#ifndef SANDBOX_NET_METER_H
#define SANDBOX_NET_METER_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"
#include "base/mem.h"

enum { NET_LINKS_MAX = 64 }; /* more are left out */
#define NET_NAMES_NS (INT64_C(60) * 1000 * 1000 * 1000)

struct net_link {
	int index;
	char name[IF_NAMESIZE];
	bool loopback;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

struct net_usage {
	int64_t at; /* clock_real() ns */
	struct net_link links[NET_LINKS_MAX];
	size_t len;
};

struct net_asker;

struct net_meter {
	struct lock lock;
	/* under lock */
	struct net_asker *asker; /* NULL: none is kept, or one reading has it */
	bool closed;
};

void net_meter_init(struct net_meter *meter);
void net_meter_done(struct net_meter *meter);
/* Nothing is kept any more, now and later. */
void net_meter_close(struct net_meter *meter);

/* path: of the namespace; relative ones are the caller's. NOT_FOUND when it is gone, UNAVAILABLE when the
 * kernel does not answer. */
int net_meter_read(struct net_meter *meter, const char *path, struct net_usage *ret,
		   struct err *err) MUST_CHECK;
/* The interface that a pod's address is on: "eth0", else the first that is not the loopback; NULL: none. */
const struct net_link *net_usage_default(const struct net_usage *usage);

#endif
