/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Keep-alive beside TCP_USER_TIMEOUT. The kernel ends an idle connection after idle + interval x
 * probes without an answer; with a user timeout, at the first probe that is due after that, however
 * many were lost. bpf_getsockopt knows none of these options on 5.10, so they are read in place.
 */
#ifndef TCPX_KEEPALIVE_BPF_H
#define TCPX_KEEPALIVE_BPF_H

#include <stdbool.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define TCPX_SOCK_KEEPOPEN 3 /* enum sock_flags: SO_KEEPALIVE is on */

struct netns_ipv4___keepalive {
	int sysctl_tcp_keepalive_time; /* ticks, as all times here */
	int sysctl_tcp_keepalive_intvl;
	__u8 sysctl_tcp_keepalive_probes;
} __attribute__((preserve_access_index));

struct netns_ipv4___wide { /* before 5.13 */
	int sysctl_tcp_keepalive_probes;
} __attribute__((preserve_access_index));

struct net___keepalive {
	struct netns_ipv4___keepalive ipv4;
} __attribute__((preserve_access_index));

struct net___wide {
	struct netns_ipv4___wide ipv4;
} __attribute__((preserve_access_index));

struct sock_common___keepalive {
	unsigned long skc_flags;
	struct {
		struct net___keepalive *net;
	} skc_net;
} __attribute__((preserve_access_index));

struct tcp_sock___keepalive {
	__u32 keepalive_time; /* 0, as of the others: what the sysctl says */
	__u32 keepalive_intvl;
	__u8 keepalive_probes;
} __attribute__((preserve_access_index));

struct keepalive {
	__u32 idle; /* ticks */
	__u32 interval;
	__u32 probes;
};

static __always_inline __u32 keepalive_probes(struct net___keepalive *net)
{
	struct net___wide *wide = (void *)net;

	if (bpf_core_field_size(net->ipv4.sysctl_tcp_keepalive_probes) == sizeof(__u8))
		return net->ipv4.sysctl_tcp_keepalive_probes;
	return wide->ipv4.sysctl_tcp_keepalive_probes;
}

/* False: it is off. `socket`: a kernel's struct tcp_sock. */
static __always_inline bool keepalive_read(void *socket, struct keepalive *k)
{
	struct sock_common___keepalive *sk = socket;
	struct tcp_sock___keepalive *tp = socket;
	struct net___keepalive *net;

	if (!(sk->skc_flags & 1UL << TCPX_SOCK_KEEPOPEN))
		return false;
	net = sk->skc_net.net;
	k->idle = tp->keepalive_time ?: net->ipv4.sysctl_tcp_keepalive_time;
	k->interval = tp->keepalive_intvl ?: net->ipv4.sysctl_tcp_keepalive_intvl;
	k->probes = tp->keepalive_probes ?: keepalive_probes(net);
	return true;
}

#endif
