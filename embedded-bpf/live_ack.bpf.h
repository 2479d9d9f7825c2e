/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How a connection that stands acknowledges from now on: the delay, by the checks of ext/ack.bpf.h.
 */
#ifndef TCPX_LIVE_ACK_BPF_H
#define TCPX_LIVE_ACK_BPF_H

#include "live_ask.bpf.h"

static __always_inline int live_failed(struct tcpx_conn *conn, struct tcpx_live_target *target,
				       enum tcpx_ext ext, int err)
{
	TCPX_ERROR(ext, err);
	target->error = err;
	conn_outcome(conn, ext, TCPX_OUTCOME_KERNEL);
	return TCPX_LIVE_FAILED;
}

/* The application has chosen itself: the connection has the rule, as after a set-up under it. */
static __always_inline int live_kept(struct tcpx_conn *conn, const struct tcpx_live_order *order,
				     enum tcpx_ext ext)
{
	conn->policy.rules[ext][TCPX_KIND_LOCAL] = order->local;
	conn_outcome(conn, ext, TCPX_OUTCOME_APPLICATION);
	count_apart(ext, TCPX_COUNTER_KEPT);
	return TCPX_LIVE_KEPT;
}

/* The same where a peer was granted something. */
static __always_inline int live_peers(struct tcpx_conn *conn, const struct tcpx_live_order *order,
				      enum tcpx_ext ext)
{
	conn->policy.rules[ext][TCPX_KIND_LOCAL] = order->local;
	conn_outcome(conn, ext, TCPX_OUTCOME_GRANTED);
	return TCPX_LIVE_PEERS;
}

/* Has the connection this very rule, and what it says? */
static __always_inline bool live_has(const struct tcpx_rule *rule, const struct tcpx_rule *other)
{
	return rule_active(rule) && rule->id == other->id && rule->value[0] == other->value[0] &&
	       rule->value[1] == other->value[1];
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

/* Takes away our bit of the mark, as ack_mark(), or the wish for it. */
static __always_inline int live_unmark(struct tcp_sock *tp, struct tcpx_conn *conn)
{
	__u32 mark = ((struct sock___live *)tp)->sk_mark;
	int err = 0;

	if (conn->ack.marked) {
		mark &= ~(1U << ((conn->ack.marked - 1) & 31));
		err = bpf_setsockopt(tp, TCPX_SOL_SOCKET, TCPX_SO_MARK, &mark, sizeof(mark));
	}
	if (!err)
		conn->ack.marked = conn->ack.waits = 0;
	return err;
}

/* As ack_adopt(), for a rule that is about the delay alone. */
static __always_inline int live_ack(struct tcp_sock *tp, struct tcpx_conn *conn,
				    const struct tcpx_live_order *order,
				    struct tcpx_live_target *target)
{
	struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_LOCAL];
	struct tcpx_ack_conn as = conn->ack;
	__u32 present = live_delay(tp), us;
	int err;

	if (live_ack_granted(conn))
		return live_peers(conn, order, TCPX_EXT_ACK);
	/* a fraction of the RTT is taken once, or every repetition would be a change */
	if (as.applied_us && present == live_jiffies(as.applied_us) && as.rule == order->local.id &&
	    live_has(local, &order->local))
		return TCPX_LIVE_SAME;
	conn->ack.delay_us = order->local.value[1];
	conn->ack.divisor = ack_field(&order->local, TCPX_ACK_DIVISOR);
	us = ack_delay_us(conn, ((struct tcp_sock___live *)tp)->srtt_us >> 3);
	if (!us || (present != live_jiffies(as.applied_us ?: TCPX_DELAY_MOST_US) &&
		    present != live_jiffies(us))) {
		conn->ack = as;
		return us ? live_kept(conn, order, TCPX_EXT_ACK) : TCPX_LIVE_UNKNOWN_RTT;
	}
	*local = order->local;
	local->outcome = TCPX_OUTCOME_APPLIED;
	conn->ack.rule = order->local.id;
	conn->ack.every = 0;
	err = live_unmark(tp, conn);
	if (err)
		return live_failed(conn, target, TCPX_EXT_ACK, err);
	if (present != live_jiffies(us)) {
		err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
		if (err) {
			conn->ack = as;
			return live_failed(conn, target, TCPX_EXT_ACK, err);
		}
	}
	if (!as.applied_us)
		conn->before.delack_us = present * config.jiffy_us;
	conn->ack.applied_us = us;
	if (present == live_jiffies(us))
		return TCPX_LIVE_SAME;
	count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

#endif
