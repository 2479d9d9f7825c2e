/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Preparing a listener: options on its SYN-ACKs, and SYNs kept for its children. */
#ifndef TCPX_LISTEN_BPF_H
#define TCPX_LISTEN_BPF_H

#include "segment.bpf.h"
#include "options.bpf.h"
#include "ext/uto.bpf.h"

#define TCPX_TCP_SAVE_SYN 27

struct tcp_sock___save_syn {
	__u8 save_syn : 2;
} __attribute__((preserve_access_index));

static __always_inline void listen_arm(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock___save_syn *tp;
	int one = 1, err;

	callback_flags(ctx, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
	if (!sk)
		return;
	/* an application that saves SYNs itself, maybe with their MAC header, goes first */
	tp = (void *)bpf_skc_to_tcp_sock(sk);
	if (!tp || BPF_CORE_READ_BITFIELD(tp, save_syn))
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_SAVE_SYN, &one, sizeof(one));
	if (err)
		TCPX_ERROR(TCPX_EXT_UTO, err);
}

#endif
