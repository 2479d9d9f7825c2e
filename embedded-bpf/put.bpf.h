/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Space for one option in a header, and its bytes. */
#ifndef TCPX_PUT_BPF_H
#define TCPX_PUT_BPF_H

#include "maps.bpf.h"
#include "segment.bpf.h"

#define TCPX_ENOSPC 28
#define TCPX_EEXIST 17

/* Reserves space for one option. Returns whether there is some. */
static __always_inline bool ask_reserve(struct bpf_sock_ops *ctx, enum tcpx_ext ext,
					const union tcpx_option *o)
{
	int err = bpf_reserve_hdr_opt(ctx, o->len, 0);

	if (err == -TCPX_ENOSPC && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
		count_apart(ext, TCPX_COUNTER_NO_ROOM);
	return !err;
}

/* Writes one option. Returns whether it is written. */
static __always_inline bool ask_write(struct bpf_sock_ops *ctx, enum tcpx_ext ext,
				      const union tcpx_option *o)
{
	/* it takes as many bytes as the option's length says */
	int err = bpf_store_hdr_opt(ctx, o->bytes, sizeof(o->bytes), 0);

	if (!err)
		count(ext, TCPX_COUNTER_SENT);
	else if (err != -TCPX_EEXIST && err != -TCPX_ENOSPC) /* somebody else's option or space */
		TCPX_ERROR(ext, err);
	return !err;
}

#endif
