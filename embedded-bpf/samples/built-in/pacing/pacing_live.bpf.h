/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The pacing rate of connections that exist. */
#ifndef TCPX_PACING_LIVE_BPF_H
#define TCPX_PACING_LIVE_BPF_H

#include "../live_ask.bpf.h"

static __always_inline int pacing_live_set(void *tp, struct tcpx_conn *conn,
					   const struct tcpx_live_order *order,
					   struct tcpx_live_target *target)
{
	struct tcpx_pacing_conn *pacing = &conn->states.pacing;

	live_take(&pacing->rules, TCPX_KIND_LOCAL, &order->local);
	pacing_take(conn, TCPX_KIND_LOCAL, &order->local);
	return pacing_set(tp, tp, pacing, &target->error);
}

static __always_inline int pacing_live_undo(void *tp, struct tcpx_conn *conn, bool all, int *err)
{
	struct tcpx_pacing_conn *pacing = &conn->states.pacing;

	live_drop(&pacing->rules, TCPX_KIND_LOCAL);
	return pacing_unset(tp, tp, pacing, err);
}

static const struct tcpx_live_extension pacing_live_extension = {
	.set = pacing_live_set,
	.undo = pacing_live_undo,
};

#endif
