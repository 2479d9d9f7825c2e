/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which user timeout a connection is to have (RFC 5482 3.1), and how keep-alive goes with it. */
#ifndef TCPX_UTO_VALUE_BPF_H
#define TCPX_UTO_VALUE_BPF_H

#include "../conn.bpf.h"
#include "../keepalive.bpf.h"

#define TCPX_TCP_USER_TIMEOUT 18

struct inet_connection_sock___uto {
	__u32 icsk_user_timeout; /* milliseconds */
} __attribute__((preserve_access_index));

/* What the socket has, in milliseconds. */
static __always_inline __u32 uto_present(void *tp)
{
	return ((struct inet_connection_sock___uto *)tp)->icsk_user_timeout;
}

/* Does accept's rule have the say? Once the peer has spoken. */
static __always_inline bool uto_adopts(const struct tcpx_uto_conn *uto)
{
	return uto->remote_ms && rules_active(&uto->rules, TCPX_KIND_ACCEPT);
}

static __always_inline bool uto_forced(const struct tcpx_uto_conn *uto)
{
	return uto->rules.flags[uto_adopts(uto) ? TCPX_KIND_ACCEPT : TCPX_KIND_LOCAL] &
	       TCPX_RULE_FORCE;
}

/* USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)); 0: leave alone. */
static __always_inline __u32 uto_timeout(const struct tcpx_uto_conn *uto)
{
	__u32 timeout = 0;

	if (rules_active(&uto->rules, TCPX_KIND_LOCAL))
		timeout = uto->local_ms;
	if (!uto_adopts(uto))
		return timeout;
	if (!timeout && rules_active(&uto->rules, TCPX_KIND_ASK))
		timeout = uto->ask_ms;
	if (timeout < uto->remote_ms)
		timeout = uto->remote_ms;
	if (timeout < uto->least_ms)
		timeout = uto->least_ms;
	if (timeout > uto->most_ms)
		timeout = uto->most_ms;
	return timeout;
}

/*
 * A user timeout replaces the number of keep-alive's probes. So it never exceeds the time in which
 * they find a dead peer without it, and where it ends the connection though another probe would
 * have come, that is told. Returns bits of enum tcpx_keepalive.
 */
static __always_inline __u8 uto_keepalive(void *tp, __u32 *timeout)
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

/*
 * Sets TCP_USER_TIMEOUT as the rules and the peer want it; 0: leaves it alone. A value on the
 * socket that is not the one we set is the application's: CHANGEABLE is false then (RFC 5482 3.1).
 * `handle`: a context or a socket, what bpf_setsockopt takes. Returns enum tcpx_live_result.
 */
static __always_inline int uto_set(void *handle, void *tp, struct tcpx_uto_conn *uto, bool force,
				   int *err)
{
	__u32 timeout = uto_timeout(uto), present = uto_present(tp);
	__u8 keepalive = uto_keepalive(tp, &timeout);

	rules_outcome(&uto->rules, TCPX_OUTCOME_APPLIED);
	if (present == timeout) {
		if (present == uto->applied_ms)
			uto->keepalive = keepalive;
		return TCPX_LIVE_SAME;
	}
	if (!force && present != uto->applied_ms) {
		uto->keepalive = 0;
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_KEPT);
		rules_outcome(&uto->rules, TCPX_OUTCOME_APPLICATION);
		return TCPX_LIVE_KEPT;
	}
	*err = bpf_setsockopt(handle, TCPX_SOL_TCP, TCPX_TCP_USER_TIMEOUT, &timeout,
			      sizeof(timeout));
	if (*err) {
		TCPX_ERROR(TCPX_EXT_UTO, *err);
		rules_outcome(&uto->rules, TCPX_OUTCOME_KERNEL);
		return TCPX_LIVE_FAILED;
	}
	if (!uto->applied_ms)
		uto->before_ms = present;
	uto->applied_ms = timeout;
	uto->keepalive = keepalive;
	count(TCPX_EXT_UTO, TCPX_COUNTER_APPLIED);
	if (keepalive & TCPX_KEEPALIVE_LOWERED)
		count_apart(TCPX_EXT_UTO, TCPX_UTO_COUNTER_LOWERED);
	if (keepalive & TCPX_KEEPALIVE_SHORT)
		count_apart(TCPX_EXT_UTO, TCPX_UTO_COUNTER_SHORT);
	return TCPX_LIVE_CHANGED;
}

#endif
