/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The congestion control of connections that exist. */
#ifndef TCPX_CC_REQUEST_LIVE_BPF_H
#define TCPX_CC_REQUEST_LIVE_BPF_H

#include "../live_ask.bpf.h"

/* A choice of the application's after ours counts, too. */
static __always_inline int cc_live_set(void *tp, struct tcpx_conn *conn,
				       const struct tcpx_live_order *order,
				       struct tcpx_live_target *target)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	char now[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	__u32 algorithm = order->local.value[0];
	bool own, done, had;

	if (algorithm >= TCPX_ALGORITHMS)
		return TCPX_LIVE_FAILED;
	cc_name(tp, now);
	own = cc_is_applications(tp, cc);
	cc_named(algorithm, name);
	had = rules_active(&cc->rules, TCPX_KIND_LOCAL) && cc->local == algorithm;
	live_take(&cc->rules, TCPX_KIND_LOCAL, &order->local);
	cc->local = algorithm;
	if (own && !(order->local.flags & TCPX_RULE_FORCE) && !cc_same(now, name))
		return live_kept(&cc->rules, TCPX_EXT_CC_REQUEST);
	if (cc_granted(cc)) {
		rules_outcome(&cc->rules, TCPX_OUTCOME_GRANTED);
		return TCPX_LIVE_PEERS;
	}
	rules_outcome(&cc->rules, TCPX_OUTCOME_APPLIED);
	/* what we have set may have another name by now: dctcp without ECN is dctcp-reno */
	done = cc_same(now, name) || (cc->applied && !own && had);
	if (done && (own || cc->applied))
		return TCPX_LIVE_SAME;
	target->error = cc_set(tp, tp, cc, name, done);
	if (target->error) {
		rules_outcome(&cc->rules, TCPX_OUTCOME_KERNEL);
		return TCPX_LIVE_FAILED;
	}
	if (done) /* what the host has given it */
		return TCPX_LIVE_SAME;
	count(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

/* The kernel takes a congestion control that was set for the application's: remember better. */
static __always_inline int cc_live_undo(void *tp, struct tcpx_conn *conn, bool all, int *err)
{
	struct tcpx_cc_request_conn *cc = &conn->states.cc_request;
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));

	live_drop(&cc->rules, TCPX_KIND_LOCAL);
	if (!all && cc_granted(cc))
		return TCPX_LIVE_PEERS;
	__builtin_memcpy(name, cc->before, sizeof(name));
	if (!cc->applied || !name[0])
		return TCPX_LIVE_SAME;
	if (cc_in_use(tp) != cc->ours_sum)
		return TCPX_LIVE_KEPT;
	if (cc_sum(name) == cc->ours_sum)
		return TCPX_LIVE_SAME;
	*err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (*err)
		return TCPX_LIVE_FAILED;
	cc->ours_sum = cc_sum(name);
	return TCPX_LIVE_CHANGED;
}

static const struct tcpx_live_extension cc_request_live_extension = {
	.set = cc_live_set,
	.undo = cc_live_undo,
};

#endif
