/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The rate that a connection sends with at most: SO_MAX_PACING_RATE. */
#ifndef TCPX_THROTTLE_BPF_H
#define TCPX_THROTTLE_BPF_H

#include "../conn.bpf.h"
#include "../tcpx_slice.h"
#include "throttle_list.bpf.h"

#define TCPX_SOL_SOCKET 1
#define TCPX_SO_MAX_PACING_RATE 47

static __always_inline void throttle_take(struct tcpx_conn *conn, __u32 kind,
					  const struct tcpx_rule *rule)
{
	conn->states.throttle.local = rule->value[0];
}

/*
 * Sets the rate, unless the application has chosen one. `handle`: a context or a socket, what
 * bpf_setsockopt() takes. Returns enum tcpx_live_result.
 */
static __always_inline int throttle_set(void *handle, void *tp, struct tcpx_throttle_conn *throttle,
					int *err)
{
	__u32 rate = throttle->local, present = throttle_present(tp);

	rules_outcome(&throttle->rules, TCPX_OUTCOME_APPLIED);
	if (present == rate)
		return TCPX_LIVE_SAME;
	if (present != TCPX_THROTTLE_UNLIMITED && present != throttle->applied) {
		count_apart(TCPX_EXT_THROTTLE, TCPX_COUNTER_KEPT);
		rules_outcome(&throttle->rules, TCPX_OUTCOME_APPLICATION);
		return TCPX_LIVE_KEPT;
	}
	*err = bpf_setsockopt(handle, TCPX_SOL_SOCKET, TCPX_SO_MAX_PACING_RATE, &rate,
			      sizeof(rate));
	if (*err) {
		TCPX_ERROR(TCPX_EXT_THROTTLE, *err);
		rules_outcome(&throttle->rules, TCPX_OUTCOME_KERNEL);
		return TCPX_LIVE_FAILED;
	}
	throttle->applied = rate;
	count(TCPX_EXT_THROTTLE, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

/* The socket had no limit before ours. Returns enum tcpx_live_result. */
static __always_inline int throttle_unset(void *handle, void *tp,
					  struct tcpx_throttle_conn *throttle, int *err)
{
	__u32 rate = TCPX_THROTTLE_UNLIMITED, ours = throttle->applied;

	throttle->applied = 0;
	if (!ours)
		return TCPX_LIVE_SAME;
	if (throttle_present(tp) != ours) /* the application's, by now */
		return TCPX_LIVE_KEPT;
	*err = bpf_setsockopt(handle, TCPX_SOL_SOCKET, TCPX_SO_MAX_PACING_RATE, &rate,
			      sizeof(rate));
	return *err ? TCPX_LIVE_FAILED : TCPX_LIVE_CHANGED;
}

/* The next connection of the socket need not have the rule. */
static __always_inline void throttle_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					   void *tp)
{
	int err = 0;

	throttle_unset(ctx, tp, &conn->states.throttle, &err);
	if (err)
		TCPX_ERROR(TCPX_EXT_THROTTLE, err);
}

/* Scopes in one another all come here: what one has tried the next does not try again. */
static __always_inline void throttle_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
						 bool local)
{
	struct tcpx_throttle_conn *throttle = &conn->states.throttle;
	struct bpf_sock *sk = ctx->sk;
	int err = 0;
	void *tp;

	if (!sk || !rules_untried(&throttle->rules) || !local_now(ctx))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp)
		throttle_set(ctx, tp, throttle, &err);
}

static const struct tcpx_extension throttle_extension = {
	.take = throttle_take,
	.again = throttle_again,
	.established = throttle_established,
};

#endif
