/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A socket that connects again. What we have set on it for its last connection goes: the next one
 * need not have the rule. (Its cap on delayed ACKs the kernel takes back itself.)
 */
#ifndef TCPX_AGAIN_BPF_H
#define TCPX_AGAIN_BPF_H

#include "ext/ack.bpf.h"
#include "ext/cc_request.bpf.h"
#include "ext/uto.bpf.h"

static __always_inline void again_uto(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				      struct tcp_sock *tp)
{
	__u32 ours = conn->uto.applied_ms, before = conn->before.uto_ms;
	int err;

	conn->uto.applied_ms = 0;
	if (tp->inet_conn.icsk_user_timeout != ours) /* the application's */
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &before, sizeof(before));
	if (err)
		TCPX_ERROR(TCPX_EXT_UTO, err);
}

/* As live_undo_cc(): the kernel takes what we set for the application's choice. */
static __always_inline void again_cc(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				     struct inet_connection_sock___cc *icsk)
{
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	__u64 ours = conn->before.cc_ours;
	int err;

	__builtin_memcpy(name, conn->before.cc, sizeof(name));
	if (!name[0] || cc_in_use(icsk) != ours || cc_sum(name) == ours)
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (err)
		TCPX_ERROR(TCPX_EXT_CC_REQUEST, err);
	else
		conn->before.cc_ours = cc_sum(name);
}

/* Global: see receive_judge(). */
__noinline int again(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	if (!conn || !tp)
		return 0;
	if (conn->ack.marked)
		ack_mark(ctx, 0, 0);
	if (conn->uto.applied_ms)
		again_uto(ctx, conn, tp);
	if (conn->cc_applied)
		again_cc(ctx, conn, tp);
	return 0;
}

#endif
