/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Reading TCP options: copying them out of a segment and walking them. */
#ifndef TCPX_OPTIONS_BPF_H
#define TCPX_OPTIONS_BPF_H

#include "maps.bpf.h"
#include "tcpx_slice.h"

#define TCPX_HEADER_MIN 20 /* bytes of a TCP header without options */
#define TCPX_HEADER_MAX 60

#define TCPX_EXPERIMENTS_MAX 4 /* that are noted of one header */
#define TCPX_OTHERS_MAX 3      /* the same of options of other kinds that are ours */
#define TCPX_OPTIONS_MAX 16    /* NOPs included; what stands behind them is not read */

#define TCPX_OPTION_END 0
#define TCPX_OPTION_NOP 1
#define TCPX_OPTION_FAST_OPEN 34
#define TCPX_OPTION_EXP 254

#define TCPX_TIMESTAMPS 0x0101080a /* NOP NOP, kind 8, 10 bytes: what most segments have */
#define TCPX_HEADER_TIMESTAMPS 32

/* A SYN of Linux: MSS, SACK permitted and timestamps, NOP and window scale */
#define TCPX_USUAL_MSS 0x02040000
#define TCPX_USUAL_TIMESTAMPS 0x0402080a
#define TCPX_USUAL_SCALE 0x01030300
#define TCPX_HEADER_USUAL 40

/* Has this segment timestamps and nothing else, as most have? That spares everything below. */
static __always_inline bool header_is_plain(struct bpf_sock_ops *ctx)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	return data + TCPX_HEADER_TIMESTAMPS <= end &&
	       data[12] >> 4 == TCPX_HEADER_TIMESTAMPS / 4 &&
	       *(__u32 *)(data + TCPX_HEADER_MIN) == bpf_htonl(TCPX_TIMESTAMPS);
}

/* Of this segment; 0 where it cannot be read. */
static __always_inline __u32 header_sequence(struct bpf_sock_ops *ctx)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	return data + TCPX_HEADER_MIN <= end ? bpf_ntohl(*(__u32 *)(data + 4)) : 0;
}

/* Copies the header of the segment that this callback is about. */
static __always_inline void header_of_segment(struct bpf_sock_ops *ctx, struct tcpx_header *h)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	h->flags = 0;
	h->len = 0;
	if (data + TCPX_HEADER_MIN > end)
		return;
	h->len = (data[12] >> 4) * 4;
#pragma clang loop unroll(full)
	for (int i = TCPX_HEADER_MIN; i < TCPX_HEADER_MAX; i += 4) {
		if (data + i + 4 > end)
			return;
		*(__u32 *)&h->bytes[i] = *(__u32 *)(data + i);
	}
}

/* Copies the header of the SYN that opened a connection to us; none unless the kernel has it. */
static __always_inline void header_of_syn(struct bpf_sock_ops *ctx, struct tcpx_header *h)
{
	int len = bpf_getsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_SYN, h->bytes, TCPX_HEADER_MAX);

	h->flags = TCPX_HEADER_SYN;
	h->len = len > 0 ? len : 0;
}

/* Where a walk begins: behind the options that Linux puts first on a SYN, if they stand there. */
static __always_inline __u8 header_begin(const struct tcpx_header *h)
{
	const __u32 *words = (const __u32 *)&h->bytes[TCPX_HEADER_MIN];

	if (h->len >= TCPX_HEADER_USUAL &&
	    (words[0] & bpf_htonl(0xffff0000)) == bpf_htonl(TCPX_USUAL_MSS) &&
	    words[1] == bpf_htonl(TCPX_USUAL_TIMESTAMPS) &&
	    (words[4] & bpf_htonl(0xffffff00)) == bpf_htonl(TCPX_USUAL_SCALE))
		return TCPX_HEADER_USUAL;
	return TCPX_HEADER_MIN;
}

/*
 * The option where the walk stands, and its length; NULL at the end. An illegal
 * length ends the walk, as it does in the kernel's own (RFC 9293 3.1). The state
 * of the walk is in memory, where the verifier does not follow it: in registers
 * it makes every verifier run out of its million steps.
 */
static __always_inline const __u8 *option_next(struct tcpx_header *h, __u32 *len)
{
	__u32 at = h->at & 63, end = h->len;
	const __u8 *option;

	if (at + 1 >= end)
		return NULL;
	/* one pointer with the mask's bounds: verifiers before 6.18 lose them on at + 1 */
	option = &h->bytes[at];
	barrier_var(option);
	if (option[0] == TCPX_OPTION_END)
		return NULL;
	*len = option[0] == TCPX_OPTION_NOP ? 1 : option[1];
	if (!*len || (*len == 1 && option[0] != TCPX_OPTION_NOP) || at + *len > end)
		return NULL;
	h->at = at + *len;
	return option;
}

/*
 * No operation, MSS, window scale, SACK permitted, timestamps: beside these and
 * nothing else a SYN-ACK has room for all of ours.
 */
static __always_inline bool option_ordinary(__u8 kind)
{
	return (kind >= 1 && kind <= 4) || kind == 8;
}

/* An option, from its fields. */
static __always_inline void option_put(union tcpx_option *o, __u8 kind, __u8 len, __u16 first,
				       __u16 second)
{
	o->all = bpf_htonl((__u32)kind << 24 | len << 16 | first) |
		 (__u64)bpf_htonl((__u32)second << 16) << 32;
}

/* Where something of it stands. */
static __always_inline const __u8 *header_option(const struct tcpx_header *h, __u8 at)
{
	const __u8 *option = &h->bytes[at & 63];

	barrier_var(option);
	return option;
}

#endif
