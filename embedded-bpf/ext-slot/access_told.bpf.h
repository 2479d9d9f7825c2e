/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What hooks of extensions in slots may call: what is counted and told. See access.bpf.h. */
#ifndef TCPX_SLOT_ACCESS_TOLD_BPF_H
#define TCPX_SLOT_ACCESS_TOLD_BPF_H

#include "state.bpf.h"

/* enum tcpx_counter: what `tcpx status` counts. */
__noinline int tcpx1_count(struct bpf_sock_ops *ctx, __u32 slot, __u32 counter)
{
	if (slot < TCPX_SLOT_COUNT && counter < TCPX_COUNTER_ERRORS)
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

#endif
