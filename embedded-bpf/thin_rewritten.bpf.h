/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Has something behind TCP rewritten the ACK, other than its addresses and ports? A copy would pass
 * there once more, and what is added or shifted would be so twice: sequence numbers behind SYNPROXY
 * or NAT's FTP helper, hops by a firewall's TTL --ttl-inc. The numbers and hops that TCP sends with
 * are the socket's.
 */
#ifndef TCPX_THIN_REWRITTEN_BPF_H
#define TCPX_THIN_REWRITTEN_BPF_H

#include "thin_packet.bpf.h"

struct tcp_sock___numbers {
	__u32 rcv_nxt;
	__u32 snd_nxt;
} __attribute__((preserve_access_index));

struct netns_ipv4___hops {
	__u8 sysctl_ip_default_ttl;
} __attribute__((preserve_access_index));

struct net___hops {
	struct netns_ipv4___hops ipv4;
} __attribute__((preserve_access_index));

struct ipv6_devconf___hops {
	__s32 hop_limit;
} __attribute__((preserve_access_index));

struct inet6_dev___if_any {
	struct ipv6_devconf___hops cnf;
} __attribute__((preserve_access_index));

struct net_device___hops {
	struct inet6_dev___if_any *ip6_ptr;
} __attribute__((preserve_access_index));

struct dst_entry___hops {
	struct net_device___hops *dev;
} __attribute__((preserve_access_index));

struct sock___hops {
	struct dst_entry___hops *sk_dst_cache;
} __attribute__((preserve_access_index));

struct ipv6_pinfo___if_any {
	__s16 hop_limit;
} __attribute__((preserve_access_index));

struct inet_sock___hops {
	struct ipv6_pinfo___if_any *pinet6;
	__s16 uc_ttl;
} __attribute__((preserve_access_index));

/* What a packet of the socket begins with, when no route says otherwise; -1: not known. */
static __always_inline int thin_hops4(struct inet_sock *inet)
{
	struct net___hops *net = (void *)inet->sk.__sk_common.skc_net.net;
	int own = ((struct inet_sock___hops *)inet)->uc_ttl;

	return own >= 0 ? own : net->ipv4.sysctl_ip_default_ttl;
}

static __always_inline int thin_hops6(struct inet_sock *inet)
{
	struct inet_sock___hops *hops = (void *)inet;
	struct ipv6_pinfo___if_any *own;
	struct inet6_dev___if_any *inet6;
	struct net_device___hops *dev;
	struct dst_entry___hops *dst;

	if (!bpf_core_field_exists(struct inet_sock___hops, pinet6) ||
	    !bpf_core_field_exists(struct ipv6_pinfo___if_any, hop_limit) ||
	    !bpf_core_field_exists(struct net_device___hops, ip6_ptr) ||
	    !bpf_core_field_exists(struct inet6_dev___if_any, cnf.hop_limit))
		return -1;
	own = hops->pinet6;
	if (!own)
		return -1;
	/* of 9 bits before 6.8 */
	if ((int)BPF_CORE_READ_BITFIELD(own, hop_limit) >= 0)
		return (int)BPF_CORE_READ_BITFIELD(own, hop_limit);
	dst = ((struct sock___hops *)inet)->sk_dst_cache;
	if (!dst)
		return -1;
	dev = dst->dev;
	if (!dev)
		return -1;
	inet6 = dev->ip6_ptr;
	return inet6 ? inet6->cnf.hop_limit : -1;
}

static __always_inline bool thin_is_rewritten(struct __sk_buff *skb, const struct thin_segment *seg,
					      struct tcp_sock *tp)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct tcp_sock___numbers *numbers = (void *)tp;
	struct inet_sock *inet = &tp->inet_conn.icsk_inet;
	struct ipv6hdr *ip6 = data;
	struct iphdr *ip4 = data;

	if (seg->tcp->seq != bpf_htonl(numbers->snd_nxt) ||
	    seg->tcp->ack_seq != bpf_htonl(numbers->rcv_nxt))
		return true;
	if (seg->ip == sizeof(*ip4))
		return (void *)(ip4 + 1) > end || ip4->ttl != thin_hops4(inet);
	return (void *)(ip6 + 1) > end || ip6->hop_limit != thin_hops6(inet);
}

#endif
