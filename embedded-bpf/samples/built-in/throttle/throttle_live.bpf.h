/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The throttle rate of connections that exist. */
#ifndef TCPX_THROTTLE_LIVE_BPF_H
#define TCPX_THROTTLE_LIVE_BPF_H

#include "../live_ask.bpf.h"

static __always_inline int throttle_live_set(void *tp, struct tcpx_conn *conn,
					     const struct tcpx_live_order *order,
					     struct tcpx_live_target *target)
{
	struct tcpx_throttle_conn *throttle = &conn->states.throttle;

	live_take(&throttle->rules, TCPX_KIND_LOCAL, &order->local);
	throttle_take(conn, TCPX_KIND_LOCAL, &order->local);
	return throttle_set(tp, tp, throttle, &target->error);
}

static __always_inline int throttle_live_undo(void *tp, struct tcpx_conn *conn, bool all, int *err)
{
	struct tcpx_throttle_conn *throttle = &conn->states.throttle;

	live_drop(&throttle->rules, TCPX_KIND_LOCAL);
	return throttle_unset(tp, tp, throttle, err);
}

static const struct tcpx_live_extension throttle_live_extension = {
	.set = throttle_live_set,
	.undo = throttle_live_undo,
};

#endif
