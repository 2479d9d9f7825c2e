/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The address that a connection comes from. It was given before the SYN: bind_address_sock.bpf.c */
#ifndef TCPX_BIND_ADDRESS_BPF_H
#define TCPX_BIND_ADDRESS_BPF_H

#include "../conn.bpf.h"
#include "../tcpx_slice.h"

static __always_inline void bind_address_take(struct tcpx_conn *conn, __u32 kind,
					      const struct tcpx_rule *rule)
{
	conn->states.bind_address.local = rule->value[0];
}

/* With the SYN. What has come of the rule, and what was given, is of this very attempt. */
static __always_inline void bind_address_renew(struct tcpx_conn *conn)
{
	struct tcpx_bind_address_conn *state = &conn->states.bind_address;
	__u8 outcome = state->rules.outcome;

	__builtin_memset(&state->rules, 0, sizeof(state->rules));
	state->rules.outcome = outcome;
	state->local = 0;
	state->by = 0;
}

static __always_inline void bind_address_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	const struct tcpx_rules *rules = &conn->states.bind_address.rules;

	if (conn->scope != config.scope || !rules_active(rules, TCPX_KIND_LOCAL))
		return;
	if (rules->outcome == TCPX_OUTCOME_APPLIED)
		count(TCPX_EXT_BIND_ADDRESS, TCPX_COUNTER_APPLIED);
	else if (rules->outcome == TCPX_OUTCOME_APPLICATION)
		count(TCPX_EXT_BIND_ADDRESS, TCPX_COUNTER_KEPT);
	else if (rules->outcome == TCPX_OUTCOME_KERNEL)
		count(TCPX_EXT_BIND_ADDRESS, TCPX_COUNTER_ERRORS);
}

static const struct tcpx_extension bind_address_extension = {
	.take = bind_address_take,
	.renew = bind_address_renew,
	.start = bind_address_start,
};

#endif
