/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Would a copy go where the ACK goes? The kernel routes what a raw socket sends without ports, as
 * protocol 255 and of the agent's user, with priority and TOS 0. Routing is the agent's to look at
 * (held-path.c); what single connections have is looked at here, and so are IPsec policies: their
 * number is read where the kernel reads it, so that no ACK is held after the first one.
 */
#ifndef TCPX_THIN_PATH_BPF_H
#define TCPX_THIN_PATH_BPF_H

#include "thin_packet.bpf.h"

#define THIN_OUT 1		   /* XFRM_POLICY_OUT */
#define THIN_DONTROUTE (1UL << 13) /* SOCK_LOCALROUTE */
#define THIN_DSCP 0xfcU		   /* the rest is ECN's */

static __always_inline void thin_note(struct tcpx_served *service, __u32 flags)
{
	if ((service->flags & flags) != flags)
		__sync_fetch_and_or(&service->flags, flags);
}

static __always_inline __u32 thin_tos(struct inet_sock *inet, bool ipv6)
{
	if (!ipv6)
		return inet->tos;
	if (!bpf_core_field_exists(inet->pinet6))
		return 0;
	return inet->pinet6->tclass;
}

/* Has the connection something that a raw socket has not? */
static __always_inline bool thin_is_special(struct __sk_buff *skb, struct bpf_sock *sk,
					    const struct thin_segment *seg, struct tcp_sock *tp)
{
	struct inet_sock *inet = &tp->inet_conn.icsk_inet;

	if (skb->priority)
		return true;
	if (sk->bound_dev_if && sk->bound_dev_if != skb->ifindex) /* VRF */
		return true;
	if (thin_tos(inet, seg->ip != sizeof(struct iphdr)) & THIN_DSCP)
		return true;
	if (inet->sk.__sk_common.skc_flags & THIN_DONTROUTE)
		return true;
	return bpf_core_field_exists(inet->sk.sk_policy) && inet->sk.sk_policy[THIN_OUT];
}

static __always_inline bool thin_has_ipsec(struct tcp_sock *tp)
{
	struct net *net = tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net;

	if (!bpf_core_field_exists(net->xfrm))
		return false; /* a kernel without IPsec */
	if (!bpf_core_field_exists(net->xfrm.policy_count))
		return true; /* nobody knows */
	return net->xfrm.policy_count[THIN_OUT];
}

/* Does the namespace lead a copy elsewhere? */
static __always_inline bool thin_is_led_elsewhere(struct __sk_buff *skb,
						  struct tcpx_served *service, struct tcp_sock *tp)
{
	__u32 flags = service->flags, met = 0;

	if (thin_has_ipsec(tp))
		met = TCPX_SERVED_IPSEC | TCPX_SERVED_USED;
	else if (flags & TCPX_SERVED_PASS)
		met = TCPX_SERVED_USED;
	/* set by a firewall, perhaps behind the routing that looks at it */
	else if (flags & TCPX_SERVED_MARKS && skb->mark != tp->inet_conn.icsk_inet.sk.sk_mark)
		met = TCPX_SERVED_USED;
	if (met)
		thin_note(service, met);
	return met;
}

#endif
