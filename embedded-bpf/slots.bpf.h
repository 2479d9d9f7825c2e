/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Extensions that tcpx does not ship, as the core sees them: by slots, which are empty in the
 * ordinary object (tcpx.bpf.c), and have what follows in the one that scopes with rules for such
 * extensions get (tcpx-slots.bpf.c).
 *
 * Their code is linked to ours and does not know struct tcpx_conn. What they keep of a connection
 * is in a map of the slot's (ext-slot/state.bpf.h), so whoever has no rule for the connection costs
 * nothing. What the core has to know without a look there are bits in struct tcpx_conn.
 *
 * What is done for a slot is one global function for all of them, with its number: a program with
 * one extension has it once. What no rule uses (config.uses) verifiers leave out there, too.
 */
#ifndef TCPX_SLOTS_BPF_H
#define TCPX_SLOTS_BPF_H

#include "maps.bpf.h"

#ifdef TCPX_WITH_SLOTS

#include "ext-slot/maps.bpf.h"

/* Behind the site's table, so to say: what other layouts read comes first in .rodata. */
const volatile struct tcpx_slot_config slots = {};

#define SLOT_ID(n) TCPX_EXT_SLOT##n = TCPX_SLOT_FIRST + n,
enum slot_ext { TCPX_EACH_SLOT(SLOT_ID) };

#define SLOT_EXT(n) (TCPX_SLOT_FIRST + (n))
#define SLOT_USED(n) (uses & 1U << SLOT_EXT(n))
#define SLOT_HAS(n, HOOK) (slots.at[n].hooks & 1U << TCPX_HOOK_##HOOK)
/* Has it the hook, in a scope that uses it? A constant, where n is one. */
#define SLOT_CALLS(n, HOOK) (SLOT_USED(n) && SLOT_HAS(n, HOOK))

#define SLOT_DO(n, IS, of, ...)                                                                    \
	if (SLOT_USED(n) && IS(n))                                                                 \
		of(__VA_ARGS__, n);
#define SLOT_CALL(n, ctx, HOOK)                                                                    \
	if (SLOT_CALLS(n, HOOK))                                                                   \
		slot_called(ctx, TCPX_HOOK_##HOOK, n);
/*
 * The same as a statement of its own. Nested, so that slots behind the last one that is used are
 * one piece of dead code: verifiers take each piece out by itself, and move all that follows.
 */
/* clang-format off */
#define TCPX_SLOTS(DO, ...) \
	{ const __u32 uses = config.uses; DO(0, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(1)) { DO(1, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(2)) { DO(2, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(3)) { DO(3, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(4)) { DO(4, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(5)) { DO(5, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(6)) { DO(6, ##__VA_ARGS__) \
	if (uses >> SLOT_EXT(7)) { DO(7, ##__VA_ARGS__) }}}}}}} }
/* clang-format on */
/* of(..., n) for each that is used, and of which IS(n) says yes: constants, so that what a slot
 * does not need costs no connection a look at its state. */
#define TCPX_SLOTS_DO(IS, of, ...) TCPX_SLOTS(SLOT_DO, IS, of, __VA_ARGS__)
/* Its hook, where that needs nothing of us. */
#define TCPX_SLOTS_CALL(ctx, HOOK) TCPX_SLOTS(SLOT_CALL, ctx, HOOK)

#define SLOT_ANY(n) true
#define SLOT_ASKS(n) (slots.at[n].flags & TCPX_SLOT_ASKS)
/* Has it something that travels? */
#define SLOT_TRAVELS(n) (slots.at[n].flags & (TCPX_SLOT_ASKS | TCPX_SLOT_SAYS))
#define SLOT_BEGINS(n) (SLOT_TRAVELS(n) || SLOT_HAS(n, START))
#define SLOT_SETTLES(n) (SLOT_ASKS(n) || SLOT_HAS(n, ESTABLISHED))
#define SLOT_UNDOES(n) SLOT_HAS(n, AGAIN)
#define SLOT_WANTS(n) (SLOT_HAS(n, RTT) || SLOT_HAS(n, RTO) || SLOT_HAS(n, STATE))

#define SLOTS_SPEAK(conn) ((conn)->slots_speak)
#define SLOTS_PENDING(conn) ((conn)->slots_pending)
#define SLOTS_LOOK(conn) ((conn)->slots_look)
#define SLOTS_LISTEN(conn) ((conn)->slots_listen || (!(conn)->silent && (conn)->slots_await))

#define SLOT_OR_WANTS(n) || (SLOT_USED(n) && SLOT_WANTS(n))
#define TCPX_SLOTS_WANT(ctx)                                                                       \
	{                                                                                          \
		const __u32 uses = config.uses;                                                    \
                                                                                                   \
		if (false TCPX_EACH_SLOT(SLOT_OR_WANTS))                                           \
			slot_rewant(ctx);                                                          \
	}

#define SLOT_KNOWS(n, kind_) || (slots.at[n].kind && slots.at[n].kind == (kind_))
#define SLOTS_KNOW(kind) (false TCPX_EACH_SLOT(SLOT_KNOWS, kind))

#define SLOT_REPLIES(n) || SLOT_CALLS(n, REPLY)
#define SLOTS_REPLY()                                                                              \
	({                                                                                         \
		const __u32 uses = config.uses;                                                    \
                                                                                                   \
		false TCPX_EACH_SLOT(SLOT_REPLIES);                                                \
	})

/* What core and slots call of each other, see ext-slot/. */
int slot_renew(struct bpf_sock_ops *ctx, __u32 n);
int slot_undo(struct bpf_sock_ops *ctx, __u32 n);
int slot_begin(struct bpf_sock_ops *ctx, __u32 n);
int slot_judge(struct bpf_sock_ops *ctx, __u32 n);
int slot_adopt(struct bpf_sock_ops *ctx, __u32 n);
int slot_room(struct bpf_sock_ops *ctx, __u32 used, __u32 n);
int slot_settle(struct bpf_sock_ops *ctx, __u32 local, __u32 n);
int slot_stop(struct bpf_sock_ops *ctx, __u32 n);
int slot_reserve(struct bpf_sock_ops *ctx, __u32 n);
int slot_write(struct bpf_sock_ops *ctx, __u32 n);
int slot_called(struct bpf_sock_ops *ctx, __u32 hook, __u32 n);
int slot_rewant(struct bpf_sock_ops *ctx);

#else

#define TCPX_EACH_SLOT(DO, ...)
#define TCPX_SLOTS(DO, ...)
#define TCPX_SLOTS_DO(IS, of, ...)
#define TCPX_SLOTS_CALL(ctx, HOOK)
#define SLOTS_SPEAK(conn) false
#define SLOTS_PENDING(conn) false
#define SLOTS_LOOK(conn) false
#define SLOTS_LISTEN(conn) false
#define SLOTS_KNOW(kind) false
#define SLOTS_REPLY() false
#define TCPX_SLOTS_WANT(ctx)

#endif

#endif
