// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The sock_ops program of one scope: switches on the callback and leaves the
 * rest to the slices in ext/. It always returns 1: another value would turn the
 * result of every program on the path into EPERM.
 */
#include <stdbool.h>
#include "ask.bpf.h"
#include "claim.bpf.h"
#include "listen.bpf.h"
#include "path.bpf.h"
#include "receive.bpf.h"
#include "reset.bpf.h"
#include "syn_ack.bpf.h"
#ifdef TCPX_WITH_SLOTS
#include "ext-slot/access.bpf.h"
#include "ext-slot/access_option.bpf.h"
#include "ext-slot/access_told.bpf.h"
#include "ext-slot/access_want.bpf.h"
#endif

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define TCPX_SYN 0x02

/*
 * What a callback does is global functions, so that the program itself, which most callbacks run
 * in vain, has nothing to save and to restore.
 */

/* Of rules that have gone, too. */
#define AGAIN(ID, name, ctx, conn, tp)                                                             \
	if (name##_extension.again)                                                                \
		name##_extension.again(ctx, conn, tp);

/* A socket connects again. What we have set on it for its last connection goes: the next one need
 * not have the rule. */
__noinline int again(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	if (!conn || !tp || attempt_is_known(ctx, conn))
		return 0;
	TCPX_EACH(AGAIN, ctx, conn, tp)
	TCPX_SLOTS_DO(SLOT_UNDOES, slot_undo, ctx)
	return 0;
}

__noinline int on_connect(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (conn)
		again(ctx);
	conn = conn_connect(ctx, conn);
	if (!conn)
		return 0;
	TCPX_CALL(start, ctx, conn)
	TCPX_SLOTS_DO(SLOT_BEGINS, slot_begin, ctx)
	if (any_speaks(conn))
		path_choose(ctx, conn);
	return 0;
}

__noinline int on_listen(struct bpf_sock_ops *ctx)
{
	if (config.use_from)
		listen_arm(ctx);
	TCPX_CALL(listen, ctx)
	TCPX_SLOTS_CALL(ctx, LISTEN)
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
	if (conn->unasked)
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
	TCPX_CALL(first, ctx, conn, false)
	TCPX_CALL(established, ctx, conn, false)
	TCPX_SLOTS_DO(SLOT_SETTLES, slot_settle, ctx, false)
	if (ctx->op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB && any_answers(conn))
		ask_again(ctx, conn);
	ask = any_speaks(conn) && !conn->silent;
	/* a SYN-ACK was lost: maybe for its options; data may be lost for other reasons */
	if (ask && !conn->attempt && ctx->total_retrans &&
	    ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB) {
		ask_stop(ctx, conn, TCPX_SILENCED);
		ask = false;
	}
	ask = ask || !ask_done(ctx, conn);
	/* the scope that does the work has set what it needs, for extensions that others do not
	 * know */
	callback_flags(ctx, conn, (ask ? TCPX_WRITE : 0) | (any_listens(conn) ? TCPX_PARSE : 0),
		       conn->scope == config.scope ? TCPX_STATE | (ask ? 0 : TCPX_WRITE) : 0);
	TCPX_SLOTS_WANT(ctx)
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
	TCPX_CALL(first, ctx, conn, true)
	TCPX_CALL(established, ctx, conn, true)
	TCPX_SLOTS_DO(SLOT_SETTLES, slot_settle, ctx, true)
	return 0;
}

/* A handshake is complete, or a later segment has an option that the kernel does not know. */
__noinline int on_received(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn;
	bool waits;

	conn = passive(ctx) ? claim_accepted(ctx) : conn_own(ctx);
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
	if (passive(ctx)) {
		TCPX_CALL(start, ctx, conn)
		TCPX_SLOTS_DO(SLOT_BEGINS, slot_begin, ctx)
	}
	receive(ctx, conn);
	ask_settled(conn, ctx->rcv_nxt != conn->received);
	TCPX_CALL(adopt, ctx, conn)
	TCPX_SLOTS_DO(SLOT_ASKS, slot_adopt, ctx)
	if (conn->fast_open && passive(ctx)) { /* the third ACK is still to come */
		settle_local(ctx);
		waits = !ask_done(ctx, conn);
		callback_flags(ctx, conn, TCPX_STATE | TCPX_PARSE | (waits ? TCPX_WRITE : 0),
			       waits || any_speaks(conn) ? 0 : TCPX_WRITE);
	} else if (ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB || any_pending(conn))
		settle(ctx);
	else if (!any_listens(conn))
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
	if (!any_listens(conn))
		callback_flags(ctx, conn, 0, TCPX_PARSE);
	return 0;
}

/* Fast Open: the third ACK is here. Or an attempt to connect has failed. */
__noinline int on_state(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_own(ctx);

	if (conn) {
		TCPX_CALL(state, ctx, conn)
		TCPX_SLOTS_CALL(ctx, STATE)
	}
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

	if (conn) {
		TCPX_CALL(rtt, ctx, conn)
		TCPX_SLOTS_CALL(ctx, RTT)
	}
	return 0;
}

__noinline int on_rto(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_own(ctx);

	if (conn) {
		TCPX_CALL(rto, ctx, conn)
		TCPX_SLOTS_CALL(ctx, RTO)
	}
	return 0;
}

#define REPLY(ID, name, ctx, conn, answer)                                                         \
	if (TCPX_USES(ID) && name##_extension.reply && (answer) < 0)                               \
		(answer) = name##_extension.reply(ctx, conn);
#define SLOT_REPLY(n, ctx, answer)                                                                 \
	if (SLOT_CALLS(n, REPLY) && (answer) < 0)                                                  \
		(answer) = slot_called(ctx, TCPX_HOOK_REPLY, n);
#define REPLIES(ID, name) || name##_extension.reply

/* The kernel asks for a time-out, a window, or ECN. */
__noinline int on_question(struct bpf_sock_ops *ctx)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = ctx->is_fullsock ? conn_of(ctx) : NULL;
	int answer = -1;

	TCPX_EACH(REPLY, ctx, conn, answer)
	TCPX_SLOTS(SLOT_REPLY, ctx, answer)
	if (answer >= 0)
		ctx->reply = answer;
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
			syn_ack(ctx);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		if (ctx->is_fullsock)
			ask_segment_write(ctx);
		else
			syn_ack(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB: /* every attempt that succeeds comes here, too */
		if (ctx->args[0] != BPF_TCP_SYN_SENT || ctx->args[1] == BPF_TCP_CLOSE)
			on_state(ctx);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		on_rtt(ctx);
		break;
	case BPF_SOCK_OPS_RTO_CB:
		on_rto(ctx);
		break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
	case BPF_SOCK_OPS_RWND_INIT:
	case BPF_SOCK_OPS_NEEDS_ECN:
		if (SLOTS_REPLY() TCPX_EACH(REPLIES))
			on_question(ctx);
		break;
	default:
		break;
	}
	return 1;
}
