/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* TCP User Timeout Option, RFC 5482. */
#ifndef TCPX_UTO_BPF_H
#define TCPX_UTO_BPF_H

#include "../options.bpf.h"
#include "../conn.bpf.h"
#include "../keepalive.bpf.h"

#define TCPX_UTO_LEN 4
#define TCPX_UTO_MINUTES 0x8000 /* the G bit */
#define TCPX_TCP_USER_TIMEOUT 18

struct inet_connection_sock {
	__u32 icsk_user_timeout; /* milliseconds */
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
} __attribute__((preserve_access_index));

/* ADV_UTO as the planner encoded it; zero is never sent (RFC 5482 3.2). */
static __always_inline void uto_option(const struct tcpx_rule *ask, union tcpx_option *o)
{
	__u16 bits = ask->value[1];

	if (!(bits & ~TCPX_UTO_MINUTES))
		return;
	option_put(o, TCPX_OPTION_UTO, TCPX_UTO_LEN, bits, 0);
}

/* The rule that has the say: accept's once the peer has spoken, else the local one. */
static __always_inline const struct tcpx_rule *uto_rule(const struct tcpx_conn *conn)
{
	const struct tcpx_rule *rules = conn->policy.rules[TCPX_EXT_UTO];

	if (conn->uto.remote_ms && rule_active(&rules[TCPX_KIND_ACCEPT]))
		return &rules[TCPX_KIND_ACCEPT];
	return &rules[TCPX_KIND_LOCAL];
}

/* USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)), RFC 5482 3.1; 0: leave alone. */
static __always_inline __u32 uto_timeout(const struct tcpx_conn *conn)
{
	const struct tcpx_rule *rules = conn->policy.rules[TCPX_EXT_UTO];
	const struct tcpx_rule *accept = &rules[TCPX_KIND_ACCEPT];
	__u32 timeout = 0;

	if (rule_active(&rules[TCPX_KIND_LOCAL]))
		timeout = rules[TCPX_KIND_LOCAL].value[0];
	if (uto_rule(conn) != accept)
		return timeout;
	if (!timeout && rule_active(&rules[TCPX_KIND_ASK]))
		timeout = rules[TCPX_KIND_ASK].value[0];
	if (timeout < conn->uto.remote_ms)
		timeout = conn->uto.remote_ms;
	if (timeout < accept->value[0])
		timeout = accept->value[0];
	if (timeout > accept->value[1])
		timeout = accept->value[1];
	return timeout;
}

/*
 * A user timeout replaces the number of keep-alive's probes. So it never exceeds the time in which
 * they find a dead peer without it, and where it ends the connection though another probe would
 * have come, that is told. Returns bits of enum tcpx_keepalive.
 */
static __always_inline __u8 uto_keepalive(struct tcp_sock *tp, __u32 *timeout)
{
	struct keepalive k = {};
	__u64 second, last;
	__u8 result = 0;

	if (!*timeout || !keepalive_read(tp, &k))
		return 0;
	second = ((__u64)k.idle + k.interval) * config.jiffy_us / 1000;
	last = (k.idle + (__u64)k.interval * k.probes) * config.jiffy_us / 1000;
	if (last && last < *timeout) {
		*timeout = last;
		result = TCPX_KEEPALIVE_LOWERED;
	}
	if (*timeout <= second && k.probes > 1)
		result |= TCPX_KEEPALIVE_SHORT;
	return result;
}

/* Of a timeout that was set just now. */
static __always_inline void uto_keepalive_count(__u8 keepalive)
{
	if (keepalive & TCPX_KEEPALIVE_LOWERED)
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_KEEPALIVE_LOWERED);
	if (keepalive & TCPX_KEEPALIVE_SHORT)
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_KEEPALIVE_SHORT);
}

/*
 * Sets TCP_USER_TIMEOUT. A value on the socket that is not the one we set is the
 * application's: CHANGEABLE is false then (RFC 5482 3.1).
 */
static __always_inline void uto_apply(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	__u8 force = uto_rule(conn)->flags & TCPX_RULE_FORCE;
	__u32 timeout = uto_timeout(conn), present;
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp;
	__u8 keepalive;
	int err;

	if (!timeout || !sk)
		return;
	/* bpf_getsockopt knows TCP_USER_TIMEOUT only since 6.1 */
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	present = tp->inet_conn.icsk_user_timeout;
	conn_outcome(conn, TCPX_EXT_UTO, TCPX_OUTCOME_APPLIED);
	keepalive = uto_keepalive(tp, &timeout);
	if (present == timeout) {
		if (present == conn->uto.applied_ms)
			conn->keepalive = keepalive;
		return;
	}
	if (!force && present != conn->uto.applied_ms) {
		conn->keepalive = 0;
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_KEPT);
		conn_outcome(conn, TCPX_EXT_UTO, TCPX_OUTCOME_APPLICATION);
		return;
	}
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	if (err) {
		TCPX_ERROR(TCPX_EXT_UTO, err);
		conn_outcome(conn, TCPX_EXT_UTO, TCPX_OUTCOME_KERNEL);
		return;
	}
	if (!conn->uto.applied_ms)
		conn->before.uto_ms = present;
	conn->uto.applied_ms = timeout;
	conn->keepalive = keepalive ? keepalive | TCPX_KEEPALIVE_NEWS : 0;
	count(TCPX_EXT_UTO, TCPX_COUNTER_APPLIED);
	uto_keepalive_count(keepalive);
}

/* Is the peer's option of any interest? */
static __always_inline bool uto_accepts(const struct tcpx_conn *conn)
{
	return rule_active(&conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ACCEPT]);
}

/*
 * After the walk: takes REMOTE_UTO, unless it is zero, of a wrong length, or there twice. Two more
 * bytes behind the option are readable.
 */
static __always_inline void uto_receive(struct tcpx_conn *conn, const __u8 *option)
{
	const struct tcpx_rule *accept = &conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ACCEPT];
	__u16 bits = option[2] << 8 | option[3];
	__u32 ms = (bits & ~TCPX_UTO_MINUTES) * (bits & TCPX_UTO_MINUTES ? 60000 : 1000);

	if (!uto_accepts(conn))
		return;
	if (conn->header.utos > 1 || option[1] != TCPX_UTO_LEN || !ms) {
		conn_malformed(conn, TCPX_EXT_UTO);
		return;
	}
	if (ms == conn->uto.remote_ms)
		return;
	conn->uto.remote_ms = ms;
	conn_news(conn, TCPX_EXT_UTO, TCPX_NEWS_PEERS);
	count(TCPX_EXT_UTO, TCPX_COUNTER_RECEIVED);
	if (ms < accept->value[0] || ms > accept->value[1])
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_CLAMPED);
}

#endif
