/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The client asks the server for the DSCP of what it sends (RFC 2474). What a client was granted
 * stays with its connection: giving it back would need a dscp_request_live.bpf.h.
 */
#ifndef TCPX_DSCP_REQUEST_BPF_H
#define TCPX_DSCP_REQUEST_BPF_H

#include "../exchange.bpf.h"
#include "../tcpx_slice.h"

#define TCPX_SOL_IP 0
#define TCPX_SOL_IPV6 41
#define TCPX_IP_TOS 1
#define TCPX_IPV6_TCLASS 67
#define TCPX_ECN 3 /* the bits of the same byte that are not ours */

static __always_inline void dscp_take(struct tcpx_conn *conn, __u32 kind,
				      const struct tcpx_rule *rule)
{
	struct tcpx_dscp_request_conn *dscp = &conn->states.dscp_request;

	if (kind == TCPX_KIND_ASK)
		dscp->exchange.asked = rule->value[0];
	else
		dscp->most = rule->value[0];
}

/* On connections that we open: the exchange puts it on segments until it is answered. */
static __always_inline void dscp_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_dscp_request_conn *dscp = &conn->states.dscp_request;

	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		exchange_start(&dscp->rules, &dscp->exchange, dscp->exchange.asked);
}

/* What a SYN-ACK says, before anything could be tried. */
static __always_inline __u16 dscp_promise(__u16 most, __u16 asked)
{
	return asked <= most ? asked : TCPX_DSCP_REFUSED;
}

static __always_inline void dscp_say_syn_ack(const struct tcpx_handover *h,
					     const struct tcpx_rule *rule, union tcpx_option *o)
{
	__u16 asked = h->asked[TCPX_EXT_DSCP_REQUEST];

	/* once and no more; what is malformed has no answer */
	if (h->asks[TCPX_EXT_DSCP_REQUEST] == 1 && asked <= TCPX_DSCP_MAX)
		exchange_bytes(TCPX_EXT_DSCP_REQUEST, TCPX_ROLE_ANSWER,
			       dscp_promise(rule->value[0], asked), o);
}

/* Options of the exchange were seen: are they ones that may stand there? */
static __always_inline void dscp_judge(struct tcpx_conn *conn)
{
	struct tcpx_dscp_request_conn *dscp = &conn->states.dscp_request;
	struct tcpx_exchange *r = &dscp->exchange;

	exchange_take_ask(conn, TCPX_EXT_DSCP_REQUEST, &dscp->rules, r,
			  r->ask_bits <= TCPX_DSCP_MAX, EXCHANGE_OPENING, true);
	exchange_take_answer(conn, TCPX_EXT_DSCP_REQUEST, r, r->answer_bits == r->asked,
			     r->answer_bits == TCPX_DSCP_REFUSED);
}

/*
 * Sets what our segments carry, unless the application has chosen. Returns TCPX_REASON_NONE, or why
 * it has not. Global: verifiers look at it once, and not for every path that leads to it.
 */
__noinline int dscp_apply(struct bpf_sock_ops *ctx, int dscp)
{
	bool ipv4 = ctx->family == TCPX_AF_INET;
	int level = ipv4 ? TCPX_SOL_IP : TCPX_SOL_IPV6;
	int name = ipv4 ? TCPX_IP_TOS : TCPX_IPV6_TCLASS;
	__u32 address[4] = {};
	int octet = 0, err;

	policy_address(ctx, address);
	if (!ipv4 && policy_family(address) == TCPX_FAMILY_IPV4)
		return TCPX_REASON_KERNEL; /* an IPv6 socket that speaks IPv4: BPF sets no TOS */
	err = bpf_getsockopt(ctx, level, name, &octet, sizeof(octet));
	if (!err && octet & ~TCPX_ECN) {
		count_apart(TCPX_EXT_DSCP_REQUEST, TCPX_COUNTER_KEPT);
		return TCPX_REASON_APPLICATION;
	}
	octet |= dscp << 2;
	if (!err)
		err = bpf_setsockopt(ctx, level, name, &octet, sizeof(octet));
	if (err) {
		TCPX_ERROR(TCPX_EXT_DSCP_REQUEST, err);
		return TCPX_REASON_KERNEL;
	}
	count(TCPX_EXT_DSCP_REQUEST, TCPX_COUNTER_APPLIED);
	return TCPX_REASON_NONE;
}

/* The peer's request is decided, and the answer is what has come of it. */
static __always_inline void dscp_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					     bool local)
{
	struct tcpx_dscp_request_conn *dscp = &conn->states.dscp_request;
	struct tcpx_exchange *r = &dscp->exchange;
	__u16 promise = dscp_promise(dscp->most, r->asked);
	bool granted;

	if (local || r->state != TCPX_REQUEST_PENDING)
		return;
	dscp->refusal =
		promise == TCPX_DSCP_REFUSED ? TCPX_REASON_NOT_ALLOWED : dscp_apply(ctx, r->asked);
	granted = dscp->refusal == TCPX_REASON_NONE;
	exchange_decide(conn, TCPX_EXT_DSCP_REQUEST, r, granted ? r->asked : TCPX_DSCP_REFUSED,
			granted, promise);
}

static __always_inline __u8 dscp_refusal(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return conn->states.dscp_request.refusal;
}

static const struct tcpx_extension dscp_request_extension = {
	.ours = __builtin_offsetof(struct tcpx_conn, states.dscp_request.exchange),
	.peers = __builtin_offsetof(struct tcpx_conn, states.dscp_request.exchange),
	.kind = TCPX_OPTION_EXP,
	.syn_ack_len = TCPX_EXCHANGE_LEN,
	.syn_ack_kinds = 1 << TCPX_KIND_ACCEPT,
	.take = dscp_take,
	.start = dscp_start,
	.say_syn_ack = dscp_say_syn_ack,
	.judge = dscp_judge,
	.established = dscp_established,
	.refused = TCPX_DSCP_REFUSED,
	.refusal = dscp_refusal,
};

#endif
