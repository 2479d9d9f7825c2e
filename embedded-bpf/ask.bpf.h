/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Putting options on segments: the first SYN or SYN-ACK, then the third ACK and
 * data until our first byte is acknowledged. A retransmission goes out plain, and
 * the connection asks nothing more: a path that drops unknown options costs one
 * timeout, never the connection.
 */
#ifndef TCPX_ASK_BPF_H
#define TCPX_ASK_BPF_H

#include "conn.bpf.h"
#include "ext/uto.bpf.h"

#define TCPX_ASK_SEGMENTS 8
#define TCPX_ASK_NS 3000000000ULL
#define TCPX_ENOENT 2
#define TCPX_ENOSPC 28
#define TCPX_EEXIST 17

/* The bytes that an ask rule puts on a segment. Extensions in order of priority. */
static __always_inline void ask_option(enum tcpx_ext ext, const struct tcpx_rule *ask,
				       struct tcpx_option *o)
{
	__builtin_memset(o, 0, sizeof(*o));
	if (!rule_active(ask))
		return;
	switch (ext) {
	case TCPX_EXT_UTO:
		uto_option(ask, o);
		break;
	default:
		break;
	}
}

/* Reserves or writes one option. Returns whether it is reserved or written. */
static __always_inline bool ask_put(struct bpf_sock_ops *ctx, enum tcpx_ext ext,
				    const struct tcpx_option *o)
{
	int err;

	if (ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB) {
		err = bpf_reserve_hdr_opt(ctx, o->len, 0);
		if (err == -TCPX_ENOSPC && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
			count(ext, TCPX_COUNTER_NO_ROOM);
		return !err;
	}
	err = bpf_store_hdr_opt(ctx, o->bytes, sizeof(o->bytes) / 2, 0);
	if (!err)
		count(ext, TCPX_COUNTER_SENT);
	else if (err != -TCPX_EEXIST && err != -TCPX_ENOSPC) /* somebody else's option or space */
		TCPX_ERROR(ext, err);
	return !err;
}

static __always_inline bool ask_any(const struct tcpx_conn *conn)
{
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++)
		if (rule_active(&conn->policy.rules[ext][TCPX_KIND_ASK]))
			return true;
	return false;
}

/* Stops asking; `fallback` when a loss, and maybe the option, is the reason. */
static __always_inline void ask_stop(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				     bool fallback)
{
	conn->silent = 1;
	callback_flags(ctx, 0, TCPX_WRITE);
	if (!fallback)
		return;
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++)
		if (rule_active(&conn->policy.rules[ext][TCPX_KIND_ASK]))
			count(ext, TCPX_COUNTER_FALLBACK);
}

/* May this segment of a connection carry options? Stops asking when not. */
static __always_inline bool ask_wanted(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	bool retransmission, done = false;

	if (conn->silent) {
		callback_flags(ctx, 0, TCPX_WRITE);
		return false;
	}
	if (!conn->since_ns) { /* a SYN, or the SYN-ACK of a simultaneous open */
		retransmission = ctx->total_retrans;
	} else {
		retransmission = ctx->total_retrans != conn->retrans;
		done = (__s32)(ctx->snd_una - conn->first_byte) > 0 ||
		       conn->segments >= TCPX_ASK_SEGMENTS ||
		       bpf_ktime_get_ns() - conn->since_ns > TCPX_ASK_NS;
	}
	if (!retransmission && !done)
		return true;
	ask_stop(ctx, conn, retransmission && !done);
	return false;
}

/* HDR_OPT_LEN and WRITE_HDR_OPT of a connection's own segments. */
static __always_inline void ask_segment(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_option o;
	bool reserve = ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB;

	if (!conn) /* left over from rules that are gone */
		callback_flags(ctx, 0, TCPX_WRITE);
	/* another scope's program ends the asking, too, should the owner be gone */
	if (!conn || (reserve && !ask_wanted(ctx, conn)) || conn->scope != config.scope)
		return;
	if (reserve)
		conn->reserved = 0;
	else if (conn->since_ns && conn->reserved)
		conn->segments++;
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		ask_option(ext, &conn->policy.rules[ext][TCPX_KIND_ASK], &o);
		if (!o.len || (!reserve && !(conn->reserved & 1 << ext)))
			continue;
		if (ask_put(ctx, ext, &o) && reserve)
			conn->reserved |= 1 << ext;
	}
}

/*
 * A SYN-ACK that the timer or a repeated SYN sends again has no SYN at hand; a
 * saved one has no MAC header. Either way the kernel says ENOENT.
 */
static __always_inline bool ask_syn_ack_again(struct bpf_sock_ops *ctx)
{
	__u8 probe[1];

	return bpf_getsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_SYN_MAC, probe, sizeof(probe)) ==
	       -TCPX_ENOENT;
}

/* HDR_OPT_LEN and WRITE_HDR_OPT of a SYN-ACK: a request socket, which has no storage. */
static __always_inline void ask_syn_ack(struct bpf_sock_ops *ctx)
{
	struct tcpx_policy_key key;
	struct tcpx_option o;
	struct tcpx_hits hits;
	__u32 slots = 0, decided;

	/* with SYN cookies every repetition is a first one: our data will have to say it */
	if (ctx->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE || ask_syn_ack_again(ctx) ||
	    !policy_hits(ctx, TCPX_DIRECTION_FROM, &hits))
		return;
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++)
		if (policy_rule(&hits, ext, TCPX_KIND_ASK))
			slots |= 1 << (ext * TCPX_KIND_COUNT + TCPX_KIND_ASK);
	policy_key(ctx, TCPX_DIRECTION_FROM, &key);
	decided = handover_slots(ctx, &key, slots);
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		if (decided & 1 << (ext * TCPX_KIND_COUNT + TCPX_KIND_ASK))
			continue;
		ask_option(ext, policy_rule(&hits, ext, TCPX_KIND_ASK), &o);
		if (o.len)
			ask_put(ctx, ext, &o);
	}
}

#endif
