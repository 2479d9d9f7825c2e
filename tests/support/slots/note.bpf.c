// SPDX-License-Identifier: MIT
/*
 * An option of a kind of its own, 4 bytes of body: on the SYN, on the SYN-ACK as the reply, and on
 * later segments. What the peer says becomes the socket's mark; a first sample of the RTT its
 * priority.
 */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_PRIORITY 12
#define SO_MARK 36

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} note_samples SEC(".maps");

TCPX_HOOK(say)
{
	tcpx_put32(0, tcpx_value(TCPX_ASK, 0));
	return 0;
}

/* The SYN's own, and one more. */
TCPX_HOOK(say_syn_ack)
{
	if (arg) {
		tcpx_put16(0, tcpx_get16(0));
		tcpx_put8(2, tcpx_get8(2));
		tcpx_put8(3, tcpx_get8(3) + 1);
	}
	return 0;
}

TCPX_HOOK(see)
{
	tcpx_set_word(0, tcpx_get32(0));
	tcpx_setsockopt(SOL_SOCKET, SO_MARK, tcpx_word(0));
	return 0;
}

TCPX_HOOK(established)
{
	if (tcpx_active(TCPX_LOCAL))
		tcpx_want(BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG);
	return 0;
}

TCPX_HOOK(rtt)
{
	__u64 *samples;
	__u32 zero = 0;

	samples = bpf_map_lookup_elem(&note_samples, &zero);
	if (samples)
		__sync_fetch_and_add(samples, 1);
	tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, tcpx_value(TCPX_LOCAL, 0));
	tcpx_done(BPF_SOCK_OPS_RTT_CB_FLAG);
	return 0;
}

TCPX_HOOK(state)
{
	if (ctx->args[1] == BPF_TCP_CLOSE)
		tcpx_count(TCPX_COUNT_CLAMPED);
	return 0;
}
