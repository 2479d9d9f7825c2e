/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The pacing rate that a socket has, whoever has set it. */
#ifndef TCPX_PACING_LIST_BPF_H
#define TCPX_PACING_LIST_BPF_H

#define TCPX_PACING_UNLIMITED (~0U)

/* Read in place: bpf_getsockopt() knows the option only since 6.1. */
struct sock___pacing {
	unsigned long sk_max_pacing_rate;
} __attribute__((preserve_access_index));

static __always_inline __u32 pacing_present(void *tp)
{
	__u64 rate = ((struct sock___pacing *)tp)->sk_max_pacing_rate;

	return rate < TCPX_PACING_UNLIMITED ? rate : TCPX_PACING_UNLIMITED;
}

/* For `tcpx connections`, in its copy of the state: is it still ours? */
static __always_inline void pacing_list(struct tcpx_pacing_conn *pacing, void *tp)
{
	pacing->applied = pacing_present(tp);
}

#endif
