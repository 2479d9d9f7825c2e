/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Rules for extensions in slots: what a connection keeps of them, from the first on. */
#ifndef TCPX_SLOT_CLAIM_BPF_H
#define TCPX_SLOT_CLAIM_BPF_H

#include "state.bpf.h"

/*
 * As many words as the scope's rules have. Not inlined: it would be there for each slot and kind,
 * and what a program does not use takes verifiers long to leave out.
 */
static __noinline void slot_copy(__u32 *to, const struct tcpx_rule *rule)
{
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TCPX_VALUE_WORDS; i++) {
		if (i >= slots.words)
			break;
		to[i] = rule->value[i];
	}
}

/* A rule, and its value. True: it is the connection's now. */
static __always_inline bool slot_take(struct tcpx_slot_conn *s, __u32 kind,
				      const struct tcpx_rule *rule)
{
	if (!rule || !rules_take(&s->rules, kind, rule))
		return false;
	slot_copy(s->value[kind], rule);
	return true;
}

static __always_inline const struct tcpx_rule *
slot_rule_of(const struct tcpx_hits *hits, enum tcpx_direction direction, __u32 n, __u32 kind)
{
	return policy_has(SLOT_EXT(n), kind, direction) ? policy_rule(hits, SLOT_EXT(n), kind)
							: NULL;
}

/* Made at the first rule that matches, and emptied when the slot was another extension's. */
#define SLOT_CLAIM(n, hits, direction, conn, sk, claimed)                                          \
	if (SLOT_USED(n)) {                                                                        \
		const struct tcpx_rule *ask = slot_rule_of(hits, direction, n, TCPX_KIND_ASK);     \
		const struct tcpx_rule *local = slot_rule_of(hits, direction, n, TCPX_KIND_LOCAL); \
		const struct tcpx_rule *accept =                                                   \
			slot_rule_of(hits, direction, n, TCPX_KIND_ACCEPT);                        \
		struct tcpx_slot_conn *s = NULL;                                                   \
                                                                                                   \
		if (ask || local || accept)                                                        \
			s = bpf_sk_storage_get(&slot##n, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);   \
		if (s && s->owner != slots.at[n].owner) {                                          \
			if (s->owner) /* else it is new, and empty */                              \
				__builtin_memset(s, 0, sizeof(*s));                                \
			s->owner = slots.at[n].owner;                                              \
		}                                                                                  \
		if (s) {                                                                           \
			(claimed) |= slot_take(s, TCPX_KIND_ASK, ask);                             \
			(claimed) |= slot_take(s, TCPX_KIND_LOCAL, local);                         \
			(claimed) |= slot_take(s, TCPX_KIND_ACCEPT, accept);                       \
			slot_note(conn, n, s, slots.at[n].flags);                                  \
		}                                                                                  \
	}

/* The socket connects again: what is of the last attempt goes. */
__noinline int slot_renew(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);
	__u32 owner;

	if (!s)
		return 0;
	owner = s->owner;
	__builtin_memset(s, 0, sizeof(*s));
	s->owner = owner;
	return 0;
}

/* The same, and what it has set on the socket: before slot_renew(). */
__noinline int slot_undo(struct bpf_sock_ops *ctx, __u32 n)
{
	if (slot_state(ctx, n))
		slot_hook_again(ctx, n, 0);
	return 0;
}

/* A connection that we open, before its SYN; or that was accepted. */
__noinline int slot_begin(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn)
		return 0;
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB && slot_flag(n, TCPX_SLOT_ASKS))
		exchange_start(&s->rules, &s->ours, s->value[TCPX_KIND_ASK][0]);
	if (slot_flag(n, TCPX_SLOT_SAYS) && rules_active(&s->rules, TCPX_KIND_ASK))
		s->says = 1;
	slot_hook_start(ctx, n, 0);
	slot_note(conn, n, s, slot_of(n)->flags);
	return 0;
}

/* A hook that needs nothing of us but that a rule of it is the connection's. `hook`: enum
 * tcpx_hook. */
__noinline int slot_called(struct bpf_sock_ops *ctx, __u32 hook, __u32 n)
{
	if (hook == TCPX_HOOK_LISTEN) /* a listener has no connection */
		return slot_hook_listen(ctx, n, 0);
	if (!slot_state(ctx, n))
		return -1;
	if (hook == TCPX_HOOK_RTT)
		return slot_hook_rtt(ctx, n, 0);
	if (hook == TCPX_HOOK_RTO)
		return slot_hook_rto(ctx, n, 0);
	if (hook == TCPX_HOOK_STATE)
		return slot_hook_state(ctx, n, 0);
	return hook == TCPX_HOOK_REPLY ? slot_hook_reply(ctx, n, 0) : -1;
}

#endif
