/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the core is to know of an extension in a slot without a look at its state: bits of struct
 * tcpx_conn. */
#ifndef TCPX_SLOT_NOTE_BPF_H
#define TCPX_SLOT_NOTE_BPF_H

#include "../exchange.bpf.h"

static __always_inline void slot_bit(__u8 *bits, __u32 n, bool set)
{
	*bits = (*bits & ~(1 << n)) | (set ? 1 << n : 0);
}

/* Puts down what the core asks of it. After whatever may have changed that. `flags`: enum
 * tcpx_slot_flag; of what does not travel, nothing is looked for. */
static __always_inline void slot_note(struct tcpx_conn *conn, __u32 n,
				      const struct tcpx_slot_conn *s, __u8 flags)
{
	const struct tcpx_exchange *ours = &s->ours, *peers = &s->peers;

	slot_bit(&conn->slots_speak, n, s->says || exchange_speaks(ours) || exchange_speaks(peers));
	slot_bit(&conn->slots_pending, n, peers->state == TCPX_REQUEST_PENDING);
	slot_bit(&conn->slots_listen, n, s->listens);
	slot_bit(&conn->slots_await, n, exchange_listens(ours));
	slot_bit(&conn->slots_look, n,
		 flags & (TCPX_SLOT_ASKS | TCPX_SLOT_SAYS) &&
			 (rules_active(&s->rules, TCPX_KIND_ASK) ||
			  rules_active(&s->rules, TCPX_KIND_LOCAL) ||
			  rules_active(&s->rules, TCPX_KIND_ACCEPT)));
}

#endif
