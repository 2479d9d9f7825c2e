/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Saves the connection whose first SYN, with our options, is answered by a reset: TCP does not get
 * to see it, and a second later the kernel repeats the SYN, which goes out plain. A reset of that
 * one passes. Then this host means what it says, and for an hour its resets pass at once.
 *
 * This runs on every packet for the sockets of the scope, and has to be short for all but these.
 * It needs nothing of the rules, only the record of the connection, so one load serves a scope for
 * good; and in nested scopes it decides twice the same. ICMP errors do not come this way.
 */
#ifndef TCPX_RESET_BPF_H
#define TCPX_RESET_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include "path.bpf.h"

#define TCPX_LOOPBACK_IFINDEX 1 /* in every network namespace */
#define TCPX_IPV6_HEADER 40
#define TCPX_IPV6_NEXT 6 /* where the type of what follows stands */

struct tcp_sock___reset {
	__u32 snd_una;
	__u32 write_seq;
	__u32 total_retrans;
} __attribute__((preserve_access_index));

/* Where the TCP header begins; 0: behind what we do not look through. */
static __always_inline __u32 reset_offset(struct __sk_buff *skb)
{
	__u8 byte = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return bpf_skb_load_bytes(skb, 0, &byte, 1) ? 0 : (byte & 0xf) * 4;
	if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
	    bpf_skb_load_bytes(skb, TCPX_IPV6_NEXT, &byte, 1) || byte != IPPROTO_TCP)
		return 0;
	return TCPX_IPV6_HEADER;
}

/* A reset that TCP would obey in SYN_SENT, for a SYN that was not repeated yet. The reset may be
 * here before the SYN's transmission has returned, and snd_nxt is set behind that. */
static __always_inline bool reset_of_first(struct __sk_buff *skb, struct tcp_sock___reset *tp)
{
	__u32 offset = reset_offset(skb), ack;
	struct tcphdr tcp;

	if (!offset || bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)) || !tcp.rst || !tcp.ack)
		return false;
	ack = bpf_ntohl(tcp.ack_seq);
	return (__s32)(ack - tp->snd_una) > 0 && (__s32)(tp->write_seq - ack) >= 0 &&
	       !tp->total_retrans;
}

/* Who is the peer? False: this host itself, on which no path is in between. */
static __always_inline bool reset_peer(struct bpf_sock *sk, struct tcpx_path_key *key)
{
	__u32 *address = (__u32 *)key->address, ipv4 = sk->dst_ip4;

	barrier_var(ipv4); /* see policy_address() */
	if (sk->family == TCPX_AF_INET) {
		if (sk->src_ip4 == ipv4)
			return false;
		address[2] = bpf_htonl(0xffff);
		address[3] = ipv4;
	} else {
		address[0] = sk->dst_ip6[0];
		address[1] = sk->dst_ip6[1];
		address[2] = sk->dst_ip6[2];
		address[3] = sk->dst_ip6[3];
		if (sk->src_ip6[0] == address[0] && sk->src_ip6[1] == address[1] &&
		    sk->src_ip6[2] == address[2] && sk->src_ip6[3] == address[3])
			return false;
	}
	if (policy_family(address) == TCPX_FAMILY_IPV4)
		return key->address[12] != 127;
	return address[0] || address[1] || address[2] || address[3] != bpf_htonl(1);
}

/* Is this what a path says to our options, as far as is known? Global: the program itself, which
 * looks at every packet in vain, has nothing to save and to restore. */
__noinline int reset_hold(struct __sk_buff *skb)
{
	struct tcpx_path_key key = {.any = 1};
	struct bpf_sock *sk = skb->sk;
	struct sock___path *socket;
	struct tcpx_conn *conn;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	conn = bpf_sk_storage_get(&conns, sk, NULL, 0);
	if (!conn || !conn->written || (conn->silent && conn->silent != TCPX_HELD))
		return 0;
	socket = (void *)bpf_skc_to_tcp_sock(sk);
	if (!socket || skb->ifindex == TCPX_LOOPBACK_IFINDEX ||
	    !reset_of_first(skb, (struct tcp_sock___reset *)socket) || !reset_peer(sk, &key))
		return 0;
	if (conn->silent == TCPX_HELD) /* sent twice, or seen by the program of another scope */
		return 1;
	key.netns = path_netns(socket);
	if (path_find(&key))
		return 0;
	conn->silent = TCPX_HELD;
	return 1;
}

SEC("cgroup_skb/ingress")
int tcpx_reset(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk || sk->state != BPF_TCP_SYN_SENT)
		return 1;
	return reset_hold(skb) ? 0 : 1;
}

#endif
