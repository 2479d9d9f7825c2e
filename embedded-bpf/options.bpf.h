/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Reading TCP options: copying them out of a segment and walking them. */
#ifndef TCPX_OPTIONS_BPF_H
#define TCPX_OPTIONS_BPF_H

#include "maps.bpf.h"

#define TCPX_HEADER_MIN 20 /* bytes of a TCP header without options */
#define TCPX_HEADER_MAX 60

#define TCPX_EXPERIMENTS_MAX 4
#define TCPX_OPTIONS_MAX 16 /* NOPs included; what stands behind them is not read */

#define TCPX_OPTION_END 0
#define TCPX_OPTION_NOP 1

#define TCPX_SOL_TCP 6
#define TCPX_TIMESTAMPS 0x0101080a /* NOP NOP, kind 8, 10 bytes: what most segments have */
#define TCPX_HEADER_TIMESTAMPS 32

/* Has this segment timestamps and nothing else, as most have? That spares everything below. */
static __always_inline bool header_is_plain(struct bpf_sock_ops *ctx)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	return data + TCPX_HEADER_TIMESTAMPS <= end &&
	       data[12] >> 4 == TCPX_HEADER_TIMESTAMPS / 4 &&
	       *(__u32 *)(data + TCPX_HEADER_MIN) == bpf_htonl(TCPX_TIMESTAMPS);
}

/* Copies the header of the segment that this callback is about. */
static __always_inline void header_of_segment(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	conn->header_is_syn = 0;
	conn->header_len = 0;
	if (data + TCPX_HEADER_MIN > end)
		return;
	conn->header_len = (data[12] >> 4) * 4;
#pragma clang loop unroll(full)
	for (int i = TCPX_HEADER_MIN; i < TCPX_HEADER_MAX; i += 4) {
		if (data + i + 4 > end)
			return;
		*(__u32 *)&conn->header[i] = *(__u32 *)(data + i);
	}
}

/* Copies the header of the SYN that opened a connection to us; none unless the kernel saved it. */
static __always_inline void header_of_syn(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	int len = bpf_getsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_SYN, conn->header, TCPX_HEADER_MAX);

	conn->header_is_syn = 1;
	conn->header_len = len > 0 ? len : 0;
}

/*
 * The option where the walk stands, and its length; NULL at the end. An illegal
 * length ends the walk, as it does in the kernel's own (RFC 9293 3.1). The state
 * of the walk is in memory, where the verifier does not follow it: in registers
 * it makes every verifier run out of its million steps.
 */
static __always_inline const __u8 *option_next(struct tcpx_conn *conn, __u32 *len)
{
	__u32 at = conn->header_at & 63, end = conn->header_len;
	const __u8 *option;

	if (at + 1 >= end)
		return NULL;
	/* one pointer with the mask's bounds: verifiers before 6.18 lose them on at + 1 */
	option = &conn->header[at];
	barrier_var(option);
	if (option[0] == TCPX_OPTION_END)
		return NULL;
	*len = option[0] == TCPX_OPTION_NOP ? 1 : option[1];
	if (!*len || (*len == 1 && option[0] != TCPX_OPTION_NOP) || at + *len > end)
		return NULL;
	conn->header_at = at + *len;
	return option;
}

#endif
