/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The rate that a connection sends with at most: SO_MAX_PACING_RATE. */
#ifndef TCPX_PACING_BPF_H
#define TCPX_PACING_BPF_H

#include "../conn.bpf.h"
#include "../tcpx_slice.h"
#include "pacing_list.bpf.h"

#define TCPX_SOL_SOCKET 1
#define TCPX_SO_MAX_PACING_RATE 47

static __always_inline void pacing_take(struct tcpx_conn *conn, __u32 kind,
					const struct tcpx_rule *rule)
{
	conn->states.pacing.local = rule->value[0];
}

/*
 * Sets the rate, unless the application has chosen one. `handle`: a context or a socket, what
 * bpf_setsockopt() takes. Returns enum tcpx_live_result.
 */
static __always_inline int pacing_set(void *handle, void *tp, struct tcpx_pacing_conn *pacing,
				      int *err)
{
	__u32 rate = pacing->local, present = pacing_present(tp);

	rules_outcome(&pacing->rules, TCPX_OUTCOME_APPLIED);
	if (present == rate)
		return TCPX_LIVE_SAME;
	if (present != TCPX_PACING_UNLIMITED && present != pacing->applied) {
		count_apart(TCPX_EXT_PACING, TCPX_COUNTER_KEPT);
		rules_outcome(&pacing->rules, TCPX_OUTCOME_APPLICATION);
		return TCPX_LIVE_KEPT;
	}
	*err = bpf_setsockopt(handle, TCPX_SOL_SOCKET, TCPX_SO_MAX_PACING_RATE, &rate,
			      sizeof(rate));
	if (*err) {
		TCPX_ERROR(TCPX_EXT_PACING, *err);
		rules_outcome(&pacing->rules, TCPX_OUTCOME_KERNEL);
		return TCPX_LIVE_FAILED;
	}
	pacing->applied = rate;
	count(TCPX_EXT_PACING, TCPX_COUNTER_APPLIED);
	return TCPX_LIVE_CHANGED;
}

/* The socket had no limit before ours. Returns enum tcpx_live_result. */
static __always_inline int pacing_unset(void *handle, void *tp, struct tcpx_pacing_conn *pacing,
					int *err)
{
	__u32 rate = TCPX_PACING_UNLIMITED, ours = pacing->applied;

	pacing->applied = 0;
	if (!ours)
		return TCPX_LIVE_SAME;
	if (pacing_present(tp) != ours) /* the application's, by now */
		return TCPX_LIVE_KEPT;
	*err = bpf_setsockopt(handle, TCPX_SOL_SOCKET, TCPX_SO_MAX_PACING_RATE, &rate,
			      sizeof(rate));
	return *err ? TCPX_LIVE_FAILED : TCPX_LIVE_CHANGED;
}

/* The next connection of the socket need not have the rule. */
static __always_inline void pacing_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, void *tp)
{
	int err = 0;

	pacing_unset(ctx, tp, &conn->states.pacing, &err);
	if (err)
		TCPX_ERROR(TCPX_EXT_PACING, err);
}

/* Scopes in one another all come here: what one has tried the next does not try again. */
static __always_inline void pacing_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					       bool local)
{
	struct tcpx_pacing_conn *pacing = &conn->states.pacing;
	struct bpf_sock *sk = ctx->sk;
	int err = 0;
	void *tp;

	if (!sk || !rules_untried(&pacing->rules) || !local_now(ctx))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp)
		pacing_set(ctx, tp, pacing, &err);
}

static const struct tcpx_extension pacing_extension = {
	.take = pacing_take,
	.again = pacing_again,
	.established = pacing_established,
};

#endif
