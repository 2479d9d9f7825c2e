// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The sock_ops program of one scope: switches on the callback and leaves the
 * rest to the slices in ext/. It always returns 1: another value would turn the
 * result of every program on the path into EPERM.
 */
#include <stdbool.h>
#include "maps.bpf.h"
#include "policy.bpf.h"
#include "segment.bpf.h"
#include "ask.bpf.h"
#include "listen.bpf.h"
#include "ext/uto.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define TCPX_WRITE BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
#define TCPX_PARSE BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG

static __always_inline void on_connect(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = policy_claim(ctx, TCPX_DIRECTION_TO);

	if (conn && ask_any(conn))
		callback_flags(ctx, TCPX_WRITE, 0);
}

static __always_inline void on_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	bool ask = ask_any(conn) && !conn->silent;

	conn->since_ns = bpf_ktime_get_ns();
	conn->first_byte = ctx->snd_una;
	conn->retrans = ctx->total_retrans;
	/* a SYN-ACK was lost: maybe for its options */
	if (ask && ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB && ctx->total_retrans) {
		ask_stop(ctx, conn, true);
		ask = false;
	}
	uto_established(ctx, conn);
	callback_flags(ctx, (ask ? TCPX_WRITE : 0) | (uto_accepts(conn) ? TCPX_PARSE : 0),
		       ask ? 0 : TCPX_WRITE);
}

static __always_inline void on_active(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = policy_conn(ctx);

	if (conn)
		on_established(ctx, conn);
}

static __always_inline void on_passive(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcpx_conn *conn = policy_claim(ctx, TCPX_DIRECTION_FROM);

	if (conn)
		on_established(ctx, conn);
	else if (sk && !bpf_sk_storage_get(&conns, sk, NULL, 0))
		callback_flags(ctx, 0, TCPX_WRITE); /* inherited from the listener */
}

static __always_inline void on_parse(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = policy_conn(ctx);

	if (conn)
		uto_parse(ctx, conn);
}

SEC("sockops")
int tcpx(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		listen_arm(ctx);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		on_active(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		on_passive(ctx);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (ctx->is_fullsock)
			ask_segment(ctx);
		else
			ask_syn_ack(ctx);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		on_parse(ctx);
		break;
	default:
		break;
	}
	return 1;
}
