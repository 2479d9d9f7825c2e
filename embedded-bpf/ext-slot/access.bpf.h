/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What hooks of extensions in slots may call. Contexts and numbers only: verifiers before 5.12 take
 * nothing else of a global function. The names have a version, and what has one is never changed: a
 * new meaning is a new name.
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

/* One byte of an option's body, 0 behind its end. */
static __always_inline __u32 slot_byte(const __u8 *bytes, __u32 at, __u32 end)
{
	if (at >= end)
		return 0;
	barrier_var(at);
	return at < sizeof(((struct tcpx_header *)0)->bytes) ? bytes[at] : 0;
}

/* What stands in the option that is being seen, `size` bytes from `at` of its body on, in network
 * order. */
__noinline int tcpx1_get(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 size)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_handover *h;
	const __u8 *bytes;
	__u32 begin, end, value = 0;

	if (slot >= TCPX_SLOT_COUNT || at >= TCPX_HEADER_MAX || size < 1 || size > 4)
		return 0;
	if (s && conn) {
		bytes = conn->header.bytes;
		begin = s->seen_at;
		end = begin + s->seen_len;
	} else {
		h = ctx->is_fullsock ? NULL : handover_slot();
		if (!h || h->asks[TCPX_SLOT_FIRST + slot_index(slot)] != 1)
			return 0;
		bytes = h->syn.bytes;
		begin = h->notes[TCPX_SLOT_FIRST + slot_index(slot)];
		end = begin + *header_option(&h->syn, begin + 1);
	}
	at += (begin & 63) + slot_head(slot);
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 4; i++)
		if (i < size)
			value = value << 8 | slot_byte(bytes, at + i, end);
	return value;
}

/* Puts `size` bytes of the value at `at` of the body of the option that is being said. -1: they do
 * not fit. */
__noinline int tcpx1_put(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 size, __u32 value)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct slot_rule *kept = NULL;
	struct tcpx_handover *h;
	__u8 *out, len;

	if (slot >= TCPX_SLOT_COUNT || at >= TCPX_HEADER_MAX || size < 1 || size > 4)
		return -1;
	at += slot_head(slot);
	if (at + size > slot_of(slot)->most || at + size > sizeof(union tcpx_option))
		return -1;
	if (s) {
		out = (__u8 *)s->out;
		len = s->out_len;
	} else {
		h = ctx->is_fullsock ? NULL : handover_slot();
		kept = slot_rule();
		if (!h || !kept || kept->slot != slot)
			return -1;
		out = (__u8 *)h->options[TCPX_SLOT_FIRST + slot_index(slot)];
		len = kept->len;
	}
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 4; i++) {
		__u32 to = at + i;

		barrier_var(to);
		if (i < size && to < sizeof(union tcpx_option))
			out[to] = value >> 8 * (size - 1 - i);
	}
	if (len < at + size)
		len = at + size;
	if (s)
		s->out_len = len;
	else if (kept)
		kept->len = len;
	return 0;
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

/* enum tcpx_counter: what `tcpx status` counts. */
__noinline int tcpx1_count(struct bpf_sock_ops *ctx, __u32 slot, __u32 counter)
{
	if (slot < TCPX_SLOT_COUNT && counter != TCPX_COUNTER_ERRORS)
		count_apart(SLOT_EXT(slot), counter);
	return 0;
}

/* The kernel has refused a call: `code`, as it says that. */
__noinline int tcpx1_error(struct bpf_sock_ops *ctx, __u32 slot, __u32 line, __u32 code)
{
	if (slot < TCPX_SLOT_COUNT)
		count_error(SLOT_EXT(slot), line, code);
	return 0;
}

/* enum tcpx_news, for a watcher. */
__noinline int tcpx1_news(struct bpf_sock_ops *ctx, __u32 slot, __u32 news)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (conn && slot < TCPX_SLOT_COUNT)
		conn_news(conn, SLOT_EXT(slot), news & 15);
	return 0;
}

/* enum tcpx_outcome: what has come of the local rule. */
__noinline int tcpx1_outcome(struct bpf_sock_ops *ctx, __u32 slot, __u32 outcome)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	if (s)
		rules_outcome(&s->rules, outcome);
	return 0;
}

/* What has come of it before: scopes in one another all come to established(). */
__noinline int tcpx1_has_outcome(struct bpf_sock_ops *ctx, __u32 slot)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	return s ? s->rules.outcome : 0;
}

/* enum tcpx_request_state << 16 | the 16 bits: of our request, its answer, the peer's, and ours to
 * that. */
__noinline int tcpx1_exchange(struct bpf_sock_ops *ctx, __u32 slot, __u32 which)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	if (!s)
		return 0;
	switch (which) {
	case 0:
		return s->ours.state << 16 | s->ours.asked;
	case 1:
		return s->ours.state << 16 | s->ours.answer;
	case 2:
		return s->peers.state << 16 | s->peers.asked;
	default:
		return s->peers.state << 16 | s->peers.answer;
	}
}

/* 1: this side has opened the connection. */
__noinline int tcpx1_opened(struct bpf_sock_ops *ctx, __u32 slot)
{
	struct tcpx_conn *conn = conn_of(ctx);

	return conn && conn->attempt_ns != 0;
}

/* enum tcpx_header_flag of the header that is being seen. */
__noinline int tcpx1_header(struct bpf_sock_ops *ctx, __u32 slot)
{
	struct tcpx_conn *conn = conn_of(ctx);

	return conn ? conn->header.flags : 0;
}

/* Has it an option of its own to say, from now on? Each segment runs the program twice, until our
 * first byte is acknowledged. */
__noinline int tcpx1_speak(struct bpf_sock_ops *ctx, __u32 slot, __u32 on)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn)
		return -1;
	s->says = on != 0;
	slot_note(conn, slot & 7, s);
	return 0;
}

/* Is it to see the peer's on later segments, too? See tcpx_ext.h, listens. */
__noinline int tcpx1_listen(struct bpf_sock_ops *ctx, __u32 slot, __u32 on)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn)
		return -1;
	s->listens = on != 0;
	slot_note(conn, slot & 7, s);
	return 0;
}

#define SLOT_WANTABLE (BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG | TCPX_STATE)

#define SLOT_WANTED(n, ctx, wanted)                                                                \
	if (SLOT_USED(n)) {                                                                        \
		struct tcpx_slot_conn *s = slot_state(ctx, n);                                     \
                                                                                                   \
		if (s)                                                                             \
			(wanted) |= s->wants;                                                      \
	}

/* All that slots want of this socket; sets it again where the core has cleared what is its own,
 * too. */
__noinline int slot_rewant(struct bpf_sock_ops *ctx)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 wanted = 0;

	if (!conn)
		return 0;
	TCPX_EACH_SLOT(SLOT_WANTED, ctx, wanted)
	wanted &= SLOT_WANTABLE;
	if (wanted & ~ctx->bpf_sock_ops_cb_flags)
		callback_flags(ctx, conn, wanted, 0);
	return wanted;
}

/* Callbacks of this socket that it wants from now on: RTT, RTO, STATE, the kernel's flags. */
__noinline int tcpx1_want(struct bpf_sock_ops *ctx, __u32 slot, __u32 flags)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	if (!s || flags & ~SLOT_WANTABLE)
		return -1;
	s->wants |= flags;
	slot_rewant(ctx);
	return 0;
}

/* And those that it has had enough of. What other slots want stays; STATE belongs to the core until
 * the handshake is complete, and costs a run or two when the connection ends. */
__noinline int tcpx1_done(struct bpf_sock_ops *ctx, __u32 slot, __u32 flags)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 wanted;

	if (!s || !conn)
		return -1;
	s->wants &= ~flags;
	wanted = slot_rewant(ctx);
	if (!conn->since_ns || conn->fast_open)
		flags &= ~TCPX_STATE;
	callback_flags(ctx, conn, 0, flags & ~wanted & SLOT_WANTABLE);
	return 0;
}

#endif
