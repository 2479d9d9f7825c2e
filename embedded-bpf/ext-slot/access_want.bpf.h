/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What hooks of extensions in slots may call: what they want to be called for. See access.bpf.h. */
#ifndef TCPX_SLOT_ACCESS_WANT_BPF_H
#define TCPX_SLOT_ACCESS_WANT_BPF_H

#include "state.bpf.h"

/* Has it an option of its own to say, from now on? Each segment runs the program twice, until our
 * first byte is acknowledged. */
__noinline int tcpx1_speak(struct bpf_sock_ops *ctx, __u32 slot, __u32 on)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);

	/* with a request alone it may want to see what leaves */
	if (!s || !conn || !slot_flag(slot, TCPX_SLOT_SAYS | TCPX_SLOT_ASKS))
		return -1;
	s->says = on != 0;
	slot_note(conn, slot & 7, s, slot_of(slot)->flags);
	return 0;
}

/* Is it to see the peer's on later segments, too? See tcpx_slice.h, listens. */
__noinline int tcpx1_listen(struct bpf_sock_ops *ctx, __u32 slot, __u32 on)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn || !slot_flag(slot, TCPX_SLOT_SAYS | TCPX_SLOT_ASKS))
		return -1;
	s->listens = on != 0;
	slot_note(conn, slot & 7, s, slot_of(slot)->flags);
	return 0;
}

#define SLOT_WANTABLE (BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG | TCPX_STATE)

#define SLOT_WANTED(n, ctx, wanted)                                                                \
	if (SLOT_USED(n) && SLOT_WANTS(n)) {                                                       \
		struct tcpx_slot_conn *s = slot_state(ctx, n);                                     \
                                                                                                   \
		if (s)                                                                             \
			(wanted) |= s->wants;                                                      \
	}

/* All that slots want of this socket; sets it again where the core has cleared what is its own,
 * too. */
__noinline int slot_rewant(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 wanted = 0;

	if (!conn)
		return 0;
	TCPX_SLOTS(SLOT_WANTED, ctx, wanted)
	wanted &= SLOT_WANTABLE;
	if (wanted & ~ctx->bpf_sock_ops_cb_flags)
		callback_flags(ctx, conn, wanted, 0);
	return wanted;
}

/* Callbacks of this socket that it wants from now on: RTT, RTO, STATE, the kernel's flags. */
__noinline int tcpx1_want(struct bpf_sock_ops *ctx, __u32 slot, __u32 flags)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);

	if (!s || flags & ~SLOT_WANTABLE)
		return -1;
	s->wants |= flags;
	slot_rewant(ctx);
	return 0;
}

/* And those that it has had enough of. What other slots want stays; STATE belongs to the core until
 * the handshake is complete, and costs a run or two when the connection ends. */
__noinline int tcpx1_done(struct bpf_sock_ops *ctx, __u32 slot, __u32 flags)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 wanted;

	if (!s || !conn)
		return -1;
	s->wants &= ~flags;
	wanted = slot_rewant(ctx);
	if (!conn->since_ns || conn->fast_open)
		flags &= ~TCPX_STATE;
	callback_flags(ctx, conn, 0, flags & ~wanted & SLOT_WANTABLE);
	return 0;
}

#endif
