/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What has become of local rules on a listed connection. What the slices have noted is about the
 * handshake; whether the value is still ours, the socket says now.
 */
#ifndef TCPX_LIST_LOCAL_BPF_H
#define TCPX_LIST_LOCAL_BPF_H

#include <stdbool.h>
#include "conns.bpf.h"

/* Its address by hand is one that only reads can use. */
#define list_copy(to, size, from)                                                                  \
	(by_hand ? (void)bpf_probe_read_kernel(to, size, from)                                     \
		 : (void)__builtin_memcpy(to, from, size))

static __always_inline bool list_active(const struct tcpx_rule *rule)
{
	return (rule->flags & (TCPX_RULE_SET | TCPX_RULE_NONE)) == TCPX_RULE_SET;
}

static __always_inline __u8 list_uto(const struct tcpx_listed *r, __u8 outcome)
{
	__u32 ours = r->uto.applied_ms ?: r->local_rules[TCPX_EXT_UTO].value[0];

	return outcome == TCPX_OUTCOME_APPLIED && r->user_timeout_ms != ours
		       ? TCPX_OUTCOME_APPLICATION
		       : outcome;
}

static __always_inline __u8 list_cc(const struct tcpx_listed *r, __u8 outcome, __u64 ours)
{
	return outcome == TCPX_OUTCOME_APPLIED && cc_sum(r->congestion) != ours
		       ? TCPX_OUTCOME_APPLICATION
		       : outcome;
}

/* From its state alone: routes and the RTT may come later than the handshake. */
static __always_inline __u8 list_ack(const struct tcpx_listed *r, __u8 outcome, __u32 jiffy_us)
{
	const struct tcpx_rule *rule = &r->local_rules[TCPX_EXT_ACK];
	__u32 bit = rule->value[0] >> TCPX_ACK_MARK_BIT & 31, us = r->ack.applied_us;

	if (r->ack.rule && r->ack.bound)
		return TCPX_OUTCOME_GRANTED;
	if (r->ack.rule != rule->id)
		return outcome;
	if (r->ack.every == 1) {
		if (r->mark & 1U << bit)
			return TCPX_OUTCOME_APPLIED;
		if (r->ack.marked)
			return TCPX_OUTCOME_APPLICATION;
		return r->ack.waits ? TCPX_OUTCOME_NONE : TCPX_OUTCOME_ROUTES;
	}
	if (us && jiffy_us && r->delack_max != (us + jiffy_us - 1) / jiffy_us)
		return TCPX_OUTCOME_APPLICATION;
	if (us || r->ack.every || (!r->ack.divisor && !r->ack.delay_us))
		return TCPX_OUTCOME_APPLIED;
	return r->ack.divisor && !r->ack.delay_us && !r->srtt_us ? TCPX_OUTCOME_NONE
								 : TCPX_OUTCOME_KERNEL;
}

/* `r` has its settings and the rest of the record by now. */
static __always_inline void list_local(struct tcpx_listed *r, const struct tcpx_conn *conn,
				       __u32 jiffy_us, bool by_hand)
{
	__u64 ours = 0;

#pragma clang loop unroll(full)
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++)
		list_copy(&r->local_rules[ext], sizeof(r->local_rules[ext]),
			  &conn->policy.rules[ext][TCPX_KIND_LOCAL]);
	list_copy(&ours, sizeof(ours), &conn->before.cc_ours);
	r->local_rules[TCPX_EXT_UTO].outcome = list_uto(r, r->local_rules[TCPX_EXT_UTO].outcome);
	r->local_rules[TCPX_EXT_CC_REQUEST].outcome =
		list_cc(r, r->local_rules[TCPX_EXT_CC_REQUEST].outcome, ours);
	r->local_rules[TCPX_EXT_ACK].outcome =
		list_ack(r, r->local_rules[TCPX_EXT_ACK].outcome, jiffy_us);
#pragma clang loop unroll(full)
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++)
		if (!list_active(&r->local_rules[ext]))
			r->local_rules[ext].outcome = TCPX_OUTCOME_NONE;
}

#endif
