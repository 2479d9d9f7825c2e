/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Is an ACK sent at once on the route that a socket has? What tcp_in_quickack_mode() looks at. */
#ifndef TCPX_QUICKACK_BPF_H
#define TCPX_QUICKACK_BPF_H

#include <linux/rtnetlink.h>
#include "tcpx_shared.h"

#define TCPX_METRICS_FLAGS 3UL /* DST_METRICS_FLAGS: bits of the pointer that are none of it */

#define TCPX_IFF_LOOPBACK 8

struct net_device___flags {
	unsigned int flags;
} __attribute__((preserve_access_index));

struct dst_entry___metrics {
	struct net_device___flags *dev;
	unsigned long _metrics;
} __attribute__((preserve_access_index));

struct sock___route {
	struct dst_entry___metrics *sk_dst_cache;
} __attribute__((preserve_access_index));

/* A socket has none until it has sent something, and after each change of its mark. */
static __always_inline enum tcpx_quickack quickack_of(const void *socket)
{
	const struct sock___route *sk = socket;
	struct dst_entry___metrics *route = NULL;
	unsigned long metrics = 0;
	__u32 quick = 0;

	bpf_core_read(&route, sizeof(route), &sk->sk_dst_cache);
	if (!route || bpf_core_read(&metrics, sizeof(metrics), &route->_metrics))
		return TCPX_QUICKACK_UNKNOWN;
	metrics &= ~TCPX_METRICS_FLAGS;
	if (!metrics ||
	    bpf_probe_read_kernel(&quick, sizeof(quick), (__u32 *)metrics + RTAX_QUICKACK - 1))
		return TCPX_QUICKACK_UNKNOWN;
	return quick ? TCPX_QUICKACK_ON : TCPX_QUICKACK_OFF;
}

/* Does the route that a socket has lead elsewhere than to this host itself? */
static __always_inline bool route_leaves(const void *socket)
{
	const struct sock___route *sk = socket;
	struct dst_entry___metrics *route = NULL;
	struct net_device___flags *dev = NULL;
	unsigned int flags = 0;

	bpf_core_read(&route, sizeof(route), &sk->sk_dst_cache);
	return route && !bpf_core_read(&dev, sizeof(dev), &route->dev) && dev &&
	       !bpf_core_read(&flags, sizeof(flags), &dev->flags) && !(flags & TCPX_IFF_LOOPBACK);
}

#endif
