/*
 * The iptables chain that the plugins bridge and ptp make for a pod ("ipMasq": true), and the rule of
 * POSTROUTING that leads to it, removed where their DEL does not remove them: DEL takes the interface away
 * first and the chain last, and one that finds no interface lets the chain be. So what a DEL that failed or
 * was killed halfway has left, no later DEL removes (containernetworking/plugins #810 tells of one case).
 *
 * The chain's name is a hash of the network's name and the container ID, the rule has both as a comment
 * (containernetworking/plugins pkg/utils: FormatChainName, FormatComment). The backend nftables is left
 * alone: its rules are found by their comment, interface or not.
 *
 * Threads: any.
 */
#ifndef CNI_MASQUERADE_H
#define CNI_MASQUERADE_H

#include "base/ctx.h"
#include "base/err.h"
#include "base/mem.h"
#include "cni/conflist.h"

enum { MASQUERADE_CHAIN_SIZE = 29 };

/* ret: MASQUERADE_CHAIN_SIZE bytes. */
void masquerade_chain(const char *network, const char *container_id, char *ret);
/* Removes chain and rule, IPv4 and IPv6, if they are there. 0 too when no plugin of the list makes such
 * chains, or there is no iptables. Runs one program for each family when there is nothing to remove. */
int masquerade_remove(const struct conflist *list, const char *container_id, const struct ctx *ctx,
		      struct err *err) MUST_CHECK;

#endif
