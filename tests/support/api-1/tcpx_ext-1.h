/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * For extensions that tcpx does not ship. This file is all of tcpx that they need:
 *
 *	clang -g -O2 -target bpf -mcpu=v3 -c pace.bpf.c -o pace.o
 *
 *	#include "tcpx_ext.h"
 *
 *	TCPX_HOOK(established)
 *	{
 *		if (tcpx_active(TCPX_LOCAL) && !tcpx_has_outcome())
 *			tcpx_apply(SOL_SOCKET, SO_MAX_PACING_RATE, tcpx_value(TCPX_LOCAL, 0));
 *		return 0;
 *	}
 *
 * An object has hooks, maps (not static), data, and functions of its own (static). It has no
 * programs, and no section "license": what it is linked to is "Dual MIT/GPL". Names that are not
 * static are shared with all that is in a scope.
 *
 * Rules, their values, and asking and answering are tcpx's: an extension says what is done with
 * them. A hook runs where a rule of the extension is the connection's, TCPX_HOOK(listen) wherever
 * a socket listens. Each has `ctx`, `slot` and `arg`; its own functions that call what stands here
 * need `ctx` and `slot`. What a connection keeps is 16 words, tcpx_word(). A hook has 128 bytes of
 * the stack, and verifiers count 8 calls, of which it is the fifth: its functions are best static
 * __always_inline.
 *
 * tcpx_setsockopt() may be called in hooks with (set), never for TCP_NODELAY. An extension's own
 * option has a kind of its own, or is an experiment (254) with an identifier: its description says
 * that. tcpx puts and reads these; the hooks see what stands behind them.
 */
#ifndef TCPX_EXT_H
#define TCPX_EXT_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/*
 * The hooks. They return 0 unless it says otherwise.
 *
 * listen: a socket listens; it has no rules yet (set)
 * start: a connection that we open, before its SYN; or that was accepted, before the peer's options
 * are looked at (set)
 * say: puts its own option together, tcpx_put8() and so on, for a segment
 * say_syn_ack: the same for a SYN-ACK: there is no connection, only the rule that has a say there.
 * `arg` 1: the SYN has the option, and tcpx_get8() and so on read it
 * see: the peer's header has its own option, once; `arg`: bytes of it that tcpx_get8() reads
 * promise: what a SYN-ACK answers to the request `arg`, from the accept rule's value alone; -1:
 * nothing. It is called once more for the connection
 * decide: the peer's request `arg`; returns the answer when it is applied, or TCPX_REFUSE_... (set)
 * answered: the peer has answered our request: `arg` (set)
 * established: the handshake is complete, or a request has come later. `arg` 1: Fast Open before
 * the third ACK. Scopes in one another may all call it (set)
 * again: the socket connects again, and what was set for the last connection goes (set)
 * rtt: a sample of the RTT, after tcpx_want() (set)
 * rto: a retransmission time-out, after tcpx_want() (set)
 * state: a change from ctx->args[0] to ctx->args[1], after tcpx_want() (set)
 * reply: what the kernel asks: ctx->op is TIMEOUT_INIT, RWND_INIT or NEEDS_ECN. Returns it; -1: no
 * opinion
 */
#define TCPX_HOOK(name)                                                                            \
	int tcpx1_slot0_##name(struct bpf_sock_ops *ctx, __u32 slot, __u32 arg);                   \
	int tcpx1_slot0_##name(struct bpf_sock_ops *ctx, __u32 slot, __u32 arg)

/* Kinds of rules. */
#define TCPX_ASK 0
#define TCPX_LOCAL 1
#define TCPX_ACCEPT 2

/* tcpx_rule(): flags of the rule that a connection has; 0: none. */
#define TCPX_SET 1
#define TCPX_NONE 2  /* it exempts the connection */
#define TCPX_FORCE 4 /* it overrides the application's own choice, too */

/* What decide() may return. */
#define TCPX_REFUSE_RULE -2	   /* our rule does not allow it */
#define TCPX_REFUSE_APPLICATION -3 /* it has chosen itself */
#define TCPX_REFUSE_KERNEL -6	   /* it did not take it */

/* tcpx_count() */
#define TCPX_COUNT_RECEIVED 1
#define TCPX_COUNT_APPLIED 2
#define TCPX_COUNT_CLAMPED 3
#define TCPX_COUNT_KEPT 7
#define TCPX_COUNT_MALFORMED 8

/* tcpx_outcome(): what has come of the local rule. */
#define TCPX_APPLIED 1
#define TCPX_KEPT_APPLICATION 2
#define TCPX_KEPT_KERNEL 6

/* tcpx_exchange(): our request, the answer to it, the peer's, and ours to that. */
#define TCPX_OUR_REQUEST 0
#define TCPX_OUR_ANSWER 1
#define TCPX_THEIR_REQUEST 2
#define TCPX_THEIR_ANSWER 3
#define TCPX_GRANTED 2 /* tcpx_exchange() >> 16 */
#define TCPX_REFUSED 3

/* tcpx_header() */
#define TCPX_SYN 1   /* that of a connection that was accepted */
#define TCPX_OPENS 8 /* a SYN or a SYN-ACK */

extern int tcpx1_rule(struct bpf_sock_ops *ctx, __u32 slot, __u32 kind);
extern int tcpx1_value(struct bpf_sock_ops *ctx, __u32 slot, __u32 kind, __u32 word);
extern int tcpx1_get(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 size);
extern int tcpx1_put(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 size, __u32 value);
extern int tcpx1_word(struct bpf_sock_ops *ctx, __u32 slot, __u32 at);
extern int tcpx1_set_word(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 value);
extern int tcpx1_count(struct bpf_sock_ops *ctx, __u32 slot, __u32 counter);
extern int tcpx1_error(struct bpf_sock_ops *ctx, __u32 slot, __u32 line, __u32 code);
extern int tcpx1_news(struct bpf_sock_ops *ctx, __u32 slot, __u32 news);
extern int tcpx1_outcome(struct bpf_sock_ops *ctx, __u32 slot, __u32 outcome);
extern int tcpx1_has_outcome(struct bpf_sock_ops *ctx, __u32 slot);
extern int tcpx1_exchange(struct bpf_sock_ops *ctx, __u32 slot, __u32 which);
extern int tcpx1_opened(struct bpf_sock_ops *ctx, __u32 slot);
extern int tcpx1_header(struct bpf_sock_ops *ctx, __u32 slot);
extern int tcpx1_speak(struct bpf_sock_ops *ctx, __u32 slot, __u32 on);
extern int tcpx1_listen(struct bpf_sock_ops *ctx, __u32 slot, __u32 on);
extern int tcpx1_want(struct bpf_sock_ops *ctx, __u32 slot, __u32 flags);
extern int tcpx1_done(struct bpf_sock_ops *ctx, __u32 slot, __u32 flags);

#define tcpx_rule(kind) tcpx1_rule(ctx, slot, kind)
/* Is a rule of the kind there that asks for something, rather than being an exemption? */
#define tcpx_active(kind) ((tcpx_rule(kind) & (TCPX_SET | TCPX_NONE)) == TCPX_SET)
#define tcpx_value(kind, word) ((__u32)tcpx1_value(ctx, slot, kind, word))

/* Of the option that is being seen: `at` counts from behind its head; 0 behind its end. */
#define tcpx_get8(at) ((__u32)tcpx1_get(ctx, slot, at, 1))
#define tcpx_get16(at) ((__u32)tcpx1_get(ctx, slot, at, 2))
#define tcpx_get32(at) ((__u32)tcpx1_get(ctx, slot, at, 4))
/* And of the one that is being said, which grows by it; tcpx puts kind, length and identifier. -1:
 * no room. */
#define tcpx_put8(at, value) tcpx1_put(ctx, slot, at, 1, value)
#define tcpx_put16(at, value) tcpx1_put(ctx, slot, at, 2, value)
#define tcpx_put32(at, value) tcpx1_put(ctx, slot, at, 4, value)

/* Of the connection: 16 words of the extension's own. */
#define tcpx_word(at) ((__u32)tcpx1_word(ctx, slot, at))
#define tcpx_set_word(at, value) tcpx1_set_word(ctx, slot, at, value)

#define tcpx_count(counter) tcpx1_count(ctx, slot, counter)
#define tcpx_outcome(outcome) tcpx1_outcome(ctx, slot, outcome)
#define tcpx_has_outcome() tcpx1_has_outcome(ctx, slot)
#define tcpx_exchange(which) tcpx1_exchange(ctx, slot, which)
#define tcpx_opened() tcpx1_opened(ctx, slot)
#define tcpx_header() tcpx1_header(ctx, slot)
/* It has an option of its own to say from now on, or no longer; and wants to see the peer's on
 * later segments. */
#define tcpx_speak(on) tcpx1_speak(ctx, slot, on)
#define tcpx_listen(on) tcpx1_listen(ctx, slot, on)
/* BPF_SOCK_OPS_RTT_CB_FLAG, ..RTO_CB_FLAG, ..STATE_CB_FLAG: each is a run of the program every
 * time. */
#define tcpx_want(flags) tcpx1_want(ctx, slot, flags)
#define tcpx_done(flags) tcpx1_done(ctx, slot, flags)

/* Sets a socket option of an int; a refusal is counted, and returned. (set) */
#define tcpx_setsockopt(level, name, value)                                                        \
	({                                                                                         \
		int tcpx_value_ = (value);                                                         \
		int tcpx_err_ = bpf_setsockopt(ctx, level, name, &tcpx_value_, sizeof(int));       \
                                                                                                   \
		if (tcpx_err_)                                                                     \
			tcpx1_error(ctx, slot, __LINE__, tcpx_err_);                               \
		else                                                                               \
			tcpx_count(TCPX_COUNT_APPLIED);                                            \
		tcpx_err_;                                                                         \
	})

/* The same, as what comes of the local rule. (set) */
#define tcpx_apply(level, name, value)                                                             \
	tcpx_outcome(tcpx_setsockopt(level, name, value) ? TCPX_KEPT_KERNEL : TCPX_APPLIED)

#endif
