/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The client asks the server for a congestion control; or we set our own. */
#ifndef TCPX_CC_REQUEST_BPF_H
#define TCPX_CC_REQUEST_BPF_H

#include "../algorithms.bpf.h"
#include "../request.bpf.h"

#define TCPX_TCP_CONGESTION 13

struct tcp_congestion_ops {
	char name[TCPX_CA_NAME_MAX];
} __attribute__((preserve_access_index));

struct inet_connection_sock___cc {
	const struct tcp_congestion_ops *icsk_ca_ops;
	__u8 icsk_ca_setsockopt : 1;
} __attribute__((preserve_access_index));

/* The congestion control in use, under the kernel's name for it. */
static __always_inline void cc_name(const struct inet_connection_sock___cc *icsk, char *name)
{
	const struct tcp_congestion_ops *ops = icsk->icsk_ca_ops;
	const __u64 *from = ops ? (const void *)&ops->name : NULL;
	__u64 *to = (__u64 *)name;

	to[0] = from ? from[0] : 0;
	to[1] = from ? from[1] : 0;
}

static __always_inline bool cc_same(const char *name, const char *other)
{
	const __u64 *words = (const __u64 *)name, *others = (const __u64 *)other;

	return words[0] == others[0] && words[1] == others[1];
}

static __always_inline __u64 cc_in_use(const struct inet_connection_sock___cc *icsk)
{
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));

	cc_name(icsk, name);
	return cc_sum(name);
}

/* The allow-list is the only gate: BPF ignores net.ipv4.tcp_allowed_congestion_control. */
static __always_inline bool cc_allowed(const struct tcpx_rule *accept, __u16 number)
{
	__u32 algorithm = cc_algorithm(number);

	return rule_active(accept) && algorithm < TCPX_ALGORITHMS &&
	       accept->value[0] & 1U << algorithm;
}

/* Has the application chosen (setsockopt on this socket or on its listener)? */
static __always_inline bool cc_is_applications(struct bpf_sock_ops *ctx,
					       const struct tcpx_conn *conn)
{
	struct bpf_sock *sk = ctx->sk;
	struct inet_connection_sock___cc *icsk;

	if (!sk)
		return false;
	icsk = (void *)bpf_skc_to_tcp_sock(sk);
	if (!icsk)
		return false;
	if (conn->cc_applied) /* which leaves the same mark; with Fast Open both may come after */
		return cc_in_use(icsk) != conn->before.cc_ours;
	return BPF_CORE_READ_BITFIELD(icsk, icsk_ca_setsockopt);
}

/* `kind`: of the rule that wants it. Returns whether it is set. Global: see receive_judge(). */
__noinline int cc_apply(struct bpf_sock_ops *ctx, __u32 kind, __u32 algorithm)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct inet_connection_sock___cc *icsk;
	char name[TCPX_CA_NAME_MAX] __attribute__((aligned(8)));
	struct bpf_sock *sk;
	bool same = false;
	int err = 0;

	if (!conn || kind >= TCPX_KIND_COUNT || algorithm >= TCPX_ALGORITHMS)
		return 0;
	if (!(conn->policy.rules[TCPX_EXT_CC_REQUEST][kind].flags & TCPX_RULE_FORCE) &&
	    cc_is_applications(ctx, conn)) {
		count_apart(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_KEPT);
		return 0;
	}
	sk = ctx->sk;
	icsk = sk ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;
	cc_named(algorithm, name);
	if (icsk && !conn->cc_applied) {
		cc_name(icsk, conn->before.cc);
		same = cc_same(conn->before.cc, name);
	}
	if (!same)
		err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name, sizeof(name));
	if (err) {
		TCPX_ERROR(TCPX_EXT_CC_REQUEST, err);
		return 0;
	}
	if (same)
		conn->before.cc_ours = cc_sum(name);
	else if (icsk)
		conn->before.cc_ours = cc_in_use(icsk);
	conn->cc_applied = 1;
	count(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_APPLIED);
	return 1;
}

/* What a SYN-ACK says to this ask, before anything could be tried. */
static __always_inline __u16 cc_promise(const struct tcpx_rule *accept, __u16 asked)
{
	return cc_allowed(accept, asked) ? asked : TCPX_CC_REFUSED;
}

static __always_inline void cc_start(struct tcpx_conn *conn)
{
	request_start(conn, TCPX_EXT_CC_REQUEST,
		      cc_number(conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_ASK].value[0]));
}

static __always_inline void cc_received(struct tcpx_conn *conn)
{
	struct tcpx_request_conn *r = request_of(conn, TCPX_EXT_CC_REQUEST);
	__u16 answer = r->answer_bits;

	/* an unknown number is refused, not malformed: a newer peer may know more */
	request_take_ask(conn, TCPX_EXT_CC_REQUEST, r->ask_bits != TCPX_CC_REFUSED);
	request_take_answer(conn, TCPX_EXT_CC_REQUEST, answer == r->asked,
			    answer == TCPX_CC_REFUSED);
}

/* Our own wish: as iw_local(), and after it, since some algorithms pace by the window that they
 * find when they begin. */
static __always_inline void cc_local(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	const struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_LOCAL];
	enum tcpx_outcome outcome = TCPX_OUTCOME_APPLIED;

	if (!local_untried(local) || !local_now(ctx))
		return;
	if (!cc_apply(ctx, TCPX_KIND_LOCAL, local->value[0]))
		outcome = !(local->flags & TCPX_RULE_FORCE) && cc_is_applications(ctx, conn)
				  ? TCPX_OUTCOME_APPLICATION
				  : TCPX_OUTCOME_KERNEL;
	conn_outcome(conn, TCPX_EXT_CC_REQUEST, outcome);
}

/* Does it send as the peer has asked? */
static __always_inline bool cc_granted(const struct tcpx_conn *conn)
{
	const struct tcpx_request_conn *r = &conn->requests[0];

	return r->state == TCPX_REQUEST_ANSWERED && r->answer != TCPX_CC_REFUSED;
}

/*
 * The handshake is complete: the peer's request goes before our own wish, which may be that of an
 * outer scope.
 */
static __always_inline void cc_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_request_conn *r = request_of(conn, TCPX_EXT_CC_REQUEST);
	const struct tcpx_rule *rules = conn->policy.rules[TCPX_EXT_CC_REQUEST];
	const struct tcpx_rule *accept = &rules[TCPX_KIND_ACCEPT];
	bool granted = false;

	if (r->state == TCPX_REQUEST_PENDING) {
		granted = cc_allowed(accept, r->asked) &&
			  cc_apply(ctx, TCPX_KIND_ACCEPT, cc_algorithm(r->asked));
		request_decide(conn, TCPX_EXT_CC_REQUEST, granted ? r->asked : TCPX_CC_REFUSED,
			       granted, cc_promise(accept, r->asked));
	}
	if (cc_granted(conn))
		conn_outcome(conn, TCPX_EXT_CC_REQUEST, TCPX_OUTCOME_GRANTED);
	else
		cc_local(ctx, conn);
}

#endif
