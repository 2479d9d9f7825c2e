/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The user timeout of connections that exist. */
#ifndef TCPX_UTO_LIVE_BPF_H
#define TCPX_UTO_LIVE_BPF_H

#include "../live_ask.bpf.h"

static __always_inline int uto_live_set(void *tp, struct tcpx_conn *conn,
					const struct tcpx_live_order *order,
					struct tcpx_live_target *target)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;
	int result;

	live_take(&uto->rules, TCPX_KIND_LOCAL, &order->local);
	uto_take(conn, TCPX_KIND_LOCAL, &order->local);
	result = uto_set(tp, tp, uto, order->local.flags & TCPX_RULE_FORCE, &target->error);
	if (result == TCPX_LIVE_SAME || result == TCPX_LIVE_CHANGED)
		target->note = uto->keepalive;
	return result;
}

/* Advertises it unless this very value has been said, or is on its way. */
static __always_inline int uto_live_say(void *tp, struct tcpx_conn *conn,
					const struct tcpx_live_order *order,
					struct tcpx_live_target *target)
{
	struct tcpx_uto_conn *uto = &conn->states.uto, before = *uto;
	bool same = rules_active(&uto->rules, TCPX_KIND_ASK) &&
		    uto->ask_bits == order->ask.value[1] &&
		    (conn->written & 1 << TCPX_EXT_UTO || !conn->silent);
	int said;

	live_take(&uto->rules, TCPX_KIND_ASK, &order->ask);
	uto_take(conn, TCPX_KIND_ASK, &order->ask);
	if (same || !rule_active(&order->ask))
		return TCPX_LIVE_NOTHING_TO_SAY;
	said = live_speak(tp, conn, TCPX_EXT_UTO, false, target);
	if (said != TCPX_LIVE_SAID) { /* the peer knows what it knew */
		live_take_back(&uto->rules, TCPX_KIND_ASK, &before.rules);
		uto->ask_ms = before.ask_ms;
		uto->ask_bits = before.ask_bits;
	}
	return said;
}

/* What is left to be done is what a peer was granted. */
static __always_inline int uto_live_undo(void *tp, struct tcpx_conn *conn, bool all, int *err)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;
	__u32 timeout;

	live_drop(&uto->rules, TCPX_KIND_LOCAL);
	live_drop(&uto->rules, TCPX_KIND_ASK);
	if (!uto->applied_ms)
		return TCPX_LIVE_SAME;
	timeout = uto_timeout(uto);
	if (uto_present(tp) != uto->applied_ms)
		return TCPX_LIVE_KEPT;
	uto->keepalive = uto_keepalive(tp, &timeout);
	uto->applied_ms = timeout;
	timeout = timeout ?: uto->before_ms;
	*err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	return *err ? TCPX_LIVE_FAILED : TCPX_LIVE_CHANGED;
}

static const struct tcpx_live_extension uto_live_extension = {
	.set = uto_live_set,
	.say = uto_live_say,
	.undo = uto_live_undo,
};

#endif
