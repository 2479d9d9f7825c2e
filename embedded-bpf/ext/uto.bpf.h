/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* TCP User Timeout Option, RFC 5482. */
#ifndef TCPX_UTO_BPF_H
#define TCPX_UTO_BPF_H

#include "../conn.bpf.h"
#include "../options.bpf.h"
#include "../tcpx_slice.h"
#include "uto_value.bpf.h"

#define TCPX_OPTION_UTO 28
#define TCPX_UTO_LEN 4
#define TCPX_UTO_MINUTES 0x8000 /* the G bit */

static __always_inline void uto_take(struct tcpx_conn *conn, __u32 kind,
				     const struct tcpx_rule *rule)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;

	if (kind == TCPX_KIND_ASK) {
		uto->ask_ms = rule->value[0];
		uto->ask_bits = rule->value[1];
	} else if (kind == TCPX_KIND_LOCAL) {
		uto->local_ms = rule->value[0];
	} else {
		uto->least_ms = rule->value[0];
		uto->most_ms = rule->value[1];
	}
}

static __always_inline void uto_renew(struct tcpx_conn *conn)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;
	__u32 applied_ms = uto->applied_ms, before_ms = uto->before_ms;

	__builtin_memset(uto, 0, sizeof(*uto));
	uto->applied_ms = applied_ms;
	uto->before_ms = before_ms;
}

static __always_inline void uto_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, void *tp)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;
	__u32 ours = uto->applied_ms, before = uto->before_ms;
	int err;

	if (!ours)
		return;
	uto->applied_ms = 0;
	if (uto_present(tp) != ours) /* the application's */
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &before, sizeof(before));
	if (err)
		TCPX_ERROR(TCPX_EXT_UTO, err);
}

/* Until the peer has answered any request: then it has read our first segment, and the option on
 * it. */
static __always_inline bool uto_speaks(const struct tcpx_conn *conn)
{
	return rules_active(&conn->states.uto.rules, TCPX_KIND_ASK) &&
	       !(conn->heard && conn->written & 1 << TCPX_EXT_UTO);
}

/* ADV_UTO as the planner encoded it; zero is never sent (RFC 5482 3.2). */
static __always_inline void uto_option(__u16 bits, union tcpx_option *o)
{
	if (bits & ~TCPX_UTO_MINUTES)
		option_put(o, TCPX_OPTION_UTO, TCPX_UTO_LEN, bits, 0);
}

static __always_inline void uto_say(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				    union tcpx_option *o)
{
	uto_option(conn->states.uto.ask_bits, o);
}

static __always_inline void uto_said(struct tcpx_conn *conn)
{
	conn_news(conn, TCPX_EXT_UTO, TCPX_NEWS_OURS);
}

static __always_inline void uto_say_syn_ack(const struct tcpx_handover *h,
					    const struct tcpx_rule *rule, union tcpx_option *o)
{
	uto_option(rule->value[1], o);
}

static __always_inline bool uto_listens(const struct tcpx_conn *conn)
{
	return rules_active(&conn->states.uto.rules, TCPX_KIND_ACCEPT);
}

static __always_inline void uto_see(struct tcpx_conn *conn, __u32 role, const __u8 *option,
				    __u32 len)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;

	/* a wrong length is as bad as twice */
	uto->seen = len == TCPX_UTO_LEN && !uto->seen ? 1 : 2;
	uto->bits = option[2] << 8 | option[3];
}

/* Takes REMOTE_UTO, unless it is zero, of a wrong length, or there twice. */
static __always_inline void uto_judge(struct tcpx_conn *conn)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;
	__u16 bits = uto->bits;
	__u32 ms = (bits & ~TCPX_UTO_MINUTES) * (bits & TCPX_UTO_MINUTES ? 60000 : 1000);
	__u8 seen = uto->seen;

	uto->seen = 0;
	if (!seen || !uto_listens(conn))
		return;
	if (seen > 1 || !ms) {
		conn_malformed(conn, TCPX_EXT_UTO);
		return;
	}
	if (ms == uto->remote_ms)
		return;
	uto->remote_ms = ms;
	conn_news(conn, TCPX_EXT_UTO, TCPX_NEWS_PEERS);
	count(TCPX_EXT_UTO, TCPX_COUNTER_RECEIVED);
	if (ms < uto->least_ms || ms > uto->most_ms)
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_CLAMPED);
}

static __always_inline void uto_adopt(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_uto_conn *uto = &conn->states.uto;
	struct bpf_sock *sk = ctx->sk;
	int err = 0;
	void *tp;

	if (!sk || !uto_timeout(uto))
		return;
	/* bpf_getsockopt knows TCP_USER_TIMEOUT only since 6.1 */
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && uto_set(ctx, tp, uto, uto_forced(uto), &err) == TCPX_LIVE_CHANGED &&
	    uto->keepalive)
		uto->keepalive |= TCPX_KEEPALIVE_NEWS;
}

/* What a watcher is told: RFC 5482 has no answer. */
static __always_inline bool uto_tell_ours(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					  struct tcpx_watched_news *e)
{
	e->asked = conn->states.uto.ask_ms;
	return true;
}

/* Adopted within our limits, unless the application has chosen. */
static __always_inline bool uto_tell_peers(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					   struct tcpx_watched_news *e)
{
	const struct tcpx_uto_conn *uto = &conn->states.uto;

	e->asked = uto->remote_ms;
	e->granted = uto->applied_ms;
	if (uto->keepalive & TCPX_KEEPALIVE_LOWERED) {
		e->reason = TCPX_UTO_REASON_KEEPALIVE;
	} else if (e->granted != uto_timeout(uto)) {
		e->granted = 0;
		e->event = TCPX_WATCH_DENIED;
		e->reason = TCPX_REASON_APPLICATION;
	} else if (e->asked < uto->least_ms || e->asked > uto->most_ms) {
		e->reason = TCPX_REASON_CLAMPED;
	}
	return true;
}

static __always_inline bool uto_has_news(const struct tcpx_conn *conn)
{
	return conn->states.uto.keepalive & TCPX_KEEPALIVE_NEWS;
}

/* Keep-alive: which of the two is the one that ends the connection. */
static __always_inline void uto_tell(const struct tcpx_conn *conn, struct tcpx_watched_news *e)
{
	const struct tcpx_uto_conn *uto = &conn->states.uto;

	e->event = TCPX_UTO_EVENT_KEEPALIVE;
	e->asked = uto_timeout(uto);
	e->granted = uto->applied_ms;
	e->reason = uto->keepalive & TCPX_KEEPALIVE_SHORT ? TCPX_UTO_REASON_SHORT
							  : TCPX_UTO_REASON_KEEPALIVE;
}

static __always_inline void uto_told(struct tcpx_conn *conn)
{
	conn->states.uto.keepalive &= ~TCPX_KEEPALIVE_NEWS;
}

static const struct tcpx_extension uto_extension = {
	.kind = TCPX_OPTION_UTO,
	.syn_ack_len = TCPX_UTO_LEN,
	.syn_ack_kinds = 1 << TCPX_KIND_ASK,
	.unasked = true,
	.take = uto_take,
	.renew = uto_renew,
	.again = uto_again,
	.speaks = uto_speaks,
	.say = uto_say,
	.said = uto_said,
	.say_syn_ack = uto_say_syn_ack,
	.listens = uto_listens,
	.see = uto_see,
	.judge = uto_judge,
	.adopt = uto_adopt,
	.tell_ours = uto_tell_ours,
	.tell_peers = uto_tell_peers,
	.has_news = uto_has_news,
	.tell = uto_tell,
	.told = uto_told,
};

#endif
