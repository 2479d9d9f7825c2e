/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* A TCP segment as the cgroup's programs see it, and the socket behind it. */
#ifndef TCPX_THIN_PACKET_BPF_H
#define TCPX_THIN_PACKET_BPF_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include "thin.bpf.h"

#define THIN_IPV4 0x0800
#define THIN_IPV6 0x86dd
#define THIN_FRAGMENT 0x3fff	   /* offset, or more to come */
#define THIN_TIMESTAMPS 0x0101080a /* NOP NOP kind 8 length 10 */
#define THIN_TIMESTAMPS_LEN 12
#define THIN_ACCECN0 172
#define THIN_ACCECN1 174
#define THIN_LEAST 40 /* bytes of an ACK without options, IPv4 */
#define THIN_MOST 84  /* IPv6, with timestamps and the longest option of AccECN */

#define TCP_STATE_ESTABLISHED 1
#define TCP_STATE_FIN_WAIT1 4
#define TCP_STATE_FIN_WAIT2 5

struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct netns_xfrm {
	unsigned int policy_count[3]; /* in, out, fwd; those of sockets follow */
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
	struct netns_xfrm xfrm;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct sock_common {
	possible_net_t skc_net;
	unsigned long skc_flags; /* enum sock_flags, a bit each */
} __attribute__((preserve_access_index));

struct xfrm_policy;

struct sock {
	struct sock_common __sk_common;
	__u32 sk_mark;
	struct xfrm_policy *sk_policy[2]; /* in, out */
} __attribute__((preserve_access_index));

struct ipv6_pinfo {
	__u8 tclass;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct sock sk;
	struct ipv6_pinfo *pinet6;
	__u8 tos;
} __attribute__((preserve_access_index));

struct inet_connection_sock {
	struct inet_sock icsk_inet;
} __attribute__((preserve_access_index));

struct minmax_sample {
	__u32 v;
} __attribute__((preserve_access_index));

struct minmax {
	struct minmax_sample s[3];
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	struct minmax rtt_min;
	struct {
		__u32 rtt_us; /* times 8 */
	} rcv_rtt_est;
	__u32 srtt_us; /* times 8 */
	__u32 mss_cache;
	__u32 rcv_wnd;
} __attribute__((preserve_access_index));

struct thin_segment {
	struct tcphdr *tcp;
	__u32 ip;      /* length of the IP header */
	__u32 headers; /* of IP and TCP */
	bool accecn;   /* has AccECN's option */
	bool plain;    /* no options, or only timestamps and AccECN's */
};

/* Are all these bytes AccECN's option (RFC 9768 3.2.3), and NOPs behind it? */
static __always_inline bool thin_is_accecn(const __u8 *option, const void *end, __u32 len)
{
	return (const void *)(option + 2) <= end &&
	       (option[0] == THIN_ACCECN0 || option[0] == THIN_ACCECN1) &&
	       ((option[1] + 3U) & ~3U) == len;
}

/* False: not TCP right behind an IP header without options. */
static __always_inline bool thin_parse(struct __sk_buff *skb, struct thin_segment *seg)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip6 = data;
	struct iphdr *ip4 = data;
	__u32 len;
	void *at;

	if (skb->protocol == bpf_htons(THIN_IPV4)) {
		if ((void *)(ip4 + 1) > end || ip4->protocol != IPPROTO_TCP || ip4->ihl != 5 ||
		    ip4->frag_off & bpf_htons(THIN_FRAGMENT))
			return false;
		seg->ip = sizeof(*ip4);
		seg->tcp = (void *)(ip4 + 1);
	} else if (skb->protocol == bpf_htons(THIN_IPV6)) {
		if ((void *)(ip6 + 1) > end || ip6->nexthdr != IPPROTO_TCP)
			return false;
		seg->ip = sizeof(*ip6);
		seg->tcp = (void *)(ip6 + 1);
	} else {
		return false;
	}
	at = seg->tcp + 1;
	if (at > end)
		return false;
	len = seg->tcp->doff * 4;
	seg->headers = seg->ip + len;
	len -= sizeof(*seg->tcp);
	if (len >= THIN_TIMESTAMPS_LEN && at + THIN_TIMESTAMPS_LEN <= end &&
	    *(__u32 *)at == bpf_htonl(THIN_TIMESTAMPS)) {
		at += THIN_TIMESTAMPS_LEN;
		len -= THIN_TIMESTAMPS_LEN;
	}
	seg->accecn = thin_is_accecn(at, end, len);
	seg->plain = !len || seg->accecn;
	return true;
}

/* False: addresses or ports were translated, and would be again if we sent a copy. */
static __always_inline bool thin_is_own(struct __sk_buff *skb, struct bpf_sock *sk,
					const struct thin_segment *seg)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__be32 *ip4 = data + offsetof(struct iphdr, saddr), source = sk->src_ip4;
	__be32 *ip6 = data + offsetof(struct ipv6hdr, saddr), dest = sk->dst_ip4;

	/* Or clang makes one read of those in two branches, with arithmetic on a socket. */
	barrier_var(source);
	barrier_var(dest);
	if (seg->tcp->source != bpf_htons(sk->src_port) || seg->tcp->dest != sk->dst_port)
		return false;
	if (seg->ip == sizeof(struct iphdr))
		return (void *)(ip4 + 2) <= end && ip4[0] == source && ip4[1] == dest;
	return (void *)(ip6 + 8) <= end && ip6[0] == sk->src_ip6[0] && ip6[1] == sk->src_ip6[1] &&
	       ip6[2] == sk->src_ip6[2] && ip6[3] == sk->src_ip6[3] && ip6[4] == sk->dst_ip6[0] &&
	       ip6[5] == sk->dst_ip6[1] && ip6[6] == sk->dst_ip6[2] && ip6[7] == sk->dst_ip6[3];
}

/* The lengths that there are, as constants: verifiers before 6.18 lose the bounds of others. */
static __always_inline bool thin_copy(struct __sk_buff *skb, __u8 *packet, __u32 len)
{
#pragma clang loop unroll(full)
	for (__u32 n = THIN_LEAST; n <= THIN_MOST; n += 4) {
		__u32 bytes = n;

		barrier_var(bytes); /* or clang takes len itself */
		if (len == n)
			return !bpf_skb_load_bytes(skb, 0, packet, bytes);
	}
	return false;
}

#endif
