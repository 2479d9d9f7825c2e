/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What `tcpx connections` is told of extensions in slots: behind the record of each socket, one for
 * each slot whose map is there. */
#ifndef TCPX_SLOT_LIST_BPF_H
#define TCPX_SLOT_LIST_BPF_H

#include "maps.bpf.h"

const volatile struct tcpx_list_slots slots = {};

TCPX_EACH_SLOT(SLOT_MAP)

/* Not on the stack, which the socket's own record has filled. Every command has an object of its
 * own: one user at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_listed_slot);
} slot_records SEC(".maps");

static __always_inline void list_slot(struct tcpx_listed_slot *r, const struct tcpx_slot_conn *s,
				      bool by_hand)
{
	list_copy(&r->owner, sizeof(r->owner), &s->owner);
	list_copy(&r->rules, sizeof(r->rules), &s->rules);
	list_copy(&r->ours, sizeof(r->ours), &s->ours);
	list_copy(&r->peers, sizeof(r->peers), &s->peers);
	list_copy(r->value, sizeof(r->value), s->value);
}

#define LIST_SLOT(n, seq, tp, sk, by_hand)                                                         \
	if (slots.used & 1U << n) {                                                                \
		const struct tcpx_slot_conn *s = NULL;                                             \
                                                                                                   \
		__builtin_memset(r, 0, sizeof(*r));                                                \
		if (sk)                                                                            \
			s = by_hand ? storage_by_hand(sk, slots.ids[n])                            \
				    : bpf_sk_storage_get(&slot##n, tp, NULL, 0);                   \
		if (s)                                                                             \
			list_slot(r, s, by_hand);                                                  \
		bpf_seq_write(seq, r, sizeof(*r));                                                 \
	}

/* `sk`: NULL for a listener, which has no rules. */
static __always_inline void list_slots(struct seq_file *seq, struct tcp_sock *tp, struct sock *sk,
				       bool by_hand)
{
	struct tcpx_listed_slot *r;
	__u32 zero = 0;

	r = bpf_map_lookup_elem(&slot_records, &zero);
	if (!r)
		return;
	TCPX_EACH_SLOT(LIST_SLOT, seq, tp, sk, by_hand)
}

#endif
