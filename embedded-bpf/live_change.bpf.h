/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Changing a connection that stands, by the checks of the slices in ext/. */
#ifndef TCPX_LIVE_CHANGE_BPF_H
#define TCPX_LIVE_CHANGE_BPF_H

#include "live_ack.bpf.h"

/* As uto_apply(). */
static __always_inline int live_uto(struct tcp_sock *tp, struct tcpx_conn *conn,
				    const struct tcpx_live_order *order,
				    struct tcpx_live_target *target)
{
	struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_LOCAL];
	__u32 present = tp->inet_conn.icsk_user_timeout, timeout;
	__u8 keepalive;
	bool own;
	int err;

	own = !(order->local.flags & TCPX_RULE_FORCE) && present != conn->uto.applied_ms;
	if (own && present != order->local.value[0])
		return live_kept(conn, order, TCPX_EXT_UTO);
	*local = order->local;
	local->outcome = TCPX_OUTCOME_APPLIED;
	timeout = uto_timeout(conn);
	keepalive = uto_keepalive(tp, &timeout);
	if (own &&
	    present != timeout) /* chosen as the rule says, and keep-alive or the peer differ */
		return live_kept(conn, order, TCPX_EXT_UTO);
	target->keepalive = keepalive;
	if (present == timeout) {
		if (present == conn->uto.applied_ms)
			conn->keepalive = keepalive;
		return TCPX_LIVE_SAME;
	}
	err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	if (err)
		return live_failed(conn, target, TCPX_EXT_UTO, err);
	if (!conn->uto.applied_ms)
		conn->before.uto_ms = present;
	conn->uto.applied_ms = timeout;
	conn->keepalive = keepalive;
	count(TCPX_EXT_UTO, TCPX_COUNTER_APPLIED);
	uto_keepalive_count(keepalive);
	return TCPX_LIVE_CHANGED;
}

/* Names that are compared as numbers: the kernel has nothing behind the NUL. */
static __always_inline void live_cc_name(struct tcp_sock *tp, char *name)
{
	cc_name((void *)tp, name);
}

/* As cc_apply(); a choice of the application's after ours counts, too. */
static __always_inline int live_cc(struct tcp_sock *tp, struct tcpx_conn *conn,
				   const struct tcpx_live_order *order,
				   struct tcpx_live_target *target)
{
	struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_LOCAL];
	struct inet_connection_sock___cc *icsk = (void *)tp;
	char now[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	__u32 algorithm = order->local.value[0];
	bool own, done;
	int err = 0;

	if (algorithm >= TCPX_ALGORITHMS)
		return TCPX_LIVE_FAILED;
	live_cc_name(tp, now);
	own = conn->cc_applied ? cc_sum(now) != conn->before.cc_ours
			       : BPF_CORE_READ_BITFIELD(icsk, icsk_ca_setsockopt);
	cc_named(algorithm, name);
	if (own && !(order->local.flags & TCPX_RULE_FORCE) && !cc_same(now, name))
		return live_kept(conn, order, TCPX_EXT_CC_REQUEST);
	if (cc_granted(conn))
		return live_peers(conn, order, TCPX_EXT_CC_REQUEST);
	/* what we have set may have another name by now: dctcp without ECN is dctcp-reno */
	done = cc_same(now, name) ||
	       (conn->cc_applied && !own && rule_active(local) && local->value[0] == algorithm);
	*local = order->local;
	local->outcome = TCPX_OUTCOME_APPLIED;
	if (done && (own || conn->cc_applied))
		return TCPX_LIVE_SAME;
	if (!conn->cc_applied)
		__builtin_memcpy(conn->before.cc, now, sizeof(now));
	if (!done)
		err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (err)
		return live_failed(conn, target, TCPX_EXT_CC_REQUEST, err);
	live_cc_name(tp, now);
	conn->before.cc_ours = cc_sum(now);
	conn->cc_applied = 1;
	if (done) /* what the host has given it */
		return TCPX_LIVE_SAME;
	count(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

static __always_inline int live_apply(struct tcp_sock *tp, struct tcpx_conn *conn,
				      const struct tcpx_live_order *order,
				      struct tcpx_live_target *target)
{
	switch (order->ext) {
	case TCPX_EXT_UTO:
		return live_uto(tp, conn, order, target);
	case TCPX_EXT_CC_REQUEST:
		return live_cc(tp, conn, order, target);
	case TCPX_EXT_ACK:
		return live_ack(tp, conn, order, target);
	default:
		return TCPX_LIVE_FAILED;
	}
}

#endif
