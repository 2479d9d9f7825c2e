/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* How connections that exist acknowledge: the delay, by the checks of ack_apply.bpf.h, and the
 * request to the peer. */
#ifndef TCPX_ACK_LIVE_BPF_H
#define TCPX_ACK_LIVE_BPF_H

#include "../live_ask.bpf.h"

struct sock___mark {
	__u32 sk_mark;
} __attribute__((preserve_access_index));

struct inet_connection_sock___delay {
	__u32 icsk_delack_max; /* jiffies */
} __attribute__((preserve_access_index));

static __always_inline __u32 ack_jiffies(__u32 us)
{
	return config.jiffy_us ? (us + config.jiffy_us - 1) / config.jiffy_us : 0;
}

static __always_inline __u32 ack_present(void *tp)
{
	return ((struct inet_connection_sock___delay *)tp)->icsk_delack_max;
}

static __always_inline bool ack_granted(const struct tcpx_ack_conn *ack)
{
	return ack->peers.state == TCPX_REQUEST_ANSWERED || ack->tarr & TCPX_TARR_TAKEN;
}

/* Takes away our bit of the mark, as ack_mark(), or the wish for it. */
static __always_inline int ack_unmark(void *tp, struct tcpx_ack_conn *ack)
{
	__u32 mark = ((struct sock___mark *)tp)->sk_mark;
	int err = 0;

	if (ack->marked) {
		mark &= ~(1U << ((ack->marked - 1) & 31));
		err = bpf_setsockopt(tp, TCPX_SOL_SOCKET, TCPX_SO_MARK, &mark, sizeof(mark));
	}
	if (!err)
		ack->marked = ack->waits = 0;
	return err;
}

static __always_inline int ack_failed(struct tcpx_ack_conn *ack, struct tcpx_live_target *target,
				      int err)
{
	TCPX_ERROR(TCPX_EXT_ACK, err);
	target->error = err;
	rules_outcome(&ack->rules, TCPX_OUTCOME_KERNEL);
	return TCPX_LIVE_FAILED;
}

/* Has it this very rule, and what it says? A fraction of the RTT is taken once, or every repetition
 * would be a change. */
static __always_inline bool ack_has(const struct tcpx_ack_conn *ack, const struct tcpx_rule *rule,
				    __u32 present)
{
	return ack->applied_us && present == ack_jiffies(ack->applied_us) &&
	       ack->rule == rule->id && rules_active(&ack->rules, TCPX_KIND_LOCAL) &&
	       ack->rules.ids[TCPX_KIND_LOCAL] == rule->id && ack->local == rule->value[0] &&
	       ack->local_us == rule->value[1];
}

/* As ack_adopt(), for a rule that is about the delay alone. */
static __always_inline int ack_live_set(void *tp, struct tcpx_conn *conn,
					const struct tcpx_live_order *order,
					struct tcpx_live_target *target)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	struct tcpx_ack_conn as = *ack;
	__u32 present = ack_present(tp), us;
	int err;

	if (ack_granted(ack)) {
		live_take(&ack->rules, TCPX_KIND_LOCAL, &order->local);
		ack_take(conn, TCPX_KIND_LOCAL, &order->local);
		rules_outcome(&ack->rules, TCPX_OUTCOME_GRANTED);
		return TCPX_LIVE_PEERS;
	}
	if (ack_has(ack, &order->local, present))
		return TCPX_LIVE_SAME;
	ack->delay_us = order->local.value[1];
	ack->divisor = ack_field(order->local.value[0], TCPX_ACK_DIVISOR);
	us = ack_delay_us(ack, live_srtt(tp) >> 3);
	if (!us || (present != ack_jiffies(as.applied_us ?: TCPX_DELAY_MOST_US) &&
		    present != ack_jiffies(us))) {
		*ack = as;
		if (!us)
			return TCPX_ACK_LIVE_UNKNOWN_RTT;
		live_take(&ack->rules, TCPX_KIND_LOCAL, &order->local);
		ack_take(conn, TCPX_KIND_LOCAL, &order->local);
		return live_kept(&ack->rules, TCPX_EXT_ACK);
	}
	live_take(&ack->rules, TCPX_KIND_LOCAL, &order->local);
	ack_take(conn, TCPX_KIND_LOCAL, &order->local);
	rules_outcome(&ack->rules, TCPX_OUTCOME_APPLIED);
	ack->rule = order->local.id;
	ack->every = 0;
	err = ack_unmark(tp, ack);
	if (err)
		return ack_failed(ack, target, err);
	if (present != ack_jiffies(us)) {
		err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
		if (err) {
			*ack = as;
			return ack_failed(ack, target, err);
		}
	}
	if (!as.applied_us)
		ack->before_us = present * config.jiffy_us;
	ack->applied_us = us;
	if (present == ack_jiffies(us))
		return TCPX_LIVE_SAME;
	count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

/* A changed request for ACKs: with the paper's option, or TARR's. */
static __always_inline int ack_live_ask(void *tp, struct tcpx_conn *conn,
					const struct tcpx_live_order *order,
					struct tcpx_live_target *target)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	struct tcpx_exchange *r = &ack->ours, old = *r;
	struct tcpx_rules rules = ack->rules;
	__u32 ask = ack->ask;
	bool same = tarr_asks(ack) && ask == order->ask.value[0];
	__u8 tarr = ack->tarr;

	if (conn->silent >= TCPX_SILENCED)
		return TCPX_LIVE_SILENCED;
	if (signed_options(tp) && rule_active(&order->ask))
		return TCPX_LIVE_SIGNED;
	live_take(&ack->rules, TCPX_KIND_ASK, &order->ask);
	ack->ask = order->ask.value[0];
	if (!rule_active(&order->ask))
		return TCPX_LIVE_CHANGED;
	if (tarr_rule(&order->ask)) {
		if (!(tarr & TCPX_TARR_PEER))
			return TCPX_ACK_LIVE_INCAPABLE;
		if (same && (tarr & TCPX_TARR_ASKED || !conn->silent)) /* or about to be */
			return TCPX_LIVE_SAME;
		if (r->state == TCPX_REQUEST_ASKED)
			r->state = TCPX_REQUEST_UNANSWERED;
	} else {
		if (r->asked == (__u16)ack->ask && r->state != TCPX_REQUEST_NONE)
			return TCPX_LIVE_SAME;
		r->asked = ack->ask;
		r->answer = 0;
		r->state = TCPX_REQUEST_ASKED;
	}
	ack->tarr &= ~TCPX_TARR_ASKED; /* what counts is what was asked last */
	target->said = live_speak(tp, conn, TCPX_EXT_ACK, true, target);
	if (target->said == TCPX_LIVE_SAID)
		return TCPX_LIVE_CHANGED;
	*r = old;
	live_take_back(&ack->rules, TCPX_KIND_ASK, &rules);
	ack->ask = ask;
	ack->tarr = tarr;
	return TCPX_LIVE_FAILED;
}

static __always_inline int ack_live_undo(void *tp, struct tcpx_conn *conn, bool all, int *err)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	__u32 us = ack->before_us ?: TCPX_DELAY_MOST_US, ours = ack->applied_us;
	__u8 every = ack->every;

	live_drop(&ack->rules, TCPX_KIND_LOCAL);
	if (!all && ack_granted(ack))
		return TCPX_LIVE_PEERS;
	ack->rule = 0;
	ack->every = 0; /* the thinner lets go */
	ack->divisor = 0;
	ack->delay_us = 0;
	ack->samples = 0;
	ack->applied_us = 0;
	*err = ack_unmark(tp, ack);
	if (*err)
		return TCPX_LIVE_FAILED;
	if (!ours)
		return every ? TCPX_LIVE_CHANGED : TCPX_LIVE_SAME;
	if (ack_present(tp) != ack_jiffies(ours))
		return TCPX_LIVE_KEPT;
	*err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
	return *err ? TCPX_LIVE_FAILED : TCPX_LIVE_CHANGED;
}

static const struct tcpx_live_extension ack_live_extension = {
	.set = ack_live_set,
	.ask = ack_live_ask,
	.undo = ack_live_undo,
};

#endif
