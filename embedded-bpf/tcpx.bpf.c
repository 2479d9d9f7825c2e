// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The sock_ops program of one scope: switches on the callback and leaves the
 * rest to the slices in ext/. It always returns 1: another value would turn the
 * result of every program on the path into EPERM.
 */
#include <stdbool.h>
#include "again.bpf.h"
#include "conn.bpf.h"
#include "ask.bpf.h"
#include "listen.bpf.h"
#include "path.bpf.h"
#include "receive.bpf.h"
#include "reset.bpf.h"
#include "syn_ack.bpf.h"
#include "ext/uto.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define TCPX_SYN 0x02

/*
 * What a callback does is global functions, so that the program itself, which most callbacks run
 * in vain, has nothing to save and to restore.
 */
__noinline int on_connect(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (conn)
		again(ctx);
	conn = conn_connect(ctx, conn);
	if (!conn)
		return 0;
	cc_start(conn);
	request_start(conn, TCPX_EXT_IW, conn->policy.rules[TCPX_EXT_IW][TCPX_KIND_ASK].value[0]);
	ack_start(conn);
	if (ask_any(conn))
		path_choose(ctx);
	return 0;
}

__noinline int on_listen(struct bpf_sock_ops *ctx)
{
	if (config.use_from)
		listen_arm(ctx);
	return 0;
}

/* A connection that no rule is for: what its listener has handed down goes, if it is nobody's. */
static __always_inline void disinherit(struct bpf_sock_ops *ctx)
{
	if (ctx->bpf_sock_ops_cb_flags & TCPX_WRITE && !others(ctx))
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags & ~TCPX_WRITE);
}

/* From here on segments are counted, and a loss means silence. */
static __always_inline void established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	if (conn->reserved & TCPX_UNASKED)
		ask_crowded_out(ctx);
	conn->since_ns = bpf_ktime_get_ns();
	conn->first_byte = ctx->snd_una;
	conn->retrans = ctx->total_retrans;
	conn->received = ctx->rcv_nxt;
	conn->armed = (ctx->bpf_sock_ops_cb_flags & TCPX_WRITE) != 0;
	if (conn->armed && passive(ctx) && !conn->attempt_ns) /* the listener has handed it down */
		conn->flags_ours |= TCPX_WRITE;
	/* a handshake that is complete on a SYN; that of a simultaneous open was our own attempt */
	conn->fast_open = ctx->skb_tcp_flags & TCPX_SYN && !conn->attempt &&
			  ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
}

/* The handshake is complete: settings, and answers to what was asked. */
__noinline int settle(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	bool ask;

	if (!conn)
		return 0;
	/* the window first: BBR paces its first flight by the one that it finds when it begins */
	iw_established(ctx, conn);
	cc_established(ctx, conn);
	ack_established(ctx, conn);
	if (ctx->op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB && request_answers(conn))
		ask_again(ctx, conn);
	ask = ask_any(conn) && !conn->silent;
	/* a SYN-ACK was lost: maybe for its options; data may be lost for other reasons */
	if (ask && !conn->attempt && ctx->total_retrans &&
	    ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB) {
		ask_stop(ctx, conn, TCPX_SILENCED);
		ask = false;
	}
	ask = ask || !ask_done(ctx, conn);
	callback_flags(ctx, conn, (ask ? TCPX_WRITE : 0) | (receive_wanted(conn) ? TCPX_PARSE : 0),
		       TCPX_STATE | (ask ? 0 : TCPX_WRITE));
	return 0;
}

/*
 * Fast Open: the application may answer now, and the third ACK may never come. What a peer was
 * granted waits for it; what is ours alone does not.
 */
__noinline int settle_local(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (!conn)
		return 0;
	iw_local(ctx, conn);
	cc_local(ctx, conn);
	ack_local(ctx, conn);
	return 0;
}

/* A handshake is complete, or a later segment has an option that the kernel does not know. */
__noinline int on_received(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn;
	bool waits;

	conn = passive(ctx) ? conn_claim(ctx, TCPX_DIRECTION_FROM) : conn_own(ctx);
	if (!conn && passive(ctx)) {
		conn = conn_own(ctx); /* a simultaneous open: claimed when it was opened */
		if (conn && conn->since_ns)
			conn = NULL;
	}
	if (!conn) {
		if (passive(ctx) && !conn_of(ctx))
			disinherit(ctx);
		return 0;
	}
	if (ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB) {
		if (conn->silent >= TCPX_SILENCED)
			path_came_through(ctx);
		established(ctx, conn);
	}
	if (passive(ctx))
		ack_start(conn);
	receive(ctx, conn);
	ask_settled(conn, ctx->rcv_nxt != conn->received);
	uto_apply(ctx, conn);
	if (conn->fast_open && passive(ctx)) { /* the third ACK is still to come */
		settle_local(ctx);
		waits = !ask_done(ctx, conn);
		callback_flags(ctx, conn, TCPX_STATE | TCPX_PARSE | (waits ? TCPX_WRITE : 0),
			       waits || ask_any(conn) ? 0 : TCPX_WRITE);
	} else if (ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB || request_pending(conn) ||
		   conn->ack.tarr & TCPX_TARR_PENDING)
		settle(ctx);
	else if (!receive_wanted(conn))
		callback_flags(ctx, conn, 0, TCPX_PARSE);
	watch_tell(ctx, conn);
	return 0;
}

/*
 * Nothing is on this segment, the peer's first data or a later one: the kernel still remembers an
 * option of an earlier one.
 */
__noinline int on_plain(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_own(ctx);

	if (!conn)
		return 0;
	ask_settled(conn, header_sequence(ctx) == ctx->rcv_nxt || ctx->rcv_nxt != conn->received);
	if (!receive_wanted(conn))
		callback_flags(ctx, conn, 0, TCPX_PARSE);
	return 0;
}

/* Fast Open: the third ACK is here. Or an attempt to connect has failed. */
__noinline int on_state(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_own(ctx);

	if (conn && ctx->args[0] == BPF_TCP_SYN_SENT)
		return path_failed(ctx);
	if (!conn || !conn->fast_open || ctx->args[1] != BPF_TCP_ESTABLISHED)
		return 0;
	conn->received = ctx->rcv_nxt;
	settle(ctx);
	watch_tell(ctx, conn);
	return 0;
}

__noinline int on_rtt(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_own(ctx);

	if (conn)
		ack_rtt(ctx, conn);
	return 0;
}

SEC("sockops")
int tcpx(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		on_listen(ctx);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		on_received(ctx);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		if (!header_is_plain(ctx))
			on_received(ctx);
		else if (ctx->skb_len > TCPX_HEADER_TIMESTAMPS || ctx->bytes_received)
			on_plain(ctx);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		if (ctx->is_fullsock)
			ask_segment(ctx);
		else
			ask_syn_ack(ctx);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (ctx->is_fullsock)
			ask_segment_write(ctx);
		else
			ask_syn_ack(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB: /* every attempt that succeeds comes here, too */
		if (ctx->args[0] != BPF_TCP_SYN_SENT || ctx->args[1] == BPF_TCP_CLOSE)
			on_state(ctx);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		on_rtt(ctx);
		break;
	default:
		break;
	}
	return 1;
}
