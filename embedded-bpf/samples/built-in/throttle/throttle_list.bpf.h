/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The throttle rate that a socket has, whoever has set it. */
#ifndef TCPX_THROTTLE_LIST_BPF_H
#define TCPX_THROTTLE_LIST_BPF_H

#define TCPX_THROTTLE_UNLIMITED (~0U)

/* Read in place: bpf_getsockopt() knows the option only since 6.1. */
struct sock___throttle {
	unsigned long sk_max_pacing_rate;
} __attribute__((preserve_access_index));

static __always_inline __u32 throttle_present(void *tp)
{
	__u64 rate = ((struct sock___throttle *)tp)->sk_max_pacing_rate;

	return rate < TCPX_THROTTLE_UNLIMITED ? rate : TCPX_THROTTLE_UNLIMITED;
}

/* For `tcpx connections`, in its copy of the state: is it still ours? */
static __always_inline void throttle_list(struct tcpx_throttle_conn *throttle, void *tp)
{
	throttle->applied = throttle_present(tp);
}

#endif
