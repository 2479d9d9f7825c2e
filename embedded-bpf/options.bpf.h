/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Reading TCP options: copying them out of a segment and walking them. */
#ifndef TCPX_OPTIONS_BPF_H
#define TCPX_OPTIONS_BPF_H

#include "maps.bpf.h"

#define TCPX_HEADER_MIN 20 /* bytes of a TCP header without options */
#define TCPX_HEADER_MAX 60

#define TCPX_SOL_TCP 6

/* Options of the segment that this callback is about. */
static __always_inline void options_of_segment(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	conn->header_len = 0;
	if (data + TCPX_HEADER_MIN > end)
		return;
	conn->header_len = (data[12] >> 4) * 4;
#pragma clang loop unroll(full)
	for (int i = TCPX_HEADER_MIN; i < TCPX_HEADER_MAX; i++) {
		if (data + i + 1 > end)
			return;
		conn->header[i] = data[i];
	}
}

/* Options of the SYN that opened a connection to us; none unless the kernel saved it. */
static __always_inline void options_of_syn(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	int len = bpf_getsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_SYN, conn->header, TCPX_HEADER_MAX);

	conn->header_len = len > 0 ? len : 0;
}

#define TCPX_OPTION_TWICE 255

/* One step of the walk: false ends it. An illegal length does, as in the kernel's own walk. */
static __always_inline bool option_step(struct tcpx_conn *conn, __u8 kind, __u16 *value)
{
	__u32 at = conn->header_at, end = conn->header_len, k, len;

	if (at + 1 >= end || at + 3 >= sizeof(conn->header))
		return false;
	k = conn->header[at];
	if (k == 0) /* end of option list */
		return false;
	if (k == 1) { /* no operation */
		conn->header_at = at + 1;
		return true;
	}
	len = conn->header[at + 1];
	if (len < 2 || at + len > end)
		return false;
	conn->header_at = at + len;
	if (k == kind) {
		*value = conn->header[at + 2] << 8 | conn->header[at + 3];
		conn->found = conn->found ? TCPX_OPTION_TWICE : len;
	}
	return true;
}

/*
 * Finds the option of this kind and copies the two bytes after its length.
 * Returns its length, 0 when absent, TCPX_OPTION_TWICE when it stands there
 * twice. The state of the walk is in memory, where the verifier does not follow
 * it: with it in registers 5.10 and 6.18 alike run out of their million steps.
 */
static __noinline int option_find(struct tcpx_conn *conn, __u8 kind, __u16 *value)
{
	if (!conn || !value)
		return 0;
	conn->header_at = TCPX_HEADER_MIN;
	conn->found = 0;
	for (int i = 0; i < TCPX_HEADER_MAX - TCPX_HEADER_MIN; i++) {
		barrier_var(conn);
		if (!option_step(conn, kind, value))
			break;
	}
	return conn->found;
}

#endif
