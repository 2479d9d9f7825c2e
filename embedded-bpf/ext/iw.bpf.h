/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The client asks the server for an initial congestion window; or we set our own. */
#ifndef TCPX_IW_BPF_H
#define TCPX_IW_BPF_H

#include "../request.bpf.h"

#define TCPX_IW_USUAL 10    /* segments: RFC 6928 */
#define TCPX_IW_PATIENCE 64 /* segments of ours without data */

static __always_inline bool iw_valid(__u16 segments)
{
	return segments >= 1 && segments <= TCPX_IW_MAX;
}

/* Has a Fast Open server sent data before the third ACK? What a client has sent is on its SYN. */
static __always_inline bool iw_late(struct bpf_sock_ops *ctx)
{
	return ctx->data_segs_out && ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB;
}

/*
 * After a lost SYN or SYN-ACK the window stays small: RFC 5681 3.1, RFC 6928. Returns whether it is
 * set. Global: see receive_judge().
 */
__noinline int iw_apply(struct bpf_sock_ops *ctx, int segments)
{
	int err;

	if (ctx->total_retrans || iw_late(ctx))
		return 0;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_IW, &segments, sizeof(segments));
	if (err) {
		TCPX_ERROR(TCPX_EXT_IW, err);
		return 0;
	}
	count(TCPX_EXT_IW, TCPX_COUNTER_APPLIED);
	return 1;
}

/* Why iw_apply() has not. */
static __always_inline enum tcpx_outcome iw_refusal(struct bpf_sock_ops *ctx)
{
	if (ctx->total_retrans)
		return TCPX_OUTCOME_LOSS;
	return iw_late(ctx) ? TCPX_OUTCOME_LATE : TCPX_OUTCOME_KERNEL;
}

static __always_inline __u16 iw_bounded(const struct tcpx_rule *accept, __u16 asked)
{
	return asked < accept->value[0] ? asked : accept->value[0];
}

/* What a SYN-ACK says to this ask, before anything could be tried. */
static __always_inline __u16 iw_promise(const struct tcpx_rule *accept, __u16 asked)
{
	return iw_bounded(accept, asked);
}

static __always_inline void iw_received(struct tcpx_conn *conn)
{
	struct tcpx_request_conn *r = request_of(conn, TCPX_EXT_IW);
	__u16 answer = r->answer_bits;

	request_take_ask(conn, TCPX_EXT_IW, iw_valid(r->ask_bits));
	request_take_answer(conn, TCPX_EXT_IW, answer && answer <= r->asked, !answer);
}

/* What a connection began with by us; 0: nothing. */
static __always_inline __u32 iw_began(const struct tcpx_conn *conn)
{
	const struct tcpx_request_conn *r = &conn->requests[TCPX_EXT_IW - TCPX_EXT_CC_REQUEST];
	const struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_IW][TCPX_KIND_LOCAL];

	if (r->state == TCPX_REQUEST_ANSWERED)
		return r->answer;
	return rule_active(local) ? local->value[0] : 0;
}

/*
 * A pause shrinks the window, and only before the first data may BPF set it again: until then our
 * segments are looked at. A peer that sends much before has no use for it soon.
 */
static __always_inline bool iw_unsent(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return iw_began(conn) > TCPX_IW_USUAL && !ctx->data_segs_out && !ctx->total_retrans &&
	       ctx->segs_out < TCPX_IW_PATIENCE;
}

/* Is it data that is about to leave? */
static __always_inline bool iw_data(struct bpf_sock_ops *ctx)
{
	return ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB && ctx->skb_len &&
	       ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS;
}

/* Are later segments to be looked at? */
static __always_inline bool iw_waits(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return iw_unsent(ctx, conn) && !iw_data(ctx);
}

/* The first data is about to leave. Global: see receive_judge(). */
__noinline int iw_keep(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 segments;
	int err;

	if (!conn || !conn->since_ns) /* a Fast Open client's SYN */
		return 0;
	segments = iw_began(conn);
	if (ctx->snd_cwnd >= segments)
		return 0;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_IW, &segments, sizeof(segments));
	if (err)
		TCPX_ERROR(TCPX_EXT_IW, err);
	return 0;
}

/* Our own window, with the end of the handshake or, with Fast Open, its SYN. */
static __always_inline void iw_local(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	const struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_IW][TCPX_KIND_LOCAL];
	bool applied;

	if (!local_untried(local) || !local_now(ctx))
		return;
	applied = iw_apply(ctx, local->value[0]);
	conn_outcome(conn, TCPX_EXT_IW, applied ? TCPX_OUTCOME_APPLIED : iw_refusal(ctx));
}

/* The handshake is complete. */
static __always_inline void iw_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_request_conn *r = request_of(conn, TCPX_EXT_IW);
	const struct tcpx_rule *rules = conn->policy.rules[TCPX_EXT_IW];
	const struct tcpx_rule *accept = &rules[TCPX_KIND_ACCEPT];
	__u16 segments;
	bool granted;

	if (r->state == TCPX_REQUEST_PENDING && rule_active(accept)) {
		segments = iw_bounded(accept, r->asked);
		granted = iw_apply(ctx, segments);
		request_decide(conn, TCPX_EXT_IW, granted ? segments : 0, granted, segments);
		if (granted)
			conn_outcome(conn, TCPX_EXT_IW, TCPX_OUTCOME_GRANTED);
		else if (!conn->fast_open) /* there our own came with the SYN */
			conn_outcome(conn, TCPX_EXT_IW, iw_refusal(ctx));
		if (granted && segments < r->asked)
			count_apart(TCPX_EXT_IW, TCPX_COUNTER_CLAMPED);
	} else if (r->state != TCPX_REQUEST_ANSWERED) {
		iw_local(ctx, conn);
	} else if (r->answer) { /* by an inner scope */
		conn_outcome(conn, TCPX_EXT_IW, TCPX_OUTCOME_GRANTED);
	}
}

#endif
