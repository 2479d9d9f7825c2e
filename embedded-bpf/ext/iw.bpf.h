/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The client asks the server for an initial congestion window; or we set our own. */
#ifndef TCPX_IW_BPF_H
#define TCPX_IW_BPF_H

#include "../exchange.bpf.h"

#define TCPX_IW_USUAL 10    /* segments: RFC 6928 */
#define TCPX_IW_PATIENCE 64 /* segments of ours without data */

static __always_inline void iw_take(struct tcpx_conn *conn, __u32 kind,
				    const struct tcpx_rule *rule)
{
	struct tcpx_iw_conn *iw = &conn->states.iw;

	if (kind == TCPX_KIND_ASK)
		iw->exchange.asked = rule->value[0];
	else if (kind == TCPX_KIND_LOCAL)
		iw->local = rule->value[0];
	else
		iw->most = rule->value[0];
}

static __always_inline bool iw_valid(__u16 segments)
{
	return segments >= 1 && segments <= TCPX_IW_MAX;
}

static __always_inline __u16 iw_bounded(__u16 most, __u16 asked)
{
	return asked < most ? asked : most;
}

static __always_inline void iw_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_iw_conn *iw = &conn->states.iw;

	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		exchange_start(&iw->rules, &iw->exchange, iw->exchange.asked);
}

/* What a SYN-ACK says to this ask, before anything could be tried. */
static __always_inline void iw_say_syn_ack(const struct tcpx_handover *h,
					   const struct tcpx_rule *rule, union tcpx_option *o)
{
	__u16 asked = h->asked[TCPX_EXT_IW];

	if (h->asks[TCPX_EXT_IW] == 1 && iw_valid(asked))
		exchange_bytes(TCPX_EXT_IW, TCPX_ROLE_ANSWER, iw_bounded(rule->value[0], asked), o);
}

static __always_inline void iw_judge(struct tcpx_conn *conn)
{
	struct tcpx_iw_conn *iw = &conn->states.iw;
	struct tcpx_exchange *r = &iw->exchange;
	__u16 answer = r->answer_bits;

	exchange_take_ask(conn, TCPX_EXT_IW, &iw->rules, r, iw_valid(r->ask_bits), EXCHANGE_OPENING,
			  true);
	exchange_take_answer(conn, TCPX_EXT_IW, r, answer && answer <= r->asked, !answer);
}

/* Has a Fast Open server sent data before the third ACK? What a client has sent is on its SYN. */
static __always_inline bool iw_late(struct bpf_sock_ops *ctx)
{
	return ctx->data_segs_out && ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB;
}

/*
 * After a lost SYN or SYN-ACK the window stays small: RFC 5681 3.1, RFC 6928. Returns whether it is
 * set. Global: see receive_header().
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
static __always_inline enum tcpx_outcome iw_outcome(struct bpf_sock_ops *ctx)
{
	if (ctx->total_retrans)
		return TCPX_OUTCOME_LOSS;
	return iw_late(ctx) ? TCPX_OUTCOME_LATE : TCPX_OUTCOME_KERNEL;
}

/* The same for a watcher. */
static __always_inline __u8 iw_refusal(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	if (ctx->total_retrans)
		return TCPX_REASON_LOSS;
	return ctx->data_segs_out ? TCPX_REASON_LATE : TCPX_REASON_KERNEL;
}

/* What a connection began with by us; 0: nothing. */
static __always_inline __u32 iw_began(const struct tcpx_conn *conn)
{
	const struct tcpx_iw_conn *iw = &conn->states.iw;

	if (iw->exchange.state == TCPX_REQUEST_ANSWERED)
		return iw->exchange.answer;
	return rules_active(&iw->rules, TCPX_KIND_LOCAL) ? iw->local : 0;
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

static __always_inline bool iw_waits(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return iw_unsent(ctx, conn) && !iw_data(ctx);
}

/* The first data is about to leave. Global: see receive_header(). */
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

static __always_inline void iw_segment(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	if (iw_unsent(ctx, conn) && iw_data(ctx))
		iw_keep(ctx);
}

/* Our own window, with the end of the handshake or, with Fast Open, its SYN. */
static __always_inline void iw_local(struct bpf_sock_ops *ctx, struct tcpx_iw_conn *iw)
{
	bool applied;

	if (!rules_untried(&iw->rules) || !local_now(ctx))
		return;
	applied = iw_apply(ctx, iw->local);
	rules_outcome(&iw->rules, applied ? TCPX_OUTCOME_APPLIED : iw_outcome(ctx));
}

/* Before the others: BBR paces its first flight by the window that it finds when it begins. */
static __always_inline void iw_first(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, bool local)
{
	struct tcpx_iw_conn *iw = &conn->states.iw;
	struct tcpx_exchange *r = &iw->exchange;
	__u16 segments;
	bool granted;

	if (local) {
		iw_local(ctx, iw);
	} else if (r->state == TCPX_REQUEST_PENDING && rules_active(&iw->rules, TCPX_KIND_ACCEPT)) {
		segments = iw_bounded(iw->most, r->asked);
		granted = iw_apply(ctx, segments);
		exchange_decide(conn, TCPX_EXT_IW, r, granted ? segments : 0, granted, segments);
		if (granted)
			rules_outcome(&iw->rules, TCPX_OUTCOME_GRANTED);
		else if (!conn->fast_open) /* there our own came with the SYN */
			rules_outcome(&iw->rules, iw_outcome(ctx));
		if (granted && segments < r->asked)
			count_apart(TCPX_EXT_IW, TCPX_COUNTER_CLAMPED);
	} else if (r->state != TCPX_REQUEST_ANSWERED) {
		iw_local(ctx, iw);
	} else if (r->answer) { /* by an inner scope */
		rules_outcome(&iw->rules, TCPX_OUTCOME_GRANTED);
	}
}

static const struct tcpx_extension iw_extension = {
	.ours = __builtin_offsetof(struct tcpx_conn, states.iw.exchange),
	.peers = __builtin_offsetof(struct tcpx_conn, states.iw.exchange),
	.kind = TCPX_OPTION_EXP,
	.syn_ack_len = TCPX_EXCHANGE_LEN,
	.syn_ack_kinds = 1 << TCPX_KIND_ACCEPT,
	.take = iw_take,
	.start = iw_start,
	.waits = iw_waits,
	.segment = iw_segment,
	.say_syn_ack = iw_say_syn_ack,
	.judge = iw_judge,
	.first = iw_first,
	.refusal = iw_refusal,
};

#endif
