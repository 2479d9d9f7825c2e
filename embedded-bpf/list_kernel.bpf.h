/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The fields of kernel structs that the listing reads, found by name at load time. */
#ifndef TCPX_LIST_KERNEL_BPF_H
#define TCPX_LIST_KERNEL_BPF_H

#include <linux/types.h>
#include <linux/in6.h>
#include <stdbool.h>
#include "iter_tcp.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	struct {
		struct net *net;
	} skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct bpf_map {
	__u32 id;
};

struct bpf_local_storage_map {
	struct bpf_map map;
};

struct bpf_local_storage_data {
	struct bpf_local_storage_map *smap;
	__u8 data[0];
};

struct bpf_local_storage_elem {
	struct hlist_node snode;
	struct bpf_local_storage_data sdata;
};

struct bpf_local_storage {
	struct hlist_head list;
};

struct sock {
	__u32 sk_mark;
	struct bpf_local_storage *sk_bpf_storage;
	struct {
		__u32 val;
	} sk_uid;
};

struct inet_sock {
	struct sock sk;
	__u8 tos;
};

struct tcp_congestion_ops {
	char name[16];
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u32 icsk_user_timeout; /* milliseconds */
	__u32 icsk_delack_max;	 /* ticks */
	struct tcp_congestion_ops *icsk_ca_ops;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 snd_cwnd;
	__u32 srtt_us; /* eight times */
};

#pragma clang attribute pop

#endif
