/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Giving connections back what they had, where the value is still ours. */
#ifndef TCPX_LIVE_UNDO_BPF_H
#define TCPX_LIVE_UNDO_BPF_H

#include "live_change.bpf.h"

/* What is left to be done is what a peer was granted. */
static __always_inline int live_undo_uto(struct tcp_sock *tp, struct tcpx_conn *conn, int *err)
{
	struct tcpx_rule *rules = conn->policy.rules[TCPX_EXT_UTO];
	__u32 timeout;

	__builtin_memset(&rules[TCPX_KIND_LOCAL], 0, sizeof(*rules));
	__builtin_memset(&rules[TCPX_KIND_ASK], 0, sizeof(*rules));
	if (!conn->uto.applied_ms)
		return TCPX_LIVE_SAME;
	timeout = uto_timeout(conn);
	if (tp->inet_conn.icsk_user_timeout != conn->uto.applied_ms)
		return TCPX_LIVE_KEPT;
	conn->keepalive = uto_keepalive(tp, &timeout);
	conn->uto.applied_ms = timeout;
	timeout = timeout ?: conn->before.uto_ms;
	*err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	return *err ? TCPX_LIVE_FAILED : TCPX_LIVE_CHANGED;
}

/* The kernel takes a congestion control that was set for the application's: remember better. */
static __always_inline int live_undo_cc(struct tcp_sock *tp, struct tcpx_conn *conn, bool all,
					int *err)
{
	char now[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));

	__builtin_memset(&conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_LOCAL], 0,
			 sizeof(struct tcpx_rule));
	if (!all && cc_granted(conn))
		return TCPX_LIVE_PEERS;
	live_cc_name(tp, now);
	__builtin_memcpy(name, conn->before.cc, sizeof(name));
	if (!conn->cc_applied || !name[0])
		return TCPX_LIVE_SAME;
	if (cc_sum(now) != conn->before.cc_ours)
		return TCPX_LIVE_KEPT;
	if (cc_same(now, name))
		return TCPX_LIVE_SAME;
	*err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (*err)
		return TCPX_LIVE_FAILED;
	conn->before.cc_ours = cc_sum(name);
	return TCPX_LIVE_CHANGED;
}

static __always_inline int live_undo_ack(struct tcp_sock *tp, struct tcpx_conn *conn, bool all,
					 int *err)
{
	__u32 us = conn->before.delack_us ?: TCPX_DELAY_MOST_US, ours = conn->ack.applied_us;
	__u8 every = conn->ack.every;

	__builtin_memset(&conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_LOCAL], 0,
			 sizeof(struct tcpx_rule));
	if (!all && live_ack_granted(conn))
		return TCPX_LIVE_PEERS;
	conn->ack.rule = 0;
	conn->ack.every = 0; /* the thinner lets go */
	conn->ack.divisor = 0;
	conn->ack.delay_us = 0;
	conn->ack.samples = 0;
	conn->ack.applied_us = 0;
	*err = live_unmark(tp, conn);
	if (*err)
		return TCPX_LIVE_FAILED;
	if (!ours)
		return every ? TCPX_LIVE_CHANGED : TCPX_LIVE_SAME;
	if (live_delay(tp) != live_jiffies(ours))
		return TCPX_LIVE_KEPT;
	*err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
	return *err ? TCPX_LIVE_FAILED : TCPX_LIVE_CHANGED;
}

/* `ext`: enum tcpx_ext; `all`: what peers were granted, too. Returns enum tcpx_live_result. */
static __always_inline int live_undo(struct tcp_sock *tp, struct tcpx_conn *conn, __u32 ext,
				     bool all, int *err)
{
	int result = TCPX_LIVE_SAME;

	if (ext == TCPX_EXT_UTO)
		result = live_undo_uto(tp, conn, err);
	else if (ext == TCPX_EXT_CC_REQUEST)
		result = live_undo_cc(tp, conn, all, err);
	else if (ext == TCPX_EXT_ACK)
		result = live_undo_ack(tp, conn, all, err);
	if (*err)
		TCPX_ERROR(ext, *err);
	return result;
}

#endif
