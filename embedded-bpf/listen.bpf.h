/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Preparing a listener: options on its SYN-ACKs, and SYNs kept for its children. */
#ifndef TCPX_LISTEN_BPF_H
#define TCPX_LISTEN_BPF_H

#include "segment.bpf.h"
#include "options.bpf.h"
#include "syn_ack.bpf.h"

#define TCPX_TCP_SAVE_SYN 27
#define TCPX_SAVE_SYN_MAC 2

struct tcp_sock___save_syn {
	__u8 save_syn : 2;
} __attribute__((preserve_access_index));

static __always_inline void listen_arm(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock___save_syn *tp;
	int one = 1, err, save_syn;

	if (!sk)
		return;
	tp = (void *)bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	save_syn = BPF_CORE_READ_BITFIELD(tp, save_syn);
	/* With MAC headers saved a repeated SYN-ACK looks like a first one: see syn_ack_again()
	 */
	if (syn_ack_may() && save_syn < TCPX_SAVE_SYN_MAC &&
	    !(ctx->bpf_sock_ops_cb_flags & TCPX_WRITE))
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | TCPX_WRITE);
	if (save_syn) /* an application that saves SYNs itself goes first */
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_SAVE_SYN, &one, sizeof(one));
	if (err)
		TCPX_ERROR(0, err);
}

#endif
