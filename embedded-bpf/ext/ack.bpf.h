/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How this side acknowledges: the delay here, at once by a mark that routing
 * reads, every N segments by the thinner, which looks the numbers up.
 */
#ifndef TCPX_ACK_BPF_H
#define TCPX_ACK_BPF_H

#include "../exchange.bpf.h"
#include "ack_apply.bpf.h"
#include "tarr.bpf.h"

static __always_inline void ack_take(struct tcpx_conn *conn, __u32 kind,
				     const struct tcpx_rule *rule)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;

	if (kind == TCPX_KIND_ASK) {
		ack->ask = rule->value[0];
	} else if (kind == TCPX_KIND_LOCAL) {
		ack->local = rule->value[0];
		ack->local_us = rule->value[1];
	} else {
		ack->accept = rule->value[0];
		ack->accept_us = rule->value[1];
	}
}

/* The kernel itself takes its cap on delayed ACKs back. */
static __always_inline void ack_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, void *tp)
{
	if (conn->states.ack.marked)
		ack_mark(ctx, 0, 0);
}

static __always_inline void ack_renew(struct tcpx_conn *conn)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	__u32 before_us = ack->before_us;

	__builtin_memset(ack, 0, sizeof(*ack));
	ack->before_us = before_us;
}

/* Delay and segments as they travel: an accept rule bounds the second, and its delay the first. */
static __always_inline __u16 ack_bounded(__u32 accept, __u16 asked)
{
	__u8 most = ack_field(accept, TCPX_ACK_EVERY), segments = asked & 0xff;

	return (asked & 0xff00) | (segments < most ? segments : most);
}

/* The paper's request goes on the first segment; TARR's waits for the peer's announcement. */
static __always_inline void ack_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;

	if (!tarr_asks(ack))
		exchange_start(&ack->rules, &ack->ours, ack->ask);
}

/* Both sides may ask: then our request and our answer take turns. */
static __always_inline void ack_say(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				    union tcpx_option *o)
{
	const struct tcpx_ack_conn *ack = &conn->states.ack;

	if (exchange_speaks(&ack->peers) && !(exchange_speaks(&ack->ours) && conn->segments & 1))
		exchange_say(TCPX_EXT_ACK, &ack->peers, o);
	else if (exchange_speaks(&ack->ours))
		exchange_say(TCPX_EXT_ACK, &ack->ours, o);
	else
		tarr_option(ctx, conn, o);
}

static __always_inline void ack_segment(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	if (ack_clocked(&conn->states.ack) && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
		ack_waits(ctx);
}

static __always_inline bool ack_waiting(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return ack_clocked(&conn->states.ack);
}

/* With TARR both roles announce it. */
static __always_inline const struct tcpx_rule *ack_syn_ack_rule(const struct tcpx_hits *hits)
{
	const struct tcpx_rule *accept = policy_rule(hits, TCPX_EXT_ACK, TCPX_KIND_ACCEPT), *ask;

	if (rule_active(accept))
		return accept;
	ask = policy_rule(hits, TCPX_EXT_ACK, TCPX_KIND_ASK);
	return tarr_rule(ask) ? ask : accept;
}

static __always_inline void ack_say_syn_ack(const struct tcpx_handover *h,
					    const struct tcpx_rule *rule, union tcpx_option *o)
{
	__u16 asked = h->asked[TCPX_EXT_ACK];

	if (h->notes[TCPX_EXT_ACK] == TCPX_TARR_CAPABLE_LEN)
		tarr_bytes(TCPX_TARR_CAPABLE_LEN, 0, o);
	else if (!tarr_rule(rule) && h->asks[TCPX_EXT_ACK] == 1 && asked)
		exchange_bytes(TCPX_EXT_ACK, TCPX_ROLE_ANSWER, ack_bounded(rule->value[0], asked),
			       o);
}

static __always_inline void ack_see_syn(struct tcpx_handover *h, __u32 role, const __u8 *option,
					__u32 len)
{
	tarr_see(&h->notes[TCPX_EXT_ACK], len);
}

static __always_inline bool ack_looks(const struct tcpx_conn *conn)
{
	return tarr_asks(&conn->states.ack);
}

/* A changed wish for ACKs may come at any time. */
static __always_inline bool ack_listens(const struct tcpx_conn *conn)
{
	return rules_active(&conn->states.ack.rules, TCPX_KIND_ACCEPT);
}

static __always_inline void ack_see(struct tcpx_conn *conn, __u32 role, const __u8 *option,
				    __u32 len)
{
	tarr_see(&conn->states.ack.tarr_seen, len);
	conn->states.ack.tarr_bits = option[4];
}

static __always_inline void ack_judge(struct tcpx_conn *conn)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	__u16 answer = ack->ours.answer_bits, asked = ack->ours.asked;

	exchange_take_ask(conn, TCPX_EXT_ACK, &ack->rules, &ack->peers, ack->peers.ask_bits,
			  EXCHANGE_ANY_TIME, !ack->tarr_seen);
	exchange_take_answer(conn, TCPX_EXT_ACK, &ack->ours,
			     answer && (answer >> 8 == asked >> 8 || !(answer >> 8)) &&
				     (answer & 0xff) <= (asked & 0xff),
			     !answer);
	tarr_judge(conn);
}

static __always_inline bool ack_pending(const struct tcpx_conn *conn)
{
	return conn->states.ack.tarr & TCPX_TARR_PENDING;
}

static __always_inline void ack_local(struct bpf_sock_ops *ctx, const struct tcpx_ack_conn *ack)
{
	if (rules_active(&ack->rules, TCPX_KIND_LOCAL) && !ack->rule)
		ack_adopt(ctx, TCPX_KIND_LOCAL, ack_field(ack->local, TCPX_ACK_EVERY),
			  ack_field(ack->local, TCPX_ACK_DIVISOR));
}

/* The handshake is complete, or the peer has asked later. */
static __always_inline void ack_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					    bool local)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	struct tcpx_exchange *r = &ack->peers;
	__u16 granted;

	if (local) {
		ack_local(ctx, ack);
		return;
	}
	if (r->state == TCPX_REQUEST_PENDING) {
		granted = ack_bounded(ack->accept, r->asked);
		if ((granted & 0xff) < (r->asked & 0xff))
			count_apart(TCPX_EXT_ACK, TCPX_COUNTER_CLAMPED);
		ack_adopt(ctx, TCPX_KIND_ACCEPT, granted & 0xff, granted >> 8);
		ack->tarr &= ~TCPX_TARR_RULES;
		exchange_decide(conn, TCPX_EXT_ACK, r, granted, granted, granted);
	} else if (ack->tarr & TCPX_TARR_PENDING) {
		granted = ack_bounded(ack->accept, ack->tarr_segments ?: 1);
		if (granted < ack->tarr_segments)
			count_apart(TCPX_EXT_ACK, TCPX_COUNTER_CLAMPED);
		ack_adopt(ctx, TCPX_KIND_ACCEPT, granted & 0xff, 0);
		ack->tarr |= TCPX_TARR_RULES;
		conn_news(conn, TCPX_EXT_ACK, TCPX_NEWS_PEERS);
	} else {
		ack_local(ctx, ack);
	}
	ack->tarr &= ~TCPX_TARR_PENDING;
}

/* TARR has no answer. */
static __always_inline bool ack_tell_ours(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					  struct tcpx_watched_news *e)
{
	const struct tcpx_ack_conn *ack = &conn->states.ack;

	if (ack->tarr & TCPX_TARR_ASKED)
		e->asked = ack->tarr_asked ?: 1;
	else if (tarr_asks(ack))
		e->asked = ack->ask & 0xff;
	else
		return false;
	return true;
}

static __always_inline bool ack_tell_peers(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					   struct tcpx_watched_news *e)
{
	const struct tcpx_ack_conn *ack = &conn->states.ack;

	if (!(ack->tarr & TCPX_TARR_RULES))
		return false;
	e->asked = ack->tarr_segments ?: 1;
	e->granted = ack->every;
	if (!e->granted) {
		e->event = TCPX_WATCH_DENIED;
		e->reason = TCPX_REASON_NOT_ALLOWED;
	} else if (e->granted != e->asked) {
		e->reason = TCPX_REASON_CLAMPED;
	}
	return true;
}

static __always_inline bool ack_has_news(const struct tcpx_conn *conn)
{
	return conn->states.ack.waits == TCPX_ACK_NEWS;
}

static __always_inline void ack_tell(const struct tcpx_conn *conn, struct tcpx_watched_news *e)
{
	e->event = TCPX_ACK_EVENT_INEFFECTIVE;
	e->reason = TCPX_ACK_REASON_ROUTES;
}

static __always_inline void ack_told(struct tcpx_conn *conn)
{
	if (ack_has_news(conn))
		conn->states.ack.waits = 0;
}

static const struct tcpx_extension ack_extension = {
	.ours = __builtin_offsetof(struct tcpx_conn, states.ack.ours),
	.peers = __builtin_offsetof(struct tcpx_conn, states.ack.peers),
	.kind = TCPX_OPTION_EXP,
	.syn_ack_len = TCPX_EXCHANGE_LEN,
	.syn_ack_kinds = 1 << TCPX_KIND_ACCEPT | 1 << TCPX_KIND_ASK,
	.take = ack_take,
	.renew = ack_renew,
	.again = ack_again,
	.start = ack_start,
	.speaks = tarr_speaks,
	.say = ack_say,
	.segment = ack_segment,
	.waits = ack_waiting,
	.syn_ack_rule = ack_syn_ack_rule,
	.say_syn_ack = ack_say_syn_ack,
	.see_syn = ack_see_syn,
	.looks = ack_looks,
	.listens = ack_listens,
	.see = ack_see,
	.judge = ack_judge,
	.pending = ack_pending,
	.established = ack_established,
	.rtt = ack_rtt,
	.tell_ours = ack_tell_ours,
	.tell_peers = ack_tell_peers,
	.has_news = ack_has_news,
	.tell = ack_tell,
	.told = ack_told,
};

#endif
