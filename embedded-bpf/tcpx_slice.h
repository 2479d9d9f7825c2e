/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What an extension that is built in is to the core; for others see tcpx_ext.h. Its slice,
 *ext/NAME.bpf.h, ends with
 *
 *	static const struct tcpx_extension NAME_extension = {.hook = NAME_hook, ...};
 *
 * and the core calls what stands there; a hook that is left out does nothing. The table is gone
 * when the compiler is done: hooks are inlined where they are called, and what no rule of a scope
 * uses (config.uses) verifiers remove.
 *
 * The state of an extension is struct tcpx_NAME_conn of ext/NAME.h, in conn->states.NAME. It begins
 * with struct tcpx_rules, which the core fills from the rules that match; take() keeps the values.
 * Nothing else of a rule is there after the callback that it was found in.
 *
 * What else there may be: ext/NAME_live.bpf.h, see below; and ext/NAME_list.bpf.h, whose
 * NAME_list(struct tcpx_NAME_conn *state, void *tp) completes the copy of the state that
 * `tcpx connections` gets by what the socket has now. It only reads. And programs of other types,
 * which system calls on sockets run (bind, connect, getpeername, setsockopt, ...): an object of its
 * own, ext/NAME_sock.bpf.c, see sock.bpf.h.
 *
 * Run: bpf_setsockopt() may be called in those with (set), never for TCP_NODELAY. What costs
 *program runs says so. ctx->sk is there unless a line says otherwise.
 */
#ifndef TCPX_SLICE_H
#define TCPX_SLICE_H

#include <stdbool.h>
#include <linux/bpf.h>
#include "tcpx_shared.h"

struct tcpx_hits;

/* The most bytes of an option that need no buffer of their own. */
#define TCPX_SHORT_OPTION 8

union tcpx_option {
	__u64 all; /* 0: nothing */
	__u64 words[TCPX_OPTION_WORDS];
	__u8 bytes[TCPX_OPTION_WORDS * 8]; /* kind, length, ... */
};

struct tcpx_extension {
	/* Its exchanges of asking and answering (exchange.bpf.h), as places in struct tcpx_conn: of
	 * our request, and of the peer's. The same where only one side may ask. 0: none. */
	__u16 ours;
	__u16 peers;
	/* Kind of its option; that of experiments: by config.exids. 0: it has none. */
	__u8 kind;
	/* Bytes of its longest option; 0: TCPX_SHORT_OPTION at most. */
	__u8 longest;
	/* Bytes of what it says on a SYN-ACK. */
	__u8 syn_ack_len;
	/* Kinds of rules that have a say on a SYN-ACK: 1 << TCPX_KIND_ASK, ... */
	__u8 syn_ack_kinds;
	/* It is said on a SYN-ACK whatever the SYN has. */
	bool unasked;

	/* Kinds of rules of its own, behind the common ones: how many, and where in struct
	 * tcpx_conn its struct tcpx_own_rules is. Those rules have neither an outcome nor an id
	 * there. */
	__u8 own_kinds;
	__u16 own;

	/* A rule of this kind is the connection's from now on: keeps its value. Where our request
	 * and the peer's share an exchange, `asked` may hold the ask rule's value: those rules have
	 * to be for connections that this side opens. */
	void (*take)(struct tcpx_conn *conn, __u32 kind, const struct tcpx_rule *rule);
	/* The socket connects again: what is of the last attempt goes. Left out: all of it. */
	void (*renew)(struct tcpx_conn *conn);
	/* The same, and what is set on the socket: `tp` is a tcp_sock (set). Before renew(), and
	 * once for an attempt, so that what start() of an inner scope sets stays. */
	void (*again)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, void *tp);

	/* A socket listens (set). */
	void (*listen)(struct bpf_sock_ops *ctx);
	/* A connection that we open, before its SYN; or that was accepted, before the peer's
	 * options are looked at (set). */
	void (*start)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);
	/* What the kernel asks: TIMEOUT_INIT, RWND_INIT, NEEDS_ECN (ctx->op). Returns the answer;
	 * -1: no opinion. No connection is there before its rules are looked up. */
	int (*reply)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);

	/* Has it something to say on segments, beside its exchanges? While an extension has, each
	 * segment runs the program twice. */
	bool (*speaks)(const struct tcpx_conn *conn);
	/* What, for this segment: twice the same, for the space and for the bytes. Left out: what
	 * the exchange has to say. */
	void (*say)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, union tcpx_option *o);
	/* It stands on a segment for the first time. */
	void (*said)(struct tcpx_conn *conn);
	/* A segment is about to leave (set), while speaks() or waits() says so. */
	void (*segment)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);
	/* Is it to see segments though nothing is to be said? */
	bool (*waits)(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn);
	/* Of several syn_ack_kinds, the rule that has its say on a SYN-ACK; NULL: none. Of one
	 * kind it is left out. There is neither a socket nor a connection, as for the next two. */
	const struct tcpx_rule *(*syn_ack_rule)(const struct tcpx_hits *hits);
	/* What is said there, decided once. `h` has what the SYN asks. */
	void (*say_syn_ack)(const struct tcpx_handover *h, const struct tcpx_rule *rule,
			    union tcpx_option *o);
	/* An option of its kind that is of no exchange, on a SYN that is being answered. */
	void (*see_syn)(struct tcpx_handover *h, __u32 role, const __u8 *option, __u32 len);

	/* Is it interested in the handshake's options, beside requests that it may grant? */
	bool (*looks)(const struct tcpx_conn *conn);
	/* And in those of later segments, beside an answer? Runs the program for each segment with
	 * an option that the kernel does not know. */
	bool (*listens)(const struct tcpx_conn *conn);
	/* An option of its kind that is of no exchange; `role` is 0 unless it is an experiment. Up
	 * to 5 bytes behind `option` may be read, or as many as `len` was compared with. */
	void (*see)(struct tcpx_conn *conn, __u32 role, const __u8 *option, __u32 len);
	/* All options of a header were seen: conn->header.flags says which. */
	void (*judge)(struct tcpx_conn *conn);
	/* The same, where nothing of the handshake may be missing any more (set). */
	void (*adopt)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);
	/* Is something that the peer has said still to be applied? */
	bool (*pending)(const struct tcpx_conn *conn);

	/* The handshake is complete, or pending() has said so later (set). `local`: a Fast Open
	 * server before the third ACK, where a peer is granted nothing yet. first() of all
	 * extensions runs before established() of any. */
	void (*first)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, bool local);
	void (*established)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, bool local);

	/* A sample of the RTT, a retransmission time-out, a change of state (args[0] to args[1]),
	 * each while callback_flags() has its flag set: a run of the program each. (set) */
	void (*rtt)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);
	void (*rto)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);
	void (*state)(struct bpf_sock_ops *ctx, struct tcpx_conn *conn);

	/* For a watcher: what has come of ours, of the peer's, beside the exchange; true: `e` says
	 * it. And why the peer's request was refused: enum tcpx_watch_reason. */
	bool (*tell_ours)(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
			  struct tcpx_watched_news *e);
	bool (*tell_peers)(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
			   struct tcpx_watched_news *e);
	__u8 (*refusal)(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn);
	/* An answer that refuses. */
	__u16 refused;
	/* News that are no exchange's: are there any, what, and they are told. */
	bool (*has_news)(const struct tcpx_conn *conn);
	void (*tell)(const struct tcpx_conn *conn, struct tcpx_watched_news *e);
	void (*told)(struct tcpx_conn *conn);
};

/* Of connections that exist: ext/NAME_live.bpf.h. `tp` is the socket (set), and there is no
 * context. Those return enum tcpx_live_result. */
struct tcpx_live_order;
struct tcpx_live_target;

struct tcpx_live_extension {
	/* The rule of the order is the connection's from now on. */
	int (*set)(void *tp, struct tcpx_conn *conn, const struct tcpx_live_order *order,
		   struct tcpx_live_target *target);
	/* After set(): says it to the peer again, where that differs. Returns enum tcpx_live_said.
	 */
	int (*say)(void *tp, struct tcpx_conn *conn, const struct tcpx_live_order *order,
		   struct tcpx_live_target *target);
	/* Asks again, for an order that is about that alone. */
	int (*ask)(void *tp, struct tcpx_conn *conn, const struct tcpx_live_order *order,
		   struct tcpx_live_target *target);
	/* Gives back what it had; `all`: what peers were granted, too. Sets *err when the kernel
	 * refuses. */
	int (*undo)(void *tp, struct tcpx_conn *conn, bool all, int *err);
};

#endif
