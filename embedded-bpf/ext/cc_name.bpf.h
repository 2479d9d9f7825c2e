/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Congestion controls by the kernel's names. */
#ifndef TCPX_CC_NAME_BPF_H
#define TCPX_CC_NAME_BPF_H

#include <bpf/bpf_core_read.h>
#include "algorithms.bpf.h"
#include "../conn.bpf.h"

#define TCPX_TCP_CONGESTION 13

struct tcp_congestion_ops___cc {
	char name[TCPX_CA_NAME_MAX];
} __attribute__((preserve_access_index));

struct inet_connection_sock___cc {
	const struct tcp_congestion_ops___cc *icsk_ca_ops;
	__u8 icsk_ca_setsockopt : 1;
} __attribute__((preserve_access_index));

/* A name in 8 bytes; the kernel's differ in it. Nothing stands behind the NUL. */
static __always_inline __u64 cc_sum(const char *name)
{
	const __u64 *words = (const __u64 *)name;

	return words[0] ^ words[1] * 3;
}

/* The congestion control in use. */
static __always_inline void cc_name(const struct inet_connection_sock___cc *icsk, char *name)
{
	const struct tcp_congestion_ops___cc *ops = icsk->icsk_ca_ops;
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

/* Has the application chosen (setsockopt on this socket or on its listener)? What we set leaves the
 * same mark; with Fast Open both may come after. */
static __always_inline bool cc_is_applications(const struct inet_connection_sock___cc *icsk,
					       const struct tcpx_cc_request_conn *cc)
{
	if (cc->applied)
		return cc_in_use(icsk) != cc->ours_sum;
	return BPF_CORE_READ_BITFIELD(icsk, icsk_ca_setsockopt);
}

/* Does it send as the peer has asked? */
static __always_inline bool cc_granted(const struct tcpx_cc_request_conn *cc)
{
	return cc->exchange.state == TCPX_REQUEST_ANSWERED &&
	       cc->exchange.answer != TCPX_CC_REFUSED;
}

/*
 * Sets the congestion control, unless the socket has it (`same`), and notes what is ours. `handle`:
 * a context or a socket, what bpf_setsockopt takes. Returns the kernel's error.
 */
static __always_inline int cc_set(void *handle, const struct inet_connection_sock___cc *icsk,
				  struct tcpx_cc_request_conn *cc, char *name, bool same)
{
	int err = 0;

	if (!cc->applied)
		cc_name(icsk, cc->before);
	if (!same)
		err = bpf_setsockopt(handle, TCPX_SOL_TCP, TCPX_TCP_CONGESTION, name,
				     TCPX_CA_NAME_MAX);
	if (err) {
		TCPX_ERROR(TCPX_EXT_CC_REQUEST, err);
		return err;
	}
	cc->ours_sum = cc_in_use(icsk);
	cc->applied = 1;
	return 0;
}

#endif
