/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What an extension in a slot says on a SYN-ACK: syn_ack.bpf.h. There is no connection to keep
 * anything of, so its hooks find the rule where it was put down for them, in the middle of one
 * callback.
 */
#ifndef TCPX_SLOT_SYN_ACK_BPF_H
#define TCPX_SLOT_SYN_ACK_BPF_H

#include "../handover.bpf.h"
#include "say.bpf.h"
#include "see.bpf.h"

/* The rule that has a say on the SYN-ACK that is being made. */
struct slot_rule {
	__u32 slot;
	__u32 kind;
	__u32 flags;
	__u32 len; /* of the option that its hook puts together */
	__u32 value[TCPX_VALUE_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot_rule);
} slot_rules SEC(".maps");

static __always_inline struct slot_rule *slot_rule(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&slot_rules, &zero);
}

#define SLOT_MAY(n) (slots.at[n].syn_ack_kinds & config.kinds_from[SLOT_EXT(n)])
#define SLOT_OR_MAY(n) || SLOT_MAY(n)
#define SLOT_UNASKED(n) (slots.at[n].flags & TCPX_SLOT_UNASKED)
#define SLOT_OR_ASKED(n) | (SLOT_UNASKED(n) ? 0 : 1 << SLOT_EXT(n))

static __always_inline const struct tcpx_rule *slot_syn_ack_rule(const struct tcpx_hits *hits,
								 __u32 n, __u32 kind)
{
	if (!(slots.at[n].syn_ack_kinds & config.kinds_from[SLOT_EXT(n)] & 1U << kind))
		return NULL;
	return policy_rule(hits, SLOT_EXT(n), kind);
}

#define SLOT_SYN_ACK_SLOT(n, hits, found)                                                          \
	if (SLOT_MAY(n) && (slot_syn_ack_rule(hits, n, TCPX_KIND_ACCEPT) ||                        \
			    slot_syn_ack_rule(hits, n, TCPX_KIND_ASK)))                            \
		(found) |= 1 << SLOT_EXT(n);

/* An option of the SYN: a request, or the extension's own. */
static __always_inline void slot_see_syn(struct tcpx_handover *h, __u32 n, __u8 at)
{
	const __u8 *option = header_option(&h->syn, at);
	__u32 ext = SLOT_EXT(n), len = option[1];
	bool experiment = option[0] == TCPX_OPTION_EXP;
	__u16 exid = experiment ? option_exid(option) : 0;

	if (exid && exid == config.exids[ext][TCPX_ROLE_ASK]) {
		exchange_see(&h->asks[ext], &h->asked[ext], option, len);
	} else if (experiment ? exid && exid == config.exids[ext][TCPX_ROLE_OWN]
			      : slots.at[n].kind && option[0] == slots.at[n].kind) {
		h->asks[ext] = !h->asks[ext] && len >= slots.at[n].least && len <= slots.at[n].most
				       ? 1
				       : 2;
		h->notes[ext] = at;
	}
}

#define SLOT_SEE_SYN(n, h, at)                                                                     \
	if (SLOT_MAY(n))                                                                           \
		slot_see_syn(h, n, at);

static __always_inline bool slot_keep(struct slot_rule *kept, __u32 n, __u32 kind,
				      const struct tcpx_rule *rule)
{
	if (!rule)
		return false;
	kept->slot = n;
	kept->kind = kind;
	kept->flags = rule->flags;
	slot_copy(kept->value, rule);
	return true;
}

/* What is said, decided once: by the hook, or by the exchange. */
static __always_inline void slot_syn_ack_option(struct bpf_sock_ops *ctx, __u32 n,
						struct tcpx_handover *h, struct slot_rule *kept,
						__u64 *out)
{
	__u64 ext = TCPX_SLOT_FIRST + slot_index(n);
	union tcpx_option o = {};
	int answer;

	if (slot_flag(n, TCPX_SLOT_ASKS)) {
		answer = h->asks[ext] == 1 && h->asked[ext] != slot_of(n)->refused
				 ? slot_hook_promise(ctx, n, h->asked[ext])
				 : -1;
		if (answer < 0)
			return;
		slot_exchange(n, TCPX_ROLE_ANSWER, answer, &o);
		out[0] = o.all;
		return;
	}
	kept->len = 0;
	slot_hook_say_syn_ack(ctx, n, h->asks[ext] == 1);
	if (!kept->len) {
		out[0] = 0;
		return;
	}
	if (kept->len < slot_of(n)->least)
		slot_misfit(n, TCPX_SLOT_COUNTER_SHORT, kept->len);
	slot_seal((__u8 *)out, n, kept->len);
}

/* The rule stands in slot_rule(). */
__noinline int slot_syn_ack(struct bpf_sock_ops *ctx, __u32 n)
{
	struct tcpx_handover *h = handover_slot();
	struct slot_rule *kept = slot_rule();
	union tcpx_option *o;

	if (!h || !kept || n >= TCPX_SLOT_COUNT || !flags_active(kept->flags))
		return 0;
	o = (union tcpx_option *)h->options[TCPX_SLOT_FIRST + slot_index(n)];
	put_clear(o, sizeof(*o));
	slot_syn_ack_option(ctx, n, h, kept, o->words);
	if (!o->all)
		return 0;
	if (ctx->op == BPF_SOCK_OPS_HDR_OPT_LEN_CB ? !put_reserve(ctx, SLOT_EXT(n), o)
						   : !put_write(ctx, SLOT_EXT(n), o, sizeof(*o)))
		o->all = 0;
	return 0;
}

#define SLOT_SYN_ACK_DECIDE(n, ctx, h, hits, found)                                                \
	if ((found)&1 << SLOT_EXT(n) && SLOT_MAY(n) &&                                             \
	    (SLOT_UNASKED(n) || !((h)->syn.flags & TCPX_HEADER_FAST_OPEN))) {                      \
		struct slot_rule *kept = slot_rule();                                              \
                                                                                                   \
		if (kept && (slot_keep(kept, n, TCPX_KIND_ACCEPT,                                  \
				       slot_syn_ack_rule(hits, n, TCPX_KIND_ACCEPT)) ||            \
			     slot_keep(kept, n, TCPX_KIND_ASK,                                     \
				       slot_syn_ack_rule(hits, n, TCPX_KIND_ASK))))                \
			slot_syn_ack(ctx, n);                                                      \
	}

#define SLOT_SYN_ACK_WRITE(n, ctx, h)                                                              \
	if (SLOT_MAY(n) && (h)->options[SLOT_EXT(n)][0])                                           \
		put_write(ctx, SLOT_EXT(n), (union tcpx_option *)(h)->options[SLOT_EXT(n)],        \
			  sizeof(union tcpx_option));

#endif
