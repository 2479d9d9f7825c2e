/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Speaking again on a connection that stands. */
#ifndef TCPX_LIVE_ASK_BPF_H
#define TCPX_LIVE_ASK_BPF_H

#include "live.bpf.h"
#include "signed.bpf.h"

/* Adds callback flags: 0, or -EINVAL on kernels before 6.12. */
static __always_inline int live_flags(struct tcp_sock *tp, __u32 set)
{
	int present = ((struct tcp_sock___live *)tp)->bpf_sock_ops_cb_flags;
	int flags = present | set;

	if (flags == present)
		return 0;
	return bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_BPF_SOCK_OPS_CB_FLAGS, &flags,
			      sizeof(flags));
}

/*
 * The state of a connection, made as if it had been set up with the scope's rules and had nothing
 * left to say. One whose scope has gone becomes ours: its program would never speak.
 */
static __always_inline struct tcpx_conn *live_conn(struct tcp_sock *tp,
						   const struct tcpx_live_order *order)
{
	struct tcpx_conn *conn = bpf_sk_storage_get(&conns, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	__u64 scope;

	if (!conn)
		return NULL;
	scope = conn->scope;
	if (!scope || !bpf_map_lookup_elem(&scopes, &scope))
		conn->scope = order->scope;
	if (conn->since_ns)
		return conn;
	conn->since_ns = bpf_ktime_get_ns();
	conn->silent = TCPX_SILENT; /* received stays 0: nobody has seen its handshake */
	return conn;
}

/* As ask_again(): with the next segments, whenever they come. Returns enum tcpx_live_said. */
static __always_inline int live_speak(struct tcp_sock *tp, struct tcpx_conn *conn, __u32 ext,
				      struct tcpx_live_target *target)
{
	__u32 flags = TCPX_WRITE | (ext == TCPX_EXT_ACK ? TCPX_PARSE : 0), present;
	struct tcp_sock___live *live = (void *)tp;

	present = live->bpf_sock_ops_cb_flags;
	if (conn->silent >= TCPX_SILENCED || signed_options(tp))
		return TCPX_LIVE_UNSAID;
	target->error = live_flags(tp, flags);
	if (target->error)
		return TCPX_LIVE_UNSAID;
	conn->flags_ours |= flags & ~present;
	/* what was said before is not said again */
	for (int i = 0; i < TCPX_REQUESTS; i++)
		if (conn->silent && conn->requests[i].state == TCPX_REQUEST_ANSWERED)
			conn->requests[i].promised = 1;
	conn->written &= ~(1 << (ext & 7));
	conn->heard = ext != TCPX_EXT_UTO;
	conn->silent = TCPX_SPEAKING;
	conn->segments = 0;
	conn->since_ns = TCPX_SINCE_NEXT;
	conn->first_byte = live->snd_nxt;
	conn->retrans = live->total_retrans;
	return TCPX_LIVE_SAID;
}

/* Advertises the user timeout unless this very value has been said, or is on its way. */
static __always_inline int live_advertise(struct tcp_sock *tp, struct tcpx_conn *conn,
					  const struct tcpx_live_order *order,
					  struct tcpx_live_target *target)
{
	struct tcpx_rule *ask = &conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ASK], rule = *ask;
	bool same = rule_active(&rule) && rule.value[1] == order->ask.value[1] &&
		    (conn->written & 1 << TCPX_EXT_UTO || !conn->silent);
	int said;

	if (!order->ask.flags)
		return TCPX_LIVE_NOTHING_TO_SAY;
	*ask = order->ask;
	if (same || !rule_active(ask))
		return TCPX_LIVE_NOTHING_TO_SAY;
	said = live_speak(tp, conn, TCPX_EXT_UTO, target);
	if (said != TCPX_LIVE_SAID) /* the peer knows what it knew */
		*ask = rule;
	return said;
}

/* A changed request for ACKs: with the paper's option, or TARR's. */
static __always_inline int live_request(struct tcp_sock *tp, struct tcpx_conn *conn,
					const struct tcpx_live_order *order,
					struct tcpx_live_target *target)
{
	struct tcpx_request_conn *r = request_of(conn, TCPX_EXT_ACK), old = *r;
	struct tcpx_rule *ask = &conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_ASK], rule = *ask;
	bool same = tarr_asks(ask) && ask->value[0] == order->ask.value[0];
	__u8 tarr = conn->ack.tarr;

	if (conn->silent >= TCPX_SILENCED)
		return TCPX_LIVE_SILENCED;
	if (signed_options(tp) && rule_active(&order->ask))
		return TCPX_LIVE_SIGNED;
	*ask = order->ask;
	if (!rule_active(&order->ask))
		return TCPX_LIVE_CHANGED;
	if (tarr_asks(&order->ask)) {
		if (!(tarr & TCPX_TARR_PEER))
			return TCPX_LIVE_INCAPABLE;
		if (same && (tarr & TCPX_TARR_ASKED || !conn->silent)) /* or about to be */
			return TCPX_LIVE_SAME;
		conn->ack.tarr &= ~TCPX_TARR_ASKED;
		if (r->state == TCPX_REQUEST_ASKED)
			r->state = TCPX_REQUEST_UNANSWERED;
	} else {
		if (r->asked == (__u16)order->ask.value[0] && r->state != TCPX_REQUEST_NONE)
			return TCPX_LIVE_SAME;
		r->asked = order->ask.value[0];
		r->answer = 0;
		r->state = TCPX_REQUEST_ASKED;
		conn->ack.tarr &= ~TCPX_TARR_ASKED; /* what counts is what was asked last */
	}
	target->said = live_speak(tp, conn, TCPX_EXT_ACK, target);
	if (target->said == TCPX_LIVE_SAID)
		return TCPX_LIVE_CHANGED;
	*r = old;
	*ask = rule;
	conn->ack.tarr = tarr;
	return TCPX_LIVE_FAILED;
}

#endif
