/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The network namespace of a socket. */
#ifndef TCPX_NETNS_BPF_H
#define TCPX_NETNS_BPF_H

#include "maps.bpf.h"

struct net___inode {
	struct {
		unsigned int inum;
	} ns;
} __attribute__((preserve_access_index));

struct sock_common___net {
	struct {
		struct net___inode *net;
	} skc_net;
} __attribute__((preserve_access_index));

/* Of the socket's network namespace; 0: not known. */
static __always_inline __u32 netns_inode(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_common___net *common = sk ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;

	return common ? common->skc_net.net->ns.inum : 0;
}

#endif
