/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What hooks of extensions in slots may call: rules, and words of their own. Contexts and numbers
 * only: verifiers before 5.12 take nothing else of a global function. The names have a version, and
 * what has one is never changed: a new meaning is a new name.
 */
#ifndef TCPX_SLOT_ACCESS_BPF_H
#define TCPX_SLOT_ACCESS_BPF_H

#include "syn_ack.bpf.h"

/* Flags of the rule that the connection has: enum tcpx_rule_flag; 0: none. */
__noinline int tcpx1_rule(struct bpf_sock_ops *ctx, __u32 slot, __u32 kind)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct slot_rule *kept;

	__u64 at = kind;

	if (kind >= TCPX_KIND_COUNT)
		return 0;
	barrier_var(at);
	if (s)
		return at < TCPX_KIND_COUNT ? s->rules.flags[at] : 0;
	kept = ctx->is_fullsock ? NULL : slot_rule();
	return kept && kept->slot == slot && kept->kind == kind ? kept->flags : 0;
}

/* A word of its value; 0 where there is none. */
__noinline int tcpx1_value(struct bpf_sock_ops *ctx, __u32 slot, __u32 kind, __u32 word)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	__u64 at = kind * TCPX_VALUE_WORDS + word;
	struct slot_rule *kept;

	if (kind >= TCPX_KIND_COUNT || word >= TCPX_VALUE_WORDS)
		return 0;
	barrier_var(at);
	if (s)
		return at < sizeof(s->value) / 4 ? s->value[0][at] : 0;
	kept = ctx->is_fullsock ? NULL : slot_rule();
	return kept && kept->slot == slot && kept->kind == kind
		       ? kept->value[at & (TCPX_VALUE_WORDS - 1)]
		       : 0;
}

static __always_inline __u64 slot_word(__u32 at)
{
	__u64 index = at;

	barrier_var(index); /* see slot_index() */
	return index & (TCPX_SLOT_WORDS - 1);
}

/* Words of the extension's own, which the connection keeps. */
__noinline int tcpx1_word(struct bpf_sock_ops *ctx, __u32 slot, __u32 at)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	return s && at < TCPX_SLOT_WORDS ? s->words[slot_word(at)] : 0;
}

__noinline int tcpx1_set_word(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 value)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	if (!s || at >= TCPX_SLOT_WORDS)
		return -1;
	s->words[slot_word(at)] = value;
	return 0;
}

#endif
