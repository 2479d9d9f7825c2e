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

#include "put.bpf.h"
#include "signed.bpf.h"
#include "slices.bpf.h"
#include "watch.bpf.h"
#ifdef TCPX_WITH_SLOTS
#include "ext-slot/say.bpf.h"
#endif

#define TCPX_ASK_SEGMENTS 8
#define TCPX_ASK_NS 3000000000ULL

/* What an extension has to say on a segment of this connection. */
static __always_inline void ask_option(struct bpf_sock_ops *ctx, __u32 ext,
				       const struct tcpx_extension *x, struct tcpx_conn *conn,
				       union tcpx_option *o)
{
	put_clear(o, put_most(x));
	if (x->say)
		x->say(ctx, conn, o);
	else if (x->ours)
		exchange_say(ext, exchange_at(conn, x->ours), o);
}

#define ASK_CROWDED_OUT(ID, name, conn)                                                            \
	if (TCPX_USES(ID) && slice_speaks(&name##_extension, conn))                                \
		count_apart(TCPX_EXT_##ID, TCPX_COUNTER_NO_ROOM);

/*
 * The SYN has gone out, and the kernel has not asked for options: the others have left not a byte.
 * Global: see count_apart().
 */
__noinline int ask_crowded_out(struct bpf_sock_ops *ctx)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = conn_of(ctx);

	if (!conn ||
	    !(ctx->bpf_sock_ops_cb_flags & TCPX_WRITE)) /* or another program is to blame */
		return 0;
	conn->unasked = 0;
	TCPX_EACH(ASK_CROWDED_OUT, conn)
	TCPX_SLOTS(SLOT_CROWDED_OUT, conn)
	return 0;
}

/* What goes when nothing is left to say. */
static __always_inline __u32 ask_done(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return TCPX_ANY(waits, ctx, conn) ? 0 : TCPX_WRITE;
}

static __always_inline void ask_cut_short(struct tcpx_conn *conn, __u32 ext, enum tcpx_silence why)
{
	if (why == TCPX_WITHHELD && conn->written & 1 << ext) /* by a key before this one */
		return;
	count_apart(ext, why == TCPX_WITHHELD ? TCPX_COUNTER_WITHHELD : TCPX_COUNTER_FALLBACK);
	if (why == TCPX_PLAIN)
		count_apart(ext, TCPX_COUNTER_PATH);
	conn_news(conn, ext, TCPX_NEWS_FALLBACK);
}

#define ASK_CUT_SHORT(ID, name, conn, why)                                                         \
	if (TCPX_USES(ID) && slice_speaks(&name##_extension, conn))                                \
		ask_cut_short(conn, TCPX_EXT_##ID, why);

/* The extensions that had something to say go without it. */
static __always_inline void ask_cut_all_short(struct tcpx_conn *conn, enum tcpx_silence why)
{
	const __u32 uses = config.uses;

	TCPX_EACH(ASK_CUT_SHORT, conn, why)
	TCPX_SLOTS(SLOT_CUT_SHORT, conn, why)
}

#define ASK_STOP(ID, name, conn)                                                                   \
	if (TCPX_USES(ID))                                                                         \
		exchange_stop(conn, TCPX_EXT_##ID, exchange_at(conn, name##_extension.ours));

/* Stops talking; `why`: TCPX_SILENT, or what cuts it short. */
static __always_inline void ask_stop(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				     enum tcpx_silence why)
{
	const __u32 uses = config.uses;

	conn->silent = why;
	if (why != TCPX_SILENT)
		ask_cut_all_short(conn, why);
	TCPX_EACH(ASK_STOP, conn)
	TCPX_SLOTS_DO(SLOT_TRAVELS, slot_stop, ctx)
	callback_flags(ctx, conn, 0, ask_done(ctx, conn) | (any_listens(conn) ? 0 : TCPX_PARSE));
	watch_tell(ctx, conn);
}

/* All is said, and the peer's first data, which could correct the SYN-ACK's answer, is here. */
static __always_inline void ask_settled(struct tcpx_conn *conn, bool data)
{
	if (!conn->silent && data && !any_speaks(conn))
		conn->silent = TCPX_SILENT;
}

/*
 * May this segment of a connection carry options? Stops asking when not. `own`: this scope does the
 * work; others do not know all extensions that have something to say.
 */
static __always_inline bool ask_wanted(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, bool own)
{
	bool retransmission, done = false;
	enum tcpx_silence why;

	if (conn->silent || (own && !any_speaks(conn))) { /* all is said, or answered */
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

/* Space for what an extension has to say. */
#define ASK_RESERVE(ID, name, ctx, conn, reserved)                                                 \
	if (TCPX_USES(ID) && slice_speaks(&name##_extension, conn)) {                              \
		union tcpx_option o;                                                               \
                                                                                                   \
		ask_option(ctx, TCPX_EXT_##ID, &name##_extension, conn, &o);                       \
		if (o.all && put_reserve(ctx, TCPX_EXT_##ID, &o))                                  \
			(reserved) |= 1 << TCPX_EXT_##ID;                                          \
	}

/* HDR_OPT_LEN of a connection's own segments. */
__noinline int ask_segment(struct bpf_sock_ops *ctx)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = conn_of(ctx);
	__u16 reserved = 0;
	bool own;

	if (!conn)
		return 0;
	own = conn->scope == config.scope;
	conn->unasked = 0;
	TCPX_CALL(segment, ctx, conn)
	/* another scope's program ends the asking, too, should the owner be gone */
	if (!ask_wanted(ctx, conn, own)) {
		conn->reserved = 0; /* or what others reserve would be taken for ours */
		watch_tell(ctx, conn);
		return 0;
	}
	if (!own)
		return 0;
	TCPX_EACH(ASK_RESERVE, ctx, conn, reserved)
	TCPX_SLOTS(SLOT_RESERVE, ctx, conn, reserved)
	/* those without options as well: a listener's flags have to go, too */
	if (conn->since_ns && ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS)
		conn->segments++;
	conn->reserved = reserved;
	watch_tell(ctx, conn);
	return 0;
}

#define ASK_WRITE(ID, name, ctx, conn, written)                                                    \
	if (TCPX_USES(ID) && conn->reserved & 1 << TCPX_EXT_##ID) {                                \
		union tcpx_option o;                                                               \
                                                                                                   \
		ask_option(ctx, TCPX_EXT_##ID, &name##_extension, conn, &o);                       \
		if (o.all && put_write(ctx, TCPX_EXT_##ID, &o, put_most(&name##_extension)))       \
			(written) |= 1 << TCPX_EXT_##ID;                                           \
	}

#define ASK_SAID(ID, name, conn, written)                                                          \
	if (name##_extension.said && written & ~conn->written & 1 << TCPX_EXT_##ID)                \
		name##_extension.said(conn);

/* WRITE_HDR_OPT: what was reserved a moment ago. */
__noinline int ask_segment_write(struct bpf_sock_ops *ctx)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = conn_of(ctx);
	__u16 written = 0;

	if (!conn || conn->scope != config.scope)
		return 0;
	TCPX_EACH(ASK_WRITE, ctx, conn, written)
	TCPX_SLOTS(SLOT_WRITE, ctx, conn, written)
	TCPX_EACH(ASK_SAID, conn, written)
	conn->written |= written;
	watch_tell(ctx, conn);
	return 0;
}

#endif
