/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Showing the options of a peer's segments to the slices: one walk for all of them. */
#ifndef TCPX_RECEIVE_BPF_H
#define TCPX_RECEIVE_BPF_H

#include "conn.bpf.h"
#include "options.bpf.h"
#include "ext/ack.bpf.h"
#include "ext/cc_request.bpf.h"
#include "ext/iw.bpf.h"
#include "ext/uto.bpf.h"

/* Does any slice want to see the peer's options, now or later? */
static __always_inline bool receive_wanted(const struct tcpx_conn *conn)
{
	return uto_accepts(conn) || ack_accepts(conn) ||
	       (!conn->silent &&
		(request_listens(&conn->requests[0]) || request_listens(&conn->requests[1]) ||
		 request_listens(&conn->requests[2])));
}

/* Does any slice grant requests, which come with the handshake? */
static __always_inline bool receive_grants(const struct tcpx_conn *conn)
{
	return rule_active(&conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_ACCEPT]) ||
	       rule_active(&conn->policy.rules[TCPX_EXT_IW][TCPX_KIND_ACCEPT]);
}

static __always_inline void receive_experiment(struct tcpx_conn *conn, const __u8 *option,
					       __u32 len)
{
	struct tcpx_request_conn *cc = &conn->requests[0], *iw = &conn->requests[1];
	struct tcpx_request_conn *ack = &conn->requests[2], *peer = &conn->requests[3];
	__u16 exid = option[2] << 8 | option[3];

	if (exid == config.site.exids.cc_ask)
		request_see(&cc->ask_seen, &cc->ask_bits, option, len);
	else if (exid == config.site.exids.cc_answer)
		request_see(&cc->answer_seen, &cc->answer_bits, option, len);
	else if (exid == config.site.exids.iw_ask)
		request_see(&iw->ask_seen, &iw->ask_bits, option, len);
	else if (exid == config.site.exids.iw_answer)
		request_see(&iw->answer_seen, &iw->answer_bits, option, len);
	else if (exid == config.site.exids.ack_ask)
		request_see(&peer->ask_seen, &peer->ask_bits, option, len);
	else if (exid == config.site.exids.ack_answer)
		request_see(&ack->answer_seen, &ack->answer_bits, option, len);
	else if (exid == config.site.exids.tarr) {
		tarr_see(&conn->ack.tarr_seen, len);
		conn->ack.tarr_bits = option[4];
	}
}

/*
 * What the slices make of it; `asks`: requests are welcome here. Global, as what follows: verifiers
 * look at each of them once, on its own, and not again for every path that leads to it.
 */
__noinline int receive_judge(struct bpf_sock_ops *ctx, int asks)
{
	struct tcpx_conn *conn = conn_of(ctx);
	__u8 flags;

	if (!conn)
		return 0;
	if (conn->header.utos)
		uto_receive(conn, header_option(&conn->header, conn->header.uto_at));
	if (!conn->header.experiments)
		return 0;
	for (int i = 0; i < TCPX_EXPERIMENTS_MAX && i < conn->header.experiments; i++) {
		const __u8 *option = header_option(&conn->header, conn->header.experiment_at[i]);

		receive_experiment(conn, option, option[1]);
	}
	flags = conn->header.flags & TCPX_HEADER_SYN;
	if (asks)
		flags |= TCPX_HEADER_ASKS;
	if (ctx->rcv_nxt == conn->received)
		flags |= TCPX_HEADER_CORRECTS;
	if (flags & TCPX_HEADER_SYN || ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		flags |= TCPX_HEADER_TARR;
	conn->header.flags = flags;
	barrier();
	cc_received(conn);
	iw_received(conn);
	ack_received(conn);
	return 0;
}

/* Copies a header to the connection, and looks what stands there. Returns whether any of it is for
 * a slice. */
__noinline int receive_header(struct bpf_sock_ops *ctx, int syn)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (!conn)
		return 0;
	if (syn)
		header_of_syn(ctx, &conn->header);
	else
		header_of_segment(ctx, &conn->header);
	header_walk(&conn->header);
	return conn->header.utos || conn->header.experiments;
}

/* Of which end? Looked up each time: what verifiers know of a variable doubles their ways. */
static __always_inline bool passive(struct bpf_sock_ops *ctx)
{
	barrier_var(ctx);
	return ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
}

/* The segment of this callback, and before it the SYN when a passive open is complete. */
static __always_inline void receive(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	/* requests come with the handshake; with Fast Open its end is seen on the first data */
	bool asks = passive(ctx) || (conn->fast_open && ctx->rcv_nxt == conn->received);

	if (!receive_wanted(conn) && !(asks && receive_grants(conn)) &&
	    !(ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB &&
	      tarr_asks(&conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_ASK])))
		return;
	if (passive(ctx) && receive_header(ctx, true))
		receive_judge(ctx, asks);
	if (!header_is_plain(ctx) && receive_header(ctx, false))
		receive_judge(ctx, asks);
}

#endif
