/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What hooks of extensions in slots may call: the option that is seen, or said. See access.bpf.h.
 */
#ifndef TCPX_SLOT_ACCESS_OPTION_BPF_H
#define TCPX_SLOT_ACCESS_OPTION_BPF_H

#include "syn_ack.bpf.h"

/* One byte of an option's body, 0 behind its end. */
static __always_inline __u32 slot_byte(const __u8 *bytes, __u32 at, __u32 end)
{
	if (at >= end)
		return 0;
	barrier_var(at);
	return at < sizeof(((struct tcpx_header *)0)->bytes) ? bytes[at] : 0;
}

/* What stands in the option that is being seen, `size` bytes from `at` of its body on, in network
 * order. */
__noinline int tcpx1_get(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 size)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_handover *h;
	const __u8 *bytes;
	__u32 begin, end, value = 0;

	if (slot >= TCPX_SLOT_COUNT || at >= TCPX_HEADER_MAX || size < 1 || size > 4)
		return 0;
	if (s && conn) {
		bytes = conn->header.bytes;
		begin = s->seen_at;
		end = begin + s->seen_len;
	} else {
		h = ctx->is_fullsock ? NULL : handover_slot();
		if (!h || h->asks[TCPX_SLOT_FIRST + slot_index(slot)] != 1)
			return 0;
		bytes = h->syn.bytes;
		begin = h->notes[TCPX_SLOT_FIRST + slot_index(slot)];
		end = begin + *header_option(&h->syn, begin + 1);
	}
	at += (begin & 63) + slot_head(slot);
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 4; i++)
		if (i < size)
			value = value << 8 | slot_byte(bytes, at + i, end);
	return value;
}

/* Puts `size` bytes of the value at `at` of the body of the option that is being said. -1: they do
 * not fit. */
__noinline int tcpx1_put(struct bpf_sock_ops *ctx, __u32 slot, __u32 at, __u32 size, __u32 value)
{
	struct tcpx_slot_conn *s = slot_state(ctx, slot);
	struct slot_rule *kept = NULL;
	struct tcpx_handover *h;
	__u8 *out, len;

	if (slot >= TCPX_SLOT_COUNT || at >= TCPX_HEADER_MAX || size < 1 || size > 4)
		return -1;
	at += slot_head(slot);
	if (at + size > slot_of(slot)->most || at + size > sizeof(union tcpx_option)) {
		slot_misfit(slot, TCPX_SLOT_COUNTER_LONG, at + size);
		return -1;
	}
	if (s) {
		out = (__u8 *)s->out;
		len = s->out_len;
	} else {
		h = ctx->is_fullsock ? NULL : handover_slot();
		kept = slot_rule();
		if (!h || !kept || kept->slot != slot)
			return -1;
		out = (__u8 *)h->options[TCPX_SLOT_FIRST + slot_index(slot)];
		len = kept->len;
	}
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 4; i++) {
		__u32 to = at + i;

		barrier_var(to);
		if (i < size && to < sizeof(union tcpx_option))
			out[to] = value >> 8 * (size - 1 - i);
	}
	if (len < at + size)
		len = at + size;
	if (s)
		s->out_len = len;
	else if (kept)
		kept->len = len;
	return 0;
}

#endif
