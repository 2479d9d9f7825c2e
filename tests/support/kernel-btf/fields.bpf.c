// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Asks everything about fields of every shape: more than the programs of tcpx ask today. */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock {
	unsigned int sk_userlocks : 4;
	int sk_forward_alloc;
	long sk_sndtimeo;
	void *sk_prot_creator;
};

struct sack {
	unsigned int end_seq;
};

struct tcp_sock {
	struct sack recv_sack_cache[4];
	struct {
		unsigned int seq;
	} rcvq_space;
	unsigned int never_there;
};

struct inet_connection_sock {
	struct {
		unsigned char pingpong, pending;
	} icsk_ack;
};

struct netns_ipv4 {
	int sysctl_tcp_wmem[3];
};

struct net {
	struct netns_ipv4 ipv4;
};

struct tcp_congestion_ops {
	char name[16];
};

struct socket {
	enum state { SOME } state;
};

struct sk_buff {
	char cb[48];
	unsigned char pkt_type : 3;
	unsigned int mark;
};

struct tcpx_nowhere___if_any {
	int there;
};

#pragma clang attribute pop

volatile __u64 out[64];
char LICENSE[] SEC("license") = "GPL";

#define ASK(i, field)                                                                              \
	do {                                                                                       \
		out[4 * (i)] = bpf_core_field_exists(field);                                       \
		out[4 * (i) + 1] = bpf_core_field_size(field);                                     \
		out[4 * (i) + 2] = __builtin_preserve_field_info(field, BPF_FIELD_BYTE_OFFSET);    \
		out[4 * (i) + 3] = __builtin_preserve_field_info(field, BPF_FIELD_RSHIFT_U64) ^    \
				   __builtin_preserve_field_info(field, BPF_FIELD_LSHIFT_U64) ^    \
				   __builtin_preserve_field_info(field, BPF_FIELD_SIGNED) << 8;    \
	} while (0)

SEC("sockops") int fields(void *ctx)
{
	struct inet_connection_sock *icsk = ctx;
	struct tcp_congestion_ops *ca = ctx;
	struct socket *socket = ctx;
	struct tcp_sock *tp = ctx;
	struct sk_buff *skb = ctx;
	struct sock *sk = ctx;
	struct net *net = ctx;

	ASK(0, sk->sk_userlocks);
	ASK(1, sk->sk_forward_alloc);
	ASK(2, sk->sk_sndtimeo);
	out[12] = bpf_core_field_size(sk->sk_prot_creator);
	out[13] = bpf_core_field_offset(tp->recv_sack_cache[2].end_seq);
	out[14] = bpf_core_field_size(tp->recv_sack_cache);
	out[15] = bpf_core_field_size(tp->rcvq_space);
	out[16] = bpf_core_field_exists(tp->never_there);
	ASK(5, icsk->icsk_ack.pending);
	out[24] = bpf_core_field_offset(net->ipv4.sysctl_tcp_wmem[2]);
	out[25] = bpf_core_field_size(net->ipv4.sysctl_tcp_wmem[2]);
	out[28] = bpf_core_field_size(ca->name);
	out[29] = bpf_core_field_offset(ca->name[9]);
	ASK(8, socket->state);
	out[36] = bpf_core_field_size(skb->cb);
	ASK(10, skb->pkt_type);
	ASK(11, skb->mark);
	out[48] = bpf_core_field_exists(struct tcpx_nowhere___if_any, there);
	return 1;
}
