/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Space for one option in a header, and its bytes. */
#ifndef TCPX_PUT_BPF_H
#define TCPX_PUT_BPF_H

#include "maps.bpf.h"
#include "segment.bpf.h"
#include "tcpx_slice.h"

#define TCPX_ENOSPC 28
#define TCPX_EEXIST 17

#define TCPX_SYN_ACK_ROOM 20 /* bytes for options on a SYN-ACK, beside those of Linux */

/* Reserves space for one option. Returns whether there is some. */
static __always_inline bool put_reserve(struct bpf_sock_ops *ctx, __u32 ext,
					const union tcpx_option *o)
{
	int err = bpf_reserve_hdr_opt(ctx, o->bytes[1], 0);

	if (err == -TCPX_ENOSPC && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
		count_apart(ext, TCPX_COUNTER_NO_ROOM);
	return !err;
}

/* Writes one option from its buffer of `most` bytes. Returns whether it is written. */
static __always_inline bool put_write(struct bpf_sock_ops *ctx, __u32 ext,
				      const union tcpx_option *o, __u32 most)
{
	/* it takes as many bytes as the option's length says */
	int err = bpf_store_hdr_opt(ctx, o->bytes, most, 0);

	if (!err)
		count(ext, TCPX_COUNTER_SENT);
	else if (err != -TCPX_EEXIST && err != -TCPX_ENOSPC) /* somebody else's option or space */
		TCPX_ERROR(ext, err);
	return !err;
}

/* Of the buffer for an extension's options. */
static __always_inline __u32 put_most(const struct tcpx_extension *x)
{
	return x->longest > TCPX_SHORT_OPTION ? sizeof(union tcpx_option) : TCPX_SHORT_OPTION;
}

static __always_inline void put_clear(union tcpx_option *o, __u32 most)
{
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TCPX_OPTION_WORDS; i++)
		if (i * 8 < most)
			o->words[i] = 0;
}

#endif
