/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The per-CPU slot for the SYN-ACK that is being made. It holds what one callback tells the next:
 * an inner scope's program the outer ones, HDR_OPT_LEN the WRITE_HDR_OPT that follows.
 *
 * Without PREEMPT_RT nothing comes between those on one CPU. With it the thread that makes a
 * SYN-ACK may be preempted anywhere, in the middle of a program too, by one that makes another. So
 * a program takes the slot for itself as long as it runs (handover_enter), and takes what stands
 * there for its own only when addresses, ports, the network namespace where rules look at it, and
 * the SYN's sequence number agree. What is not its own it decides anew.
 */
#ifndef TCPX_HANDOVER_BPF_H
#define TCPX_HANDOVER_BPF_H

#include "options.bpf.h"
#include "policy.bpf.h"
#include "slots.bpf.h"

#define TCPX_CALLBACK_TICKS 1

/* Which SYN-ACK a callback is about. */
struct handover_id {
	__u32 remote[4];
	__u32 local[4];
	__u32 ports;
	__u64 netns;
};

static __always_inline struct tcpx_handover *handover_slot(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&handover, &zero);
}

/*
 * False: a program that this one has preempted is in the middle of it. That SYN-ACK goes out
 * without options then. Adding is one instruction, which nothing on this CPU can split, and all of
 * our programs leave as they have entered; whoever sees 2 keeps off, both if it comes to that.
 */
static __always_inline bool handover_enter(struct tcpx_handover *h)
{
	__sync_fetch_and_add(&h->users, 1);
	return *(volatile __u32 *)&h->users == 1;
}

static __always_inline void handover_leave(struct tcpx_handover *h)
{
	__sync_fetch_and_add(&h->users, -1);
}

static __always_inline void handover_identify(struct bpf_sock_ops *ctx, struct handover_id *id)
{
	__u32 ipv4 = ctx->local_ip4;

	__builtin_memset(id, 0, sizeof(*id));
	policy_address(ctx, id->remote);
	barrier_var(ipv4); /* see policy_address() */
	if (ctx->family == TCPX_AF_INET) {
		id->local[3] = ipv4;
	} else {
		id->local[0] = ctx->local_ip6[0];
		id->local[1] = ctx->local_ip6[1];
		id->local[2] = ctx->local_ip6[2];
		id->local[3] = ctx->local_ip6[3];
	}
	id->ports = ctx->remote_port ^ ctx->local_port << 16;
	if (config.use_netns) /* see policy_key() */
		id->netns = bpf_get_netns_cookie(ctx);
}

static __always_inline bool handover_equal(const __u32 *a, const __u32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Scopes whose rules do not look at the namespace have not noted it. */
static __always_inline bool handover_same(const struct tcpx_handover *h,
					  const struct handover_id *id)
{
	return h->ports == id->ports && handover_equal(h->remote, id->remote) &&
	       handover_equal(h->local, id->local) &&
	       (!h->netns || !id->netns || h->netns == id->netns) &&
	       bpf_jiffies64() - h->at <= TCPX_CALLBACK_TICKS;
}

/* Does this SYN-ACK acknowledge the SYN that was looked at? With Fast Open its data, too. */
static __always_inline bool handover_answers(struct bpf_sock_ops *ctx,
					     const struct tcpx_handover *h)
{
	__u8 *data = ctx->skb_data, *end = ctx->skb_data_end;

	if (!h->sequence || h->syn.flags & TCPX_HEADER_FAST_OPEN)
		return true;
	return data + TCPX_HEADER_MIN <= end &&
	       bpf_ntohl(*(__u32 *)(data + 8)) == bpf_ntohl(h->sequence) + 1;
}

/* Is what stands there what this scope has just reserved for this SYN-ACK? */
static __always_inline bool handover_is_ours(struct bpf_sock_ops *ctx,
					     const struct tcpx_handover *h)
{
	struct handover_id id;

	if (h->scope != config.scope || h->op != BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		return false;
	handover_identify(ctx, &id);
	return handover_same(h, &id) && handover_answers(ctx, h);
}

#define HANDOVER_CLEAR(ID, name, h)                                                                \
	(h)->options[TCPX_EXT_##ID][0] = 0;                                                        \
	(h)->asks[TCPX_EXT_##ID] = (h)->notes[TCPX_EXT_##ID] = 0;

#define HANDOVER_CLEAR_SLOT(n, h)                                                                  \
	(h)->options[SLOT_EXT(n)][0] = 0;                                                          \
	(h)->asks[SLOT_EXT(n)] = (h)->notes[SLOT_EXT(n)] = 0;

/*
 * The slots of a SYN-ACK that inner scopes have decided; adds ours. Without
 * this an inner `none` would not keep an outer scope from asking. Each is called once in a
 * callback: where this one has been the first already, that was another SYN-ACK.
 */
static __always_inline __u32 handover_slots(struct bpf_sock_ops *ctx, struct tcpx_handover *h,
					    __u32 slots)
{
	struct handover_id id;
	__u32 decided = 0;

	handover_identify(ctx, &id);
	if (h->op == ctx->op && h->first != config.scope && handover_same(h, &id))
		decided = h->slots;
	else
		h->first = config.scope;
	h->at = bpf_jiffies64();
	h->op = ctx->op;
	h->ports = id.ports;
	h->netns = id.netns;
	__builtin_memcpy(h->remote, id.remote, sizeof(h->remote));
	__builtin_memcpy(h->local, id.local, sizeof(h->local));
	h->slots = decided | slots;
	h->scope = config.scope;
	TCPX_EACH(HANDOVER_CLEAR, h)
	TCPX_EACH_SLOT(HANDOVER_CLEAR_SLOT, h)
	h->sequence = 0;
	h->syn.flags = 0;
	return decided;
}

#endif
