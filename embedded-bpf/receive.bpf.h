/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Showing the options of a peer's segments to the slices: one walk for all of them. */
#ifndef TCPX_RECEIVE_BPF_H
#define TCPX_RECEIVE_BPF_H

#include "conn.bpf.h"
#include "options.bpf.h"
#include "ext/uto.bpf.h"

/* Does any slice want to see the peer's options, now or later? */
static __always_inline bool receive_wanted(const struct tcpx_conn *conn)
{
	return uto_accepts(conn);
}

static __noinline void receive_header(struct tcpx_conn *conn)
{
	conn->header_at = TCPX_HEADER_MIN;
	for (int i = 0; i < TCPX_HEADER_MAX - TCPX_HEADER_MIN; i++) {
		const __u8 *option;
		__u32 len;

		barrier_var(conn);
		option = option_next(conn, &len);
		if (!option)
			break;
		if (option[0] == TCPX_UTO_KIND)
			uto_see(conn, option, len);
	}
	uto_receive(conn);
}

/*
 * The segment of this callback, and before it the SYN when a passive open is
 * complete. A global function: verifiers look at its loops once, on their own,
 * and not again for every path that leads here (60,000 steps became 5,000).
 */
__noinline int receive(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (!conn || !receive_wanted(conn))
		return 0;
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		header_of_syn(ctx, conn);
		receive_header(conn);
	}
	header_of_segment(ctx, conn);
	receive_header(conn);
	return 0;
}

#endif
