/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What an extension in a slot puts on the segments of a connection. */
#ifndef TCPX_SLOT_SAY_BPF_H
#define TCPX_SLOT_SAY_BPF_H

#include "../put.bpf.h"
#include "misfit.bpf.h"
#include "state.bpf.h"

/* Bytes in front of what its hook puts: kind, length, and for experiments the identifier. */
static __always_inline __u32 slot_head(__u32 n)
{
	return n < TCPX_SLOT_COUNT && slot_of(n)->kind ? 2 : 4;
}

/* Fills in the head of its own option, `len` bytes with it. */
static __always_inline void slot_seal(__u8 *out, __u32 n, __u8 len)
{
	__u16 exid;

	if (n >= TCPX_SLOT_COUNT)
		return;
	out[1] = len;
	if (slot_of(n)->kind) {
		out[0] = slot_of(n)->kind;
		return;
	}
	exid = slot_exid(n, TCPX_ROLE_OWN);
	out[0] = TCPX_OPTION_EXP;
	out[2] = exid >> 8;
	out[3] = exid;
}

static __always_inline void slot_exchange(__u32 n, enum tcpx_role role, __u16 value,
					  union tcpx_option *o)
{
	option_put(o, TCPX_OPTION_EXP, TCPX_EXCHANGE_LEN, slot_exid(n, role), value);
}

/* Of this segment: its own option, or else our request or answer. */
static __always_inline void slot_option(struct bpf_sock_ops *ctx, __u32 n, struct tcpx_slot_conn *s)
{
	union tcpx_option o = {};
	__u8 len;

	put_clear((union tcpx_option *)s->out, sizeof(s->out));
	s->out_len = 0;
	if (s->says)
		slot_hook_say(ctx, n, 0);
	len = s->out_len;
	if (len) {
		if (len < slot_of(n)->least)
			slot_misfit(n, TCPX_SLOT_COUNTER_SHORT, len);
		slot_seal((__u8 *)s->out, n, len);
		return;
	}
	if (s->ours.state == TCPX_REQUEST_ASKED)
		slot_exchange(n, TCPX_ROLE_ASK, s->ours.asked, &o);
	else if (exchange_speaks(&s->peers))
		slot_exchange(n, TCPX_ROLE_ANSWER, s->peers.answer, &o);
	s->out[0] = o.all;
}

/* Space for what it has to say. 1: there is some. */
__noinline int slot_reserve(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);

	if (!s)
		return 0;
	slot_option(ctx, n, s);
	return s->out[0] && put_reserve(ctx, SLOT_EXT(n), (union tcpx_option *)s->out);
}

/* What was reserved a moment ago. 1: it is written. */
__noinline int slot_write(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn || !s->out[0] ||
	    !put_write(ctx, SLOT_EXT(n), (union tcpx_option *)s->out, sizeof(s->out)))
		return 0;
	if (s->out_len && !(conn->written & 1 << SLOT_EXT(n))) /* what nobody answers */
		conn_news(conn, SLOT_EXT(n), TCPX_NEWS_OURS);
	return 1;
}

/* We have stopped talking. */
__noinline int slot_stop(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn)
		return 0;
	exchange_stop(conn, SLOT_EXT(n), &s->ours);
	s->says = 0;
	slot_note(conn, n, s, slot_of(n)->flags);
	return 0;
}

#define SLOT_SPEAKS(n, conn) (SLOT_USED(n) && (conn)->slots_speak & 1 << (n))

/* The lines of ask.bpf.h's tables. */
#define SLOT_CROWDED_OUT(n, conn)                                                                  \
	if (SLOT_SPEAKS(n, conn))                                                                  \
		count_apart(SLOT_EXT(n), TCPX_COUNTER_NO_ROOM);
#define SLOT_CUT_SHORT(n, conn, why)                                                               \
	if (SLOT_SPEAKS(n, conn))                                                                  \
		ask_cut_short(conn, SLOT_EXT(n), why);
#define SLOT_RESERVE(n, ctx, conn, reserved)                                                       \
	if (SLOT_SPEAKS(n, conn) && slot_reserve(ctx, n))                                          \
		(reserved) |= 1 << SLOT_EXT(n);
#define SLOT_WRITE(n, ctx, conn, written)                                                          \
	if (SLOT_USED(n) && (conn)->reserved & 1 << SLOT_EXT(n) && slot_write(ctx, n))             \
		(written) |= 1 << SLOT_EXT(n);

#endif
