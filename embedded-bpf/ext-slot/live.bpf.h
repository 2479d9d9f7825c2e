/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Connections that exist, and one extension that tcpx does not ship: it is linked to this object
 * in slot 0, whatever its slot is (slot.number). An iterator has no context: its hooks get the
 * socket in the context's place, and so functions that take it are verified where they are called
 * (`__hidden`): verifiers before 6.8 know no other way to hand on a socket.
 */
#ifndef TCPX_SLOT_LIVE_BPF_H
#define TCPX_SLOT_LIVE_BPF_H

#include "../live_ask.bpf.h"
#include "maps.bpf.h"
#include "note.bpf.h"

const volatile struct tcpx_live_slot slot = {};

SLOT_MAP(0)

#define SLOT_LIVE_EXT (TCPX_SLOT_FIRST + slot.number)

/* What the kernel has said last to a hook: see tcpx1_error(). */
static int slot_live_error;

#define SLOT_LIVE_HOOK(ID, name)                                                                   \
	__weak __hidden __noinline int tcpx1_slot0_##name(struct bpf_sock_ops *sk, __u32 slot,     \
							  __u32 arg)                               \
	{                                                                                          \
		asm volatile("");                                                                  \
		return 0;                                                                          \
	}
TCPX_LIVE_HOOKS(SLOT_LIVE_HOOK)

#include "live_access.bpf.h"

/* What it has of the connection; another extension's is nothing. `flags`: of
 * bpf_sk_storage_get(). */
static __always_inline struct tcpx_slot_conn *slot_live_conn(struct tcp_sock *tp, __u64 flags)
{
	struct tcpx_slot_conn *s = bpf_sk_storage_get(&slot0, tp, NULL, flags);

	if (!s || s->owner == slot.owner)
		return s;
	if (!flags)
		return NULL;
	__builtin_memset(s, 0, sizeof(*s));
	s->owner = slot.owner;
	return s;
}

static __always_inline void slot_live_rules(struct tcp_sock *tp, struct tcpx_live_socket *out)
{
	struct tcpx_slot_conn *s = slot_live_conn(tp, 0);
	__u32 ext = SLOT_LIVE_EXT;

	if (!s || ext >= TCPX_EXTENSIONS)
		return;
	out->local_rules[ext] = s->rules.ids[TCPX_KIND_LOCAL];
	out->ask_rules[ext] =
		rules_active(&s->rules, TCPX_KIND_ASK) ? s->rules.ids[TCPX_KIND_ASK] : 0;
}

static __always_inline bool slot_live_differs(const struct tcpx_slot_conn *s, enum tcpx_kind kind,
					      const __u32 *value)
{
	__u32 differs = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < TCPX_VALUE_WORDS; i++)
		differs |= s->value[kind][i] ^ value[i];
	return differs;
}

/* Returns enum tcpx_live_result. */
static __always_inline int slot_live_set(struct tcp_sock *tp, struct tcpx_slot_conn *s,
					 const struct tcpx_rule *rule)
{
	bool same = s->rules.outcome == TCPX_OUTCOME_APPLIED &&
		    s->rules.flags[TCPX_KIND_LOCAL] == rule->flags &&
		    !slot_live_differs(s, TCPX_KIND_LOCAL, rule->value);

	live_take(&s->rules, TCPX_KIND_LOCAL, rule);
	if (same)
		return TCPX_LIVE_SAME;
	__builtin_memcpy(s->value[TCPX_KIND_LOCAL], rule->value, sizeof(rule->value));
	s->rules.outcome = TCPX_OUTCOME_NONE;
	tcpx1_slot0_live_set((void *)tp, slot.number, 0);
	switch (s->rules.outcome) {
	case TCPX_OUTCOME_APPLIED:
		return TCPX_LIVE_CHANGED;
	case TCPX_OUTCOME_APPLICATION:
		return TCPX_LIVE_KEPT;
	case TCPX_OUTCOME_GRANTED:
		return TCPX_LIVE_PEERS;
	default:
		return TCPX_LIVE_FAILED;
	}
}

/* The same. */
static __always_inline int slot_live_undo(struct tcp_sock *tp, struct tcpx_slot_conn *s)
{
	bool done = s->rules.outcome == TCPX_OUTCOME_APPLIED;
	int kept;

	live_drop(&s->rules, TCPX_KIND_LOCAL);
	if (!done)
		return TCPX_LIVE_SAME;
	kept = tcpx1_slot0_live_undo((void *)tp, slot.number, 0);
	if (slot_live_error)
		return TCPX_LIVE_FAILED;
	return kept ? TCPX_LIVE_KEPT : TCPX_LIVE_CHANGED;
}

/* Is that what it has said, or is about to? */
static __always_inline bool slot_live_asks(const struct tcpx_conn *conn,
					   const struct tcpx_slot_conn *s,
					   const struct tcpx_rule *rule)
{
	if (!rules_active(&s->rules, TCPX_KIND_ASK) ||
	    slot_live_differs(s, TCPX_KIND_ASK, rule->value))
		return false;
	return slot.flags & TCPX_SLOT_ASKS ? s->ours.state != TCPX_REQUEST_NONE
					   : conn->written & 1 << SLOT_LIVE_EXT || !conn->silent;
}

/* Asks, or says its own option, as on a connection that we open. The same. */
static __always_inline int slot_live_ask(struct tcp_sock *tp, struct tcpx_conn *conn,
					 struct tcpx_slot_conn *s, const struct tcpx_rule *rule,
					 struct tcpx_live_target *target)
{
	bool asks = slot.flags & TCPX_SLOT_ASKS;
	struct tcpx_rules rules = s->rules;
	struct tcpx_exchange ours = s->ours;
	__u8 says = s->says;

	if (conn->silent >= TCPX_SILENCED)
		return TCPX_LIVE_SILENCED;
	if (signed_options(tp))
		return TCPX_LIVE_SIGNED;
	if (slot_live_asks(conn, s, rule))
		return TCPX_LIVE_SAME;
	live_take(&s->rules, TCPX_KIND_ASK, rule);
	if (asks) {
		s->ours.asked = rule->value[0];
		s->ours.answer = 0;
		s->ours.state = TCPX_REQUEST_ASKED;
	} else {
		s->says = 1;
	}
	target->said = live_speak(tp, conn, SLOT_LIVE_EXT, asks, target);
	if (target->said == TCPX_LIVE_SAID) {
		__builtin_memcpy(s->value[TCPX_KIND_ASK], rule->value, sizeof(rule->value));
	} else {
		s->ours = ours;
		s->says = says;
		live_take_back(&s->rules, TCPX_KIND_ASK, &rules);
	}
	slot_note(conn, slot.number, s, slot.flags);
	return target->said == TCPX_LIVE_SAID ? TCPX_LIVE_CHANGED : TCPX_LIVE_FAILED;
}

static __always_inline void slot_live_do(struct tcp_sock *tp, struct tcpx_conn *conn,
					 const struct tcpx_live_order *order,
					 struct tcpx_live_target *target)
{
	bool undo = order->verb == TCPX_LIVE_UNDO;
	struct tcpx_slot_conn *s;

	s = slot_live_conn(tp, undo ? 0 : BPF_SK_STORAGE_GET_F_CREATE);
	slot_live_error = 0;
	if (!s)
		target->result = undo ? TCPX_LIVE_SAME : TCPX_LIVE_FAILED;
	else if (undo)
		target->result = slot_live_undo(tp, s);
	else if (order->verb == TCPX_LIVE_ASK)
		target->result = slot_live_ask(tp, conn, s, &order->ask, target);
	else
		target->result = slot_live_set(tp, s, &order->local);
	if (slot_live_error)
		target->error = slot_live_error;
}

/* See restore_one(). */
static __always_inline void slot_live_restore(struct tcp_sock *tp, struct tcpx_live_tally *t)
{
	struct tcpx_slot_conn *s = slot_live_conn(tp, 0);
	__u32 ext = SLOT_LIVE_EXT;
	int result;

	if (!s || ext >= TCPX_EXTENSIONS)
		return;
	slot_live_error = 0;
	result = slot_live_undo(tp, s);
	__builtin_memset(&s->rules, 0, sizeof(s->rules));
	t->restored[ext] += result == TCPX_LIVE_CHANGED;
	t->kept[ext] += result == TCPX_LIVE_KEPT;
	t->failed[ext] += result == TCPX_LIVE_FAILED;
}

#endif
