/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What goes on a SYN-ACK. A request socket has no storage, so it is decided from the
 * rules and the SYN, once for reserving and writing, in the per-CPU slot.
 */
#ifndef TCPX_SYN_ACK_BPF_H
#define TCPX_SYN_ACK_BPF_H

#include "handover.bpf.h"
#include "put.bpf.h"
#include "signed.bpf.h"
#include "walk.bpf.h"
#ifdef TCPX_WITH_SLOTS
#include "ext-slot/syn_ack.bpf.h"
#endif

#define TCPX_ENOENT 2

/*
 * A SYN-ACK that the timer or a repeated SYN sends again has no SYN at hand; a
 * saved one has no MAC header. Either way the kernel says ENOENT.
 */
static __always_inline bool syn_ack_again(struct bpf_sock_ops *ctx)
{
	__u8 probe[1];

	return bpf_getsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_SYN_MAC, probe, sizeof(probe)) ==
	       -TCPX_ENOENT;
}

/* An experiment on the SYN: a request, or what an extension looks at itself. */
static __always_inline void syn_ack_see(struct tcpx_handover *h, __u32 ext,
					const struct tcpx_extension *x, const __u8 *option,
					__u32 len, __u16 exid)
{
	if (x->peers && exid == config.exids[ext][TCPX_ROLE_ASK])
		exchange_see(&h->asks[ext], &h->asked[ext], option, len);
	else if (x->see_syn && exid == config.exids[ext][TCPX_ROLE_ASK])
		x->see_syn(h, TCPX_ROLE_ASK, option, len);
	else if (x->see_syn && exid == config.exids[ext][TCPX_ROLE_OWN])
		x->see_syn(h, TCPX_ROLE_OWN, option, len);
}

/* Can a rule of this scope say something on a SYN-ACK? */
#define SYN_ACK_MAY(ID, name) (name##_extension.syn_ack_kinds & config.kinds_from[TCPX_EXT_##ID])
#define SYN_ACK_OR_MAY(ID, name) || SYN_ACK_MAY(ID, name)

static __always_inline bool syn_ack_may(void)
{
	return false TCPX_EACH(SYN_ACK_OR_MAY) TCPX_EACH_SLOT(SLOT_OR_MAY);
}

#define SYN_ACK_SEE(ID, name, h, option, len, exid)                                                \
	if (SYN_ACK_MAY(ID, name) && name##_extension.kind == TCPX_OPTION_EXP)                     \
		syn_ack_see(h, TCPX_EXT_##ID, &name##_extension, option, len, exid);

#define SYN_ACK_SEE_OTHER(ID, name, h, option)                                                     \
	if (name##_extension.see_syn && name##_extension.kind != TCPX_OPTION_EXP &&                \
	    SYN_ACK_MAY(ID, name) && option[0] == name##_extension.kind)                           \
		name##_extension.see_syn(h, 0, option, option[1]);

/* What the SYN asks for. Global: see receive_header(). */
__noinline int syn_ack_look(struct bpf_sock_ops *ctx)
{
	struct tcpx_handover *h = handover_slot();

	if (!h)
		return 0;
	header_of_syn(ctx, &h->syn);
	if (h->syn.len)
		h->sequence = *(__u32 *)&h->syn.bytes[4];
	header_walk(&h->syn);
	for (int i = 0; i < TCPX_EXPERIMENTS_MAX && i < h->syn.experiments; i++) {
		const __u8 *option = header_option(&h->syn, h->syn.experiment_at[i]);
		__u16 exid = option_exid(option);
		__u32 len = option[1];

		if (exid) {
			TCPX_EACH(SYN_ACK_SEE, h, option, len, exid)
		}
		TCPX_SLOTS(SLOT_SEE_SYN, h, h->syn.experiment_at[i])
	}
	for (int i = 0; i < TCPX_OTHERS_MAX && i < h->syn.others; i++) {
		const __u8 *option = header_option(&h->syn, h->syn.other_at[i]);

		TCPX_EACH(SYN_ACK_SEE_OTHER, h, option)
		TCPX_SLOTS(SLOT_SEE_SYN, h, h->syn.other_at[i])
	}
	return 0;
}

/* The rule that has its say there. */
static __always_inline const struct tcpx_rule *syn_ack_rule(const struct tcpx_hits *hits, __u32 ext,
							    const struct tcpx_extension *x)
{
	if (x->syn_ack_rule)
		return x->syn_ack_rule(hits);
	return policy_rule(hits, ext,
			   x->syn_ack_kinds & 1 << TCPX_KIND_ACCEPT ? TCPX_KIND_ACCEPT
								    : TCPX_KIND_ASK);
}

#define SYN_ACK_RULE(ID, name, hits) syn_ack_rule(hits, TCPX_EXT_##ID, &name##_extension)

#define SYN_ACK_SLOT(ID, name, hits, slots)                                                        \
	if (SYN_ACK_MAY(ID, name) && SYN_ACK_RULE(ID, name, hits))                                 \
		(slots) |= 1 << TCPX_EXT_##ID;

/* Those whose option depends on the SYN. */
#define SYN_ACK_ASKED(ID, name) | (name##_extension.unasked ? 0 : 1 << TCPX_EXT_##ID)

/* With Fast Open's data nothing is promised before the third ACK. */
#define SYN_ACK_DECIDE(ID, name, ctx, h, hits, slots)                                              \
	if (SYN_ACK_MAY(ID, name) && (slots)&1 << TCPX_EXT_##ID &&                                 \
	    (name##_extension.unasked || !((h)->syn.flags & TCPX_HEADER_FAST_OPEN)))               \
		syn_ack_decide_one(ctx, h, TCPX_EXT_##ID, &name##_extension,                       \
				   SYN_ACK_RULE(ID, name, hits));

static __always_inline void syn_ack_decide_one(struct bpf_sock_ops *ctx, struct tcpx_handover *h,
					       __u32 ext, const struct tcpx_extension *x,
					       const struct tcpx_rule *rule)
{
	__u32 most = put_most(x);
	union tcpx_option o;

	if (!x->say_syn_ack || !rule_active(rule))
		return;
	put_clear(&o, most);
	x->say_syn_ack(h, rule, &o);
	if (!o.all)
		return;
	if (ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB ? !put_reserve(ctx, ext, &o)
						   : !put_write(ctx, ext, &o, most))
		return;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TCPX_OPTION_WORDS; i++)
		if (i * 8 < most)
			h->options[ext][i] = o.words[i];
}

/* What this SYN-ACK says is decided, and room for it is taken. */
static __always_inline void syn_ack_decide(struct bpf_sock_ops *ctx, struct tcpx_handover *h)
{
	const __u32 asked = 0 TCPX_EACH(SYN_ACK_ASKED) TCPX_EACH_SLOT(SLOT_OR_ASKED);
	__u32 found = 0, decided;
	struct tcpx_policy_key key;
	struct tcpx_hits hits;

	if (!policy_hits(ctx, TCPX_DIRECTION_FROM, &key, &hits) || syn_ack_again(ctx) ||
	    signed_syn(ctx)) /* the connection has a socket, and knows more */
		return;
	TCPX_EACH(SYN_ACK_SLOT, &hits, found)
	TCPX_SLOTS(SLOT_SYN_ACK_SLOT, &hits, found)
	decided = handover_slots(ctx, h, found);
	barrier();
	found = h->slots & ~decided; /* in memory verifiers do not follow them: see passive() */
	if (found & asked)
		syn_ack_look(ctx);
	TCPX_EACH(SYN_ACK_DECIDE, ctx, h, &hits, found)
	TCPX_SLOTS(SLOT_SYN_ACK_DECIDE, ctx, h, &hits, found)
}

#define SYN_ACK_WRITE(ID, name, ctx, h)                                                            \
	if (SYN_ACK_MAY(ID, name) && (h)->options[TCPX_EXT_##ID][0])                               \
		syn_ack_write_one(ctx, h, TCPX_EXT_##ID, put_most(&name##_extension));
static __always_inline void syn_ack_write_one(struct bpf_sock_ops *ctx,
					      const struct tcpx_handover *h, __u32 ext, __u32 most)
{
	union tcpx_option o;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TCPX_OPTION_WORDS; i++)
		if (i * 8 < most)
			o.words[i] = h->options[ext][i];
	put_write(ctx, ext, &o, most);
}

/* HDR_OPT_LEN and WRITE_HDR_OPT of a SYN-ACK: a request socket, which has no storage. */
__noinline int syn_ack(struct bpf_sock_ops *ctx)
{
	struct tcpx_handover *h = handover_slot();

	/* with SYN cookies every repetition is a first one: our data will have to say it */
	if (!syn_ack_may() || !h || ctx->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE)
		return 0;
	if (handover_enter(h)) {
		if (ctx->op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB && handover_is_ours(ctx, h)) {
			h->op = 0; /* said now: the next may be to the same address and port */
			TCPX_EACH(SYN_ACK_WRITE, ctx, h)
			TCPX_SLOTS(SLOT_SYN_ACK_WRITE, ctx, h)
		} else {
			syn_ack_decide(ctx, h);
		}
	}
	handover_leave(h);
	return 0;
}

#endif
