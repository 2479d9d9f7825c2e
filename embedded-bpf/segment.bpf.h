/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The callback flags of a socket. */
#ifndef TCPX_SEGMENT_BPF_H
#define TCPX_SEGMENT_BPF_H

#include "others.bpf.h"

#define TCPX_WRITE BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
#define TCPX_PARSE BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG
#define TCPX_STATE BPF_SOCK_OPS_STATE_CB_FLAG

/*
 * The flags of a socket are shared by all programs on it: only OR and AND-NOT, and nothing is
 * cleared that we have not set. With others about even that stays, for good: they may have come to
 * rely on it, and our program then runs in vain on every segment.
 */
static __always_inline void callback_flags(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					   __u32 set, __u32 clear)
{
	__u32 present = ctx->bpf_sock_ops_cb_flags, flags;

	clear &= conn->flags_ours;
	conn->flags_ours &= ~clear;
	if (clear && others(ctx))
		clear = 0;
	conn->flags_ours |= set & ~present;
	flags = (present & ~clear) | set;
	if (flags != present)
		bpf_sock_ops_cb_flags_set(ctx, flags);
}

#endif
