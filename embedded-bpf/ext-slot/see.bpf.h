/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the peer's options say to an extension in a slot, and what comes of it. */
#ifndef TCPX_SLOT_SEE_BPF_H
#define TCPX_SLOT_SEE_BPF_H

#include "../walk.bpf.h"
#include "say.bpf.h"

/* Its own option: where it stands, and whether it may be as long as that. */
static __always_inline void slot_saw(struct tcpx_slot_conn *s, __u32 n, __u8 at, __u32 len)
{
	if (n >= TCPX_SLOT_COUNT)
		return;
	/* a wrong length is as bad as twice */
	s->seen = len >= slot_of(n)->least && len <= slot_of(n)->most && !s->seen ? 1 : 2;
	s->seen_at = at;
	s->seen_len = len;
}

/* An experiment of the header under examination. */
static __always_inline void slot_experiment(struct tcpx_slot_conn *s, __u32 n, __u8 at,
					    const __u8 *option)
{
	__u16 exid = option_exid(option);

	if (!exid)
		return;
	if (exid == slot_exid(n, TCPX_ROLE_ASK))
		exchange_see(&s->peers.ask_seen, &s->peers.ask_bits, option, option[1]);
	else if (exid == slot_exid(n, TCPX_ROLE_ANSWER))
		exchange_see(&s->ours.answer_seen, &s->ours.answer_bits, option, option[1]);
	else if (exid == slot_exid(n, TCPX_ROLE_OWN))
		slot_saw(s, n, at, option[1]);
}

/* Which of its options stand there. */
static __always_inline void slot_look(struct tcpx_slot_conn *s, __u32 n, struct tcpx_header *h)
{
	s->seen = 0;
	for (int i = 0; i < TCPX_EXPERIMENTS_MAX && i < h->experiments; i++)
		slot_experiment(s, n, h->experiment_at[i], header_option(h, h->experiment_at[i]));
	for (int i = 0; i < TCPX_OTHERS_MAX && i < h->others; i++) {
		const __u8 *option = header_option(h, h->other_at[i]);

		if (n < TCPX_SLOT_COUNT && slot_of(n)->kind && option[0] == slot_of(n)->kind)
			slot_saw(s, n, h->other_at[i], option[1]);
	}
}

/* Of promise() and judge(): TCPX_MALFORMED of tcpx_ext.h. */
#define SLOT_MALFORMED -2

/* All options of a header were noted: see receive_judge(). */
__noinline int slot_judge(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 ext = SLOT_EXT(n);
	enum exchange_when when = EXCHANGE_OPENING;
	__u8 state;
	bool refuses, sound;

	if (!s || !conn)
		return 0;
	slot_look(s, n, &conn->header);
	if (slot_flag(n, TCPX_SLOT_ANY_TIME))
		when = EXCHANGE_ANY_TIME;
	if (s->peers.ask_seen) {
		s->promise = slot_hook_promise(ctx, n, s->peers.ask_bits);
		exchange_take_ask(conn, ext, &s->rules, &s->peers,
				  s->peers.ask_bits != slot_of(n)->refused &&
					  s->promise != SLOT_MALFORMED,
				  when, s->promise >= 0);
	}
	if (s->ours.answer_seen) {
		refuses = s->ours.answer_bits == slot_of(n)->refused;
		state = s->ours.state;
		sound = slot_hook_judge(ctx, n, s->ours.answer_bits) != SLOT_MALFORMED;
		exchange_take_answer(conn, ext, &s->ours, sound && !refuses, sound && refuses);
		if (s->ours.state != state)
			s->answered = 1;
	}
	if (s->seen > 1)
		conn_malformed(conn, ext);
	else if (s->seen)
		slot_hook_see(ctx, n, s->seen_len - slot_head(n));
	s->seen = s->seen_len = 0; /* the bytes will be others' in a moment */
	slot_note(conn, n, s, slot_of(n)->flags);
	return 0;
}

/* The peer has answered: here it may be applied. */
__noinline int slot_adopt(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);

	if (!s || !s->answered)
		return 0;
	s->answered = 0;
	slot_hook_answered(ctx, n, s->ours.answer);
	return 0;
}

/* See receive_room(); returns what is used by now. */
__noinline int slot_room(struct bpf_sock_ops *ctx, __u32 used, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);

	if (!s || n >= TCPX_SLOT_COUNT)
		return used;
	if (s->peers.state == TCPX_REQUEST_PENDING ||
	    (slot_flag(n, TCPX_SLOT_UNASKED) && rules_active(&s->rules, TCPX_KIND_ASK)))
		used += slot_of(n)->syn_ack_len;
	if (used > TCPX_SYN_ACK_ROOM)
		s->peers.promised = 0;
	return used;
}

/* The peer's request is decided: the hook's answer, or -1 and -enum tcpx_watch_reason. */
static __always_inline void slot_decide(struct bpf_sock_ops *ctx, __u32 n, struct tcpx_conn *conn,
					struct tcpx_slot_conn *s)
{
	int answer = -TCPX_REASON_NOT_ALLOWED;
	__u16 refused = slot_of(n)->refused;
	bool granted;

	if (rules_active(&s->rules, TCPX_KIND_ACCEPT))
		answer = slot_hook_decide(ctx, n, s->peers.asked);
	granted = answer >= 0 && (__u16)answer != refused;
	s->reason = answer < -1 ? -answer : TCPX_REASON_NOT_ALLOWED;
	exchange_decide(conn, SLOT_EXT(n), &s->peers, granted ? answer : refused, granted,
			s->promise);
}

/* The handshake is complete, or a request came later. */
__noinline int slot_settle(struct bpf_sock_ops *ctx, __u32 local, __u32 n)
{
	struct tcpx_slot_conn *s = slot_state(ctx, n);
	struct tcpx_conn *conn = conn_of(ctx);

	if (!s || !conn)
		return 0;
	if (!local && s->peers.state == TCPX_REQUEST_PENDING)
		slot_decide(ctx, n, conn, s);
	slot_hook_established(ctx, n, local);
	slot_note(conn, n, s, slot_of(n)->flags);
	return 0;
}

#define SLOT_ROOM(n, ctx, used)                                                                    \
	if (SLOT_USED(n) && SLOT_TRAVELS(n))                                                       \
		(used) = slot_room(ctx, used, n);

#endif
