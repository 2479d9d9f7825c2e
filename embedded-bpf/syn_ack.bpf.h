/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What goes on a SYN-ACK. A request socket has no storage, so it is decided from the
 * rules and the SYN, once for reserving and writing, in the per-CPU slot.
 */
#ifndef TCPX_SYN_ACK_BPF_H
#define TCPX_SYN_ACK_BPF_H

#include "handover.bpf.h"
#include "put.bpf.h"
#include "receive.bpf.h"
#include "signed.bpf.h"

#define TCPX_ENOENT 2

/* The kind of rule that speaks on a SYN-ACK: advertising asks, requests are answered. */
#define ASK_SLOT(ext) ((ext) == TCPX_EXT_UTO ? TCPX_KIND_ASK : TCPX_KIND_ACCEPT)

/* What an extension has to say on a SYN-ACK, from the rules and the SYN. */
static __always_inline void ask_option_syn_ack(const struct tcpx_handover *h, enum tcpx_ext ext,
					       const struct tcpx_rule *rule, union tcpx_option *o)
{
	__u16 asked = h->asked[ext];
	bool asks = h->asks[ext] == 1;

	o->all = 0;
	if (!rule_active(rule))
		return;
	switch (ext) {
	case TCPX_EXT_UTO:
		uto_option(rule, o);
		break;
	case TCPX_EXT_CC_REQUEST:
		if (asks)
			request_bytes(config.site.exids.cc_answer, cc_promise(rule, asked), o);
		break;
	case TCPX_EXT_IW:
		if (asks && iw_valid(asked))
			request_bytes(config.site.exids.iw_answer, iw_promise(rule, asked), o);
		break;
	case TCPX_EXT_ACK:
		if (h->tarr == TCPX_TARR_CAPABLE_LEN)
			tarr_bytes(TCPX_TARR_CAPABLE_LEN, 0, o);
		else if (!tarr_asks(rule) && asks && asked)
			request_bytes(config.site.exids.ack_answer, ack_bounded(rule, asked), o);
		break;
	default:
		break;
	}
}

static __always_inline bool ask_put(struct bpf_sock_ops *ctx, enum tcpx_ext ext,
				    const union tcpx_option *o)
{
	return ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB ? ask_reserve(ctx, ext, o)
						      : ask_write(ctx, ext, o);
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

static __always_inline void ask_see(struct tcpx_handover *h, const __u8 *option)
{
	__u16 exid = option[2] << 8 | option[3];
	enum tcpx_ext ext;

	if (exid == config.site.exids.cc_ask)
		ext = TCPX_EXT_CC_REQUEST;
	else if (exid == config.site.exids.iw_ask)
		ext = TCPX_EXT_IW;
	else if (exid == config.site.exids.ack_ask)
		ext = TCPX_EXT_ACK;
	else if (exid == config.site.exids.tarr)
		return tarr_see(&h->tarr, option[1]);
	else
		return;
	request_see(&h->asks[ext], &h->asked[ext], option, option[1]);
}

/* What was reserved a moment ago. */
static __always_inline void ask_syn_ack_write(struct bpf_sock_ops *ctx, struct tcpx_handover *h)
{
	union tcpx_option o;

	h->op = 0; /* it is said now: the next SYN-ACK may be to the same address and port */
#pragma clang loop unroll(full)
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		o.all = h->options[ext];
		if (o.all)
			ask_write(ctx, ext, &o);
	}
}

/* What the SYN asks for. Global: see receive_judge(). */
__noinline int ask_syn(struct bpf_sock_ops *ctx)
{
	struct tcpx_handover *h = handover_slot();

	if (!h)
		return 0;
	header_of_syn(ctx, &h->syn);
	if (h->syn.len)
		h->sequence = *(__u32 *)&h->syn.bytes[4];
	header_walk(&h->syn);
	for (int i = 0; i < TCPX_EXPERIMENTS_MAX && i < h->syn.experiments; i++)
		ask_see(h, header_option(&h->syn, h->syn.experiment_at[i]));
	return 0;
}

/* The rule that has a say on a SYN-ACK. */
static __always_inline const struct tcpx_rule *ask_syn_ack_rule(const struct tcpx_hits *hits,
								enum tcpx_ext ext)
{
	const struct tcpx_rule *rule = policy_rule(hits, ext, ASK_SLOT(ext)), *ask;

	if (ext != TCPX_EXT_ACK || rule_active(rule))
		return rule;
	ask = policy_rule(hits, ext, TCPX_KIND_ASK); /* with TARR both roles announce it */
	return tarr_asks(ask) ? ask : rule;
}

/* What this SYN-ACK says is decided, and room for it is taken. */
static __always_inline void ask_syn_ack_decide(struct bpf_sock_ops *ctx, struct tcpx_handover *h)
{
	struct tcpx_policy_key key;
	union tcpx_option o;
	struct tcpx_hits hits;
	__u32 slots = 0, decided;

	if (!policy_hits(ctx, TCPX_DIRECTION_FROM, &key, &hits) || ask_syn_ack_again(ctx) ||
	    signed_syn(ctx)) /* the connection has a socket, and knows more */
		return;
/* 5.10 takes no loop whose end falls through to its beginning, as clang lays this one out */
#pragma clang loop unroll(full)
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		if (ask_syn_ack_rule(&hits, ext))
			slots |= 1 << ext;
	}
	decided = handover_slots(ctx, h, slots);
	barrier();
	slots = h->slots & ~decided; /* in memory verifiers do not follow them: see passive() */
	if (slots & ~(1 << TCPX_EXT_UTO))
		ask_syn(ctx);
#pragma clang loop unroll(full)
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		/* with Fast Open's data nothing is promised before the third ACK */
		if (!(slots & 1 << ext) || (h->syn.fast_open && ext != TCPX_EXT_UTO))
			continue;
		ask_option_syn_ack(h, ext, ask_syn_ack_rule(&hits, ext), &o);
		if (o.all && ask_put(ctx, ext, &o))
			h->options[ext] = o.all;
	}
}

/* HDR_OPT_LEN and WRITE_HDR_OPT of a SYN-ACK: a request socket, which has no storage. */
__noinline int ask_syn_ack(struct bpf_sock_ops *ctx)
{
	struct tcpx_handover *h = handover_slot();

	/* with SYN cookies every repetition is a first one: our data will have to say it */
	if (!h || ctx->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE)
		return 0;
	if (handover_enter(h)) {
		if (ctx->op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB && handover_is_ours(ctx, h))
			ask_syn_ack_write(ctx, h);
		else
			ask_syn_ack_decide(ctx, h);
	}
	handover_leave(h);
	return 0;
}

#endif
