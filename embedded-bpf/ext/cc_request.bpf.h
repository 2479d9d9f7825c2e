/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The client asks the server for a congestion control; or we set our own. */
#ifndef TCPX_CC_REQUEST_BPF_H
#define TCPX_CC_REQUEST_BPF_H

#include "../exchange.bpf.h"
#include "cc_name.bpf.h"

static __always_inline void cc_take(struct tcpx_conn *conn, __u32 kind,
				    const struct tcpx_rule *rule)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;

	if (kind == TCPX_KIND_ASK)
		cc->exchange.asked = cc_number(rule->value[0]);
	else if (kind == TCPX_KIND_LOCAL)
		cc->local = rule->value[0];
	else
		cc->allowed = rule->value[0];
}

static __always_inline void cc_renew(struct tcpx_conn *conn)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;

	__builtin_memset(&cc->rules, 0, sizeof(cc->rules));
	__builtin_memset(&cc->exchange, 0, sizeof(cc->exchange));
}

/* As cc_undo(): the kernel takes what we set for the application's choice. */
static __always_inline void cc_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, void *tp)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	__u64 ours = cc->ours_sum;
	int err;

	__builtin_memcpy(name, cc->before, sizeof(name));
	if (!cc->applied || !name[0] || cc_in_use(tp) != ours || cc_sum(name) == ours)
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (err)
		TCPX_ERROR(TCPX_EXT_CC_REQUEST, err);
	else
		cc->ours_sum = cc_sum(name);
}

static __always_inline void cc_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;

	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		exchange_start(&cc->rules, &cc->exchange, cc->exchange.asked);
}

/* The allow-list is the only gate: BPF ignores net.ipv4.tcp_allowed_congestion_control. */
static __always_inline bool cc_listed(__u32 allowed, __u32 algorithm)
{
	return algorithm < TCPX_ALGORITHMS && allowed & 1U << algorithm;
}

static __always_inline bool cc_allowed(__u32 allowed, __u16 number)
{
	return cc_listed(allowed, cc_algorithm(number));
}

/* What a SYN-ACK says to this ask, before anything could be tried. */
static __always_inline __u16 cc_promise(__u32 allowed, __u16 asked)
{
	return cc_allowed(allowed, asked) ? asked : TCPX_CC_REFUSED;
}

static __always_inline void cc_say_syn_ack(const struct tcpx_handover *h,
					   const struct tcpx_rule *rule, union tcpx_option *o)
{
	if (h->asks[TCPX_EXT_CC_REQUEST] == 1)
		exchange_bytes(TCPX_EXT_CC_REQUEST, TCPX_ROLE_ANSWER,
			       cc_promise(rule->value[0], h->asked[TCPX_EXT_CC_REQUEST]), o);
}

static __always_inline void cc_judge(struct tcpx_conn *conn)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;
	struct tcpx_exchange *r = &cc->exchange;
	__u16 answer = r->answer_bits;

	/* an unknown number is refused, not malformed: a newer peer may know more */
	exchange_take_ask(conn, TCPX_EXT_CC_REQUEST, &cc->rules, r, r->ask_bits != TCPX_CC_REFUSED,
			  EXCHANGE_OPENING, true);
	exchange_take_answer(conn, TCPX_EXT_CC_REQUEST, r, answer == r->asked,
			     answer == TCPX_CC_REFUSED);
}

/* `kind`: of the rule that wants it. Returns whether it is set. Global: see receive_header(). */
__noinline int cc_apply(struct bpf_sock_ops *ctx, __u32 kind, __u32 algorithm)
{
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	char now[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	struct tcpx_conn *conn = conn_of(ctx);
	struct inet_connection_sock___cc *icsk;
	struct tcpx_cc_request_conn *cc;
	struct bpf_sock *sk = ctx->sk;
	bool same = false;
	__u8 flags;

	if (!conn || !sk || algorithm >= TCPX_ALGORITHMS)
		return 0;
	cc = &conn->states.cc_request;
	icsk = (void *)bpf_skc_to_tcp_sock(sk);
	if (!icsk)
		return 0;
	flags = kind == TCPX_KIND_LOCAL ? cc->rules.flags[TCPX_KIND_LOCAL]
					: cc->rules.flags[TCPX_KIND_ACCEPT];
	if (!(flags & TCPX_RULE_FORCE) && cc_is_applications(icsk, cc)) {
		count_apart(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_KEPT);
		return 0;
	}
	cc_named(algorithm, name);
	if (!cc->applied) {
		cc_name(icsk, now);
		same = cc_same(now, name);
	}
	if (cc_set(ctx, icsk, cc, name, same))
		return 0;
	count(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_APPLIED);
	return 1;
}

/* Why cc_apply() has not, where the rule allows it. */
static __always_inline bool cc_kept(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	struct bpf_sock *sk = ctx->sk;
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && cc_is_applications(tp, &conn->states.cc_request);
}

/* The same for a watcher. */
static __always_inline __u8 cc_refusal(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	const struct tcpx_cc_request_conn *cc = &conn->states.cc_request;

	if (!cc_allowed(cc->allowed, cc->exchange.asked))
		return TCPX_REASON_NOT_ALLOWED;
	return cc_kept(ctx, conn) ? TCPX_REASON_APPLICATION : TCPX_REASON_KERNEL;
}

/* Our own wish. */
static __always_inline void cc_local(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;
	enum tcpx_outcome outcome = TCPX_OUTCOME_APPLIED;

	if (!rules_untried(&cc->rules) || !local_now(ctx))
		return;
	if (!cc_apply(ctx, TCPX_KIND_LOCAL, cc->local))
		outcome =
			!(cc->rules.flags[TCPX_KIND_LOCAL] & TCPX_RULE_FORCE) && cc_kept(ctx, conn)
				? TCPX_OUTCOME_APPLICATION
				: TCPX_OUTCOME_KERNEL;
	rules_outcome(&cc->rules, outcome);
}

/* The peer's request goes before our own wish, which may be that of an outer scope. */
static __always_inline void cc_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					   bool local)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;
	struct tcpx_exchange *r = &cc->exchange;
	bool allowed, granted;
	__u32 algorithm;

	if (!local && r->state == TCPX_REQUEST_PENDING) {
		algorithm = cc_algorithm(r->asked);
		allowed = cc_listed(cc->allowed, algorithm);
		granted = allowed && rules_active(&cc->rules, TCPX_KIND_ACCEPT) &&
			  cc_apply(ctx, TCPX_KIND_ACCEPT, algorithm);
		exchange_decide(conn, TCPX_EXT_CC_REQUEST, r, granted ? r->asked : TCPX_CC_REFUSED,
				granted, allowed ? r->asked : TCPX_CC_REFUSED);
	}
	if (!local && cc_granted(cc))
		rules_outcome(&cc->rules, TCPX_OUTCOME_GRANTED);
	else
		cc_local(ctx, conn);
}

static const struct tcpx_extension cc_request_extension = {
	.ours = __builtin_offsetof(struct tcpx_conn, states.cc_request.exchange),
	.peers = __builtin_offsetof(struct tcpx_conn, states.cc_request.exchange),
	.kind = TCPX_OPTION_EXP,
	.syn_ack_len = TCPX_EXCHANGE_LEN,
	.syn_ack_kinds = 1 << TCPX_KIND_ACCEPT,
	.take = cc_take,
	.renew = cc_renew,
	.again = cc_again,
	.start = cc_start,
	.say_syn_ack = cc_say_syn_ack,
	.judge = cc_judge,
	.established = cc_established,
	.refused = TCPX_CC_REFUSED,
	.refusal = cc_refusal,
};

#endif
