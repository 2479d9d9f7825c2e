/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Changing a connection that stands, by the checks of the slices in ext/. */
#ifndef TCPX_LIVE_CHANGE_BPF_H
#define TCPX_LIVE_CHANGE_BPF_H

#include "live_ask.bpf.h"

static __always_inline int live_failed(struct tcpx_live_target *target, __u32 ext, int err)
{
	TCPX_ERROR(ext, err);
	target->error = err;
	return TCPX_LIVE_FAILED;
}

static __always_inline int live_kept(__u32 ext)
{
	count(ext, TCPX_COUNTER_KEPT);
	return TCPX_LIVE_KEPT;
}

/* As uto_apply(). */
static __always_inline int live_uto(struct tcp_sock *tp, struct tcpx_conn *conn,
				    const struct tcpx_live_order *order,
				    struct tcpx_live_target *target)
{
	struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_LOCAL];
	__u32 present = tp->inet_conn.icsk_user_timeout, timeout;
	int err;

	if (!(order->local.flags & TCPX_RULE_FORCE) && present != conn->uto.applied_ms &&
	    present != order->local.value[0])
		return live_kept(TCPX_EXT_UTO);
	*local = order->local;
	timeout = uto_timeout(conn);
	if (present == timeout)
		return TCPX_LIVE_SAME;
	err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	if (err)
		return live_failed(target, TCPX_EXT_UTO, err);
	if (!conn->uto.applied_ms)
		conn->before.uto_ms = present;
	conn->uto.applied_ms = timeout;
	count(TCPX_EXT_UTO, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

static __always_inline bool live_same_name(const char *a, const char *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* Names that are compared as numbers: nothing may stand behind the NUL. */
static __always_inline void live_cc_name(struct tcp_sock *tp, char *name)
{
	struct inet_connection_sock___cc *icsk = (void *)tp;

	__builtin_memset(name, 0, TCPX_CA_NAME_MAX);
	bpf_core_read_str(name, TCPX_CA_NAME_MAX, &icsk->icsk_ca_ops->name);
}

/* Does it send as the peer has asked? */
static __always_inline bool live_cc_granted(const struct tcpx_conn *conn)
{
	const struct tcpx_request_conn *r = &conn->requests[0];

	return r->state == TCPX_REQUEST_ANSWERED && r->answer != TCPX_CC_REFUSED;
}

/* As cc_apply(); a choice of the application's after ours counts, too. */
static __always_inline int live_cc(struct tcp_sock *tp, struct tcpx_conn *conn,
				   const struct tcpx_live_order *order,
				   struct tcpx_live_target *target)
{
	struct inet_connection_sock___cc *icsk = (void *)tp;
	char now[TCPX_CA_NAME_MAX], name[TCPX_CA_NAME_MAX];
	__u32 algorithm = order->local.value[0];
	bool own;
	int err;

	if (algorithm >= TCPX_ALGORITHM_COUNT)
		return TCPX_LIVE_FAILED;
	live_cc_name(tp, now);
	own = conn->cc_applied ? !live_same_name(now, conn->before.cc_ours)
			       : BPF_CORE_READ_BITFIELD(icsk, icsk_ca_setsockopt);
	__builtin_memcpy(name, cc_names[algorithm], sizeof(name));
	if (own && !(order->local.flags & TCPX_RULE_FORCE) && !live_same_name(now, name))
		return live_kept(TCPX_EXT_CC_REQUEST);
	if (live_cc_granted(conn))
		return TCPX_LIVE_PEERS;
	conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_LOCAL] = order->local;
	if (live_same_name(now, name))
		return TCPX_LIVE_SAME;
	err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (err)
		return live_failed(target, TCPX_EXT_CC_REQUEST, err);
	if (!conn->cc_applied)
		__builtin_memcpy(conn->before.cc, now, sizeof(now));
	live_cc_name(tp, conn->before.cc_ours); /* dctcp without ECN is dctcp-reno */
	conn->cc_applied = 1;
	count(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

static __always_inline __u32 live_jiffies(__u32 us)
{
	return config.jiffy_us ? (us + config.jiffy_us - 1) / config.jiffy_us : 0;
}

static __always_inline __u32 live_delay(struct tcp_sock *tp)
{
	return ((struct inet_connection_sock___live *)tp)->icsk_delack_max;
}

static __always_inline bool live_ack_granted(const struct tcpx_conn *conn)
{
	return conn->requests[3].state == TCPX_REQUEST_ANSWERED || conn->ack.tarr & TCPX_TARR_TAKEN;
}

/* Takes away our bit of the mark, as ack_mark(). */
static __always_inline int live_unmark(struct tcp_sock *tp, struct tcpx_conn *conn)
{
	__u32 mark = ((struct sock___live *)tp)->sk_mark;
	int err = 0;

	if (conn->ack.marked) {
		mark &= ~(1U << ((conn->ack.marked - 1) & 31));
		err = bpf_setsockopt(tp, TCPX_SOL_SOCKET, TCPX_SO_MARK, &mark, sizeof(mark));
	}
	if (!err)
		conn->ack.marked = 0;
	return err;
}

/* As ack_adopt(), for a rule that is about the delay alone. */
static __always_inline int live_ack(struct tcp_sock *tp, struct tcpx_conn *conn,
				    const struct tcpx_live_order *order,
				    struct tcpx_live_target *target)
{
	struct tcpx_ack_conn as = conn->ack;
	__u32 present = live_delay(tp), us;
	int err;

	if (live_ack_granted(conn))
		return TCPX_LIVE_PEERS;
	conn->ack.delay_us = order->local.value[1];
	conn->ack.divisor = ack_field(&order->local, TCPX_ACK_DIVISOR);
	us = ack_delay_us(conn, ((struct tcp_sock___live *)tp)->srtt_us >> 3);
	if (!us || (present != live_jiffies(as.applied_us ?: TCPX_DELAY_MOST_US) &&
		    present != live_jiffies(us))) {
		conn->ack = as;
		return us ? live_kept(TCPX_EXT_ACK) : TCPX_LIVE_UNKNOWN_RTT;
	}
	conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_LOCAL] = order->local;
	conn->ack.rule = order->local.id;
	conn->ack.every = 0;
	err = live_unmark(tp, conn);
	if (err)
		return live_failed(target, TCPX_EXT_ACK, err);
	if (present == live_jiffies(us))
		return TCPX_LIVE_SAME;
	err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
	if (err) {
		conn->ack = as;
		return live_failed(target, TCPX_EXT_ACK, err);
	}
	if (!as.applied_us)
		conn->before.delack_us = present * config.jiffy_us;
	conn->ack.applied_us = us;
	count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
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
