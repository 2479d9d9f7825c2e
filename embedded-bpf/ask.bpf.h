/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Putting options on the segments of a connection: the first SYN, then the third ACK and
 * data until our first byte is acknowledged (SYN-ACKs: syn_ack.bpf.h). A retransmission goes out
 * plain, and the connection asks nothing more: a path that drops unknown options costs one timeout.
 * One that refuses them, or an application that does not wait, costs the connection; the next ones
 * go out plain: path.bpf.h.
 */
#ifndef TCPX_ASK_BPF_H
#define TCPX_ASK_BPF_H

#include "conn.bpf.h"
#include "put.bpf.h"
#include "receive.bpf.h"
#include "signed.bpf.h"
#include "watch.bpf.h"

#define TCPX_ASK_SEGMENTS 8
#define TCPX_ASK_NS 3000000000ULL
#define TCPX_UNASKED 0x80 /* of `reserved`: the kernel has not asked what to put on the SYN */

/* Until the peer has answered any request: then it has read our first segment, and the option on
 * it. */
static __always_inline bool ask_uto(const struct tcpx_conn *conn)
{
	return rule_active(&conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ASK]) &&
	       !(conn->heard && conn->written & 1 << TCPX_EXT_UTO);
}

/* Both sides may ask: then our request and our answer take turns. */
static __always_inline void ask_option_ack(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					   union tcpx_option *o)
{
	const struct tcpx_request_conn *ours = &conn->requests[2], *peers = &conn->requests[3];

	if (request_speaks(peers) && !(request_speaks(ours) && conn->segments & 1))
		request_option(peers, 0, config.site.exids.ack_answer, o);
	else if (request_speaks(ours))
		request_option(ours, config.site.exids.ack_ask, 0, o);
	else
		tarr_option(ctx, conn, o);
}

/* What an extension has to say on a segment of this connection. */
static __always_inline void ask_option(struct bpf_sock_ops *ctx, enum tcpx_ext ext,
				       struct tcpx_conn *conn, union tcpx_option *o)
{
	const struct tcpx_rule *ask = &conn->policy.rules[ext][TCPX_KIND_ASK];

	o->all = 0;
	switch (ext) {
	case TCPX_EXT_UTO:
		if (ask_uto(conn))
			uto_option(ask, o);
		break;
	case TCPX_EXT_CC_REQUEST:
		request_option(&conn->requests[0], config.site.exids.cc_ask,
			       config.site.exids.cc_answer, o);
		break;
	case TCPX_EXT_IW:
		request_option(&conn->requests[1], config.site.exids.iw_ask,
			       config.site.exids.iw_answer, o);
		break;
	case TCPX_EXT_ACK:
		ask_option_ack(ctx, conn, o);
		break;
	default:
		break;
	}
}

/* Has this connection anything to say? */
static __always_inline bool ask_any(const struct tcpx_conn *conn)
{
	return ask_uto(conn) || request_speaks(&conn->requests[0]) ||
	       request_speaks(&conn->requests[1]) || request_speaks(&conn->requests[2]) ||
	       request_speaks(&conn->requests[3]) || tarr_speaks(conn);
}

/*
 * The SYN has gone out, and the kernel has not asked for options: the others have left not a byte.
 * Global: see count_apart().
 */
__noinline int ask_crowded_out(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (!conn ||
	    !(ctx->bpf_sock_ops_cb_flags & TCPX_WRITE)) /* or another program is to blame */
		return 0;
	conn->reserved = 0;
	if (ask_uto(conn))
		count_apart(TCPX_EXT_UTO, TCPX_COUNTER_NO_ROOM);
	if (request_speaks(&conn->requests[0]))
		count_apart(TCPX_EXT_CC_REQUEST, TCPX_COUNTER_NO_ROOM);
	if (request_speaks(&conn->requests[1]))
		count_apart(TCPX_EXT_IW, TCPX_COUNTER_NO_ROOM);
	if (request_speaks(&conn->requests[2]) || tarr_speaks(conn))
		count_apart(TCPX_EXT_ACK, TCPX_COUNTER_NO_ROOM);
	return 0;
}

/* What goes when nothing is left to say. */
static __always_inline __u32 ask_done(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return conn->ack.waits || iw_waits(ctx, conn) ? 0 : TCPX_WRITE;
}

static __always_inline void ask_cut_short(struct tcpx_conn *conn, enum tcpx_ext ext,
					  enum tcpx_silence why)
{
	if (why == TCPX_WITHHELD && conn->written & 1 << ext) /* by a key before this one */
		return;
	count_apart(ext, why == TCPX_WITHHELD ? TCPX_COUNTER_WITHHELD : TCPX_COUNTER_FALLBACK);
	if (why == TCPX_PLAIN)
		count_apart(ext, TCPX_COUNTER_PATH);
	conn_news(conn, ext, TCPX_NEWS_FALLBACK);
}

/* The extensions that had something to say go without it. */
static __always_inline void ask_cut_all_short(struct tcpx_conn *conn, enum tcpx_silence why)
{
	if (rule_active(&conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ASK]))
		ask_cut_short(conn, TCPX_EXT_UTO, why);
	if (request_speaks(&conn->requests[0]))
		ask_cut_short(conn, TCPX_EXT_CC_REQUEST, why);
	if (request_speaks(&conn->requests[1]))
		ask_cut_short(conn, TCPX_EXT_IW, why);
	if (request_speaks(&conn->requests[2]) || request_speaks(&conn->requests[3]) ||
	    tarr_speaks(conn))
		ask_cut_short(conn, TCPX_EXT_ACK, why);
}

/* Stops talking; `why`: TCPX_SILENT, or what cuts it short. */
static __always_inline void ask_stop(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				     enum tcpx_silence why)
{
	conn->silent = why;
	if (why != TCPX_SILENT)
		ask_cut_all_short(conn, why);
	request_stop(conn, TCPX_EXT_CC_REQUEST);
	request_stop(conn, TCPX_EXT_IW);
	request_stop(conn, TCPX_EXT_ACK);
	callback_flags(ctx, conn, 0, ask_done(ctx, conn) | (receive_wanted(conn) ? 0 : TCPX_PARSE));
	watch_tell(ctx, conn);
}

/* All is said, and the peer's first data, which could correct the SYN-ACK's answer, is here. */
static __always_inline void ask_settled(struct tcpx_conn *conn, bool data)
{
	if (!conn->silent && data && !ask_any(conn))
		conn->silent = TCPX_SILENT;
}

/* May this segment of a connection carry options? Stops asking when not. */
static __always_inline bool ask_wanted(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	bool retransmission, done = false;
	enum tcpx_silence why;

	if (conn->silent || !ask_any(conn)) { /* all is said, or answered */
		callback_flags(ctx, conn, 0, ask_done(ctx, conn));
		return false;
	}
	if (conn->since_ns == TCPX_SINCE_NEXT)
		conn->since_ns = bpf_ktime_get_ns();
	if (!conn->since_ns) { /* a SYN, or the SYN-ACK of a simultaneous open */
		retransmission = ctx->total_retrans;
	} else {
		retransmission = ctx->total_retrans != conn->retrans;
		done = (__s32)(ctx->snd_una - conn->first_byte) > 0 ||
		       conn->segments >= TCPX_ASK_SEGMENTS ||
		       bpf_ktime_get_ns() - conn->since_ns > TCPX_ASK_NS;
	}
	if (signed_segment(ctx))
		why = TCPX_WITHHELD;
	else if (retransmission || done)
		why = done ? TCPX_SILENT : TCPX_SILENCED;
	else
		return true;
	ask_stop(ctx, conn, why);
	return false;
}

/* There is an answer to give in the middle of a connection: as if it was new. */
static __always_inline void ask_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	if (conn->silent >= TCPX_WITHHELD)
		return;
	if (conn->silent) /* what we had to advertise has been said */
		conn->heard = 1;
	conn->silent = TCPX_SPEAKING;
	conn->segments = 0;
	conn->since_ns = bpf_ktime_get_ns();
	conn->first_byte = ctx->snd_nxt;
	conn->retrans = ctx->total_retrans;
}

/* HDR_OPT_LEN of a connection's own segments. */
__noinline int ask_segment(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	union tcpx_option o;
	__u8 reserved = 0;

	if (!conn)
		return 0;
	if (conn->ack.waits && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
		ack_waits(ctx);
	if (iw_unsent(ctx, conn) && iw_data(ctx))
		iw_keep(ctx);
	/* another scope's program ends the asking, too, should the owner be gone */
	if (!ask_wanted(ctx, conn)) {
		conn->reserved = 0; /* or what others reserve would be taken for ours */
		return 0;
	}
	if (conn->scope != config.scope)
		return 0;
	/* those without options as well: a listener's flags have to go, too */
	if (conn->since_ns && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
		conn->segments++;
#pragma clang loop unroll(full) /* every extension's part is short */
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		ask_option(ctx, ext, conn, &o);
		if (o.all && ask_reserve(ctx, ext, &o))
			reserved |= 1 << ext;
	}
	conn->reserved = reserved;
	watch_tell(ctx, conn);
	return 0;
}

/* WRITE_HDR_OPT: what was reserved a moment ago. */
__noinline int ask_segment_write(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	union tcpx_option o;
	__u8 written = 0;

	if (!conn || conn->scope != config.scope)
		return 0;
#pragma clang loop unroll(full)
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		if (!(conn->reserved & 1 << ext))
			continue;
		ask_option(ctx, ext, conn, &o);
		if (o.all && ask_write(ctx, ext, &o))
			written |= 1 << ext;
	}
	if (written & ~conn->written & 1 << TCPX_EXT_UTO)
		conn_news(conn, TCPX_EXT_UTO, TCPX_NEWS_OURS);
	conn->written |= written;
	watch_tell(ctx, conn);
	return 0;
}

#endif
