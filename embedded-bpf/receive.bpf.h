/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Showing the options of a peer's segments to the extensions: one walk for all of them. */
#ifndef TCPX_RECEIVE_BPF_H
#define TCPX_RECEIVE_BPF_H

#include "walk.bpf.h"

/* An experiment: is it this extension's? Then its exchange takes it, or itself. `exid` is not 0,
 * which stands for what an extension does not have. */
static __always_inline void receive_experiment(struct tcpx_conn *conn, __u32 ext,
					       const struct tcpx_extension *x, const __u8 *option,
					       __u32 len, __u16 exid)
{
	struct tcpx_exchange *ours = exchange_at(conn, x->ours);
	struct tcpx_exchange *peers = exchange_at(conn, x->peers);

	if (exid == config.exids[ext][TCPX_ROLE_ASK]) {
		if (peers)
			exchange_see(&peers->ask_seen, &peers->ask_bits, option, len);
		else if (x->see)
			x->see(conn, TCPX_ROLE_ASK, option, len);
	} else if (exid == config.exids[ext][TCPX_ROLE_ANSWER]) {
		if (ours)
			exchange_see(&ours->answer_seen, &ours->answer_bits, option, len);
		else if (x->see)
			x->see(conn, TCPX_ROLE_ANSWER, option, len);
	} else if (x->see && exid == config.exids[ext][TCPX_ROLE_OWN]) {
		x->see(conn, TCPX_ROLE_OWN, option, len);
	}
}

/* Is an answer of ours among those of which the SYN-ACK had no room for all? Then data has to say
 * it. */
static __always_inline __u32 receive_room(struct tcpx_conn *conn, const struct tcpx_extension *x,
					  const struct tcpx_rules *rules, __u32 used)
{
	struct tcpx_exchange *r = exchange_at(conn, x->peers);

	if (x->unasked ? rules_active(rules, TCPX_KIND_ASK) : r && r->state == TCPX_REQUEST_PENDING)
		used += x->syn_ack_len;
	if (r && used > TCPX_SYN_ACK_ROOM)
		r->promised = 0;
	return used;
}

#define RECEIVE_ROOM(ID, name, conn, used)                                                         \
	if (TCPX_USES(ID))                                                                         \
		(used) = receive_room(conn, &name##_extension, &(conn)->states.name.rules, used);

#define RECEIVE_EXPERIMENT(ID, name, conn, option, len, exid)                                      \
	if (TCPX_USES(ID) && name##_extension.kind == TCPX_OPTION_EXP)                             \
		receive_experiment(conn, TCPX_EXT_##ID, &name##_extension, option, len, exid);

#define RECEIVE_OTHER(ID, name, conn, option)                                                      \
	if (TCPX_USES(ID) && name##_extension.see && name##_extension.kind &&                      \
	    name##_extension.kind != TCPX_OPTION_EXP && option[0] == name##_extension.kind)        \
		name##_extension.see(conn, 0, option, option[1]);

/* Shows the options that the walk has found to the extensions. */
static __always_inline void receive_options(struct tcpx_conn *conn)
{
	const __u32 uses = config.uses;

	for (int i = 0; i < TCPX_EXPERIMENTS_MAX && i < conn->header.experiments; i++) {
		const __u8 *option = header_option(&conn->header, conn->header.experiment_at[i]);
		__u16 exid = option_exid(option);
		__u32 len = option[1];

		if (exid) {
			TCPX_EACH(RECEIVE_EXPERIMENT, conn, option, len, exid)
		}
	}
	for (int i = 0; i < TCPX_OTHERS_MAX && i < conn->header.others; i++) {
		const __u8 *option = header_option(&conn->header, conn->header.other_at[i]);

		TCPX_EACH(RECEIVE_OTHER, conn, option)
	}
}

/* What is known of a header beside its options; `asks`: requests are welcome here. */
static __always_inline __u8 receive_flags(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					  int asks)
{
	__u8 flags = conn->header.flags & (TCPX_HEADER_SYN | TCPX_HEADER_CROWDED);

	if (asks)
		flags |= TCPX_HEADER_ASKS;
	if (ctx->rcv_nxt == conn->received)
		flags |= TCPX_HEADER_CORRECTS;
	if (flags & TCPX_HEADER_SYN || ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		flags |= TCPX_HEADER_OPENS;
	return flags;
}

/*
 * Copies a header to the connection, and has the extensions look at what stands there for them:
 * that of this segment, or of the SYN. Global: verifiers look at it once, on its own, and not again
 * for every path that leads to it.
 */
__noinline int receive_header(struct bpf_sock_ops *ctx, int syn, int asks)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 used = 0;

	if (!conn)
		return 0;
	if (syn)
		header_of_syn(ctx, &conn->header);
	else
		header_of_segment(ctx, &conn->header);
	header_walk(&conn->header);
	if (!conn->header.experiments && !conn->header.others)
		return 0;
	receive_options(conn);
	conn->header.flags = receive_flags(ctx, conn, asks);
	barrier();
	TCPX_CALL(judge, conn)
	TCPX_SLOTS_DO(SLOT_TRAVELS, slot_judge, ctx)
	if (conn->header.flags & TCPX_HEADER_SYN) {
		TCPX_EACH(RECEIVE_ROOM, conn, used)
		TCPX_SLOTS(SLOT_ROOM, ctx, used)
	}
	return 0;
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

	if (!any_listens(conn) &&
	    !((asks || ctx->op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB) && any_looks(conn, asks)))
		return;
	if (passive(ctx))
		receive_header(ctx, true, asks);
	if (!header_is_plain(ctx))
		receive_header(ctx, false, asks);
}

#endif
