// SPDX-License-Identifier: MIT
/*
 * The receiver says how long it delays an ACK at most, in milliseconds, and keeps to it; the sender
 * need not wait longer than that, and the round trip, before it sends a lost segment again. After
 * the example of the kernel's own series, "BPF TCP header options" of 2020 (test_tcp_hdr_options).
 */
#include "tcpx_ext.h"

#define SOL_TCP 6
#define MS 1000
#define LEAST 5
#define MOST 200

/* Values of a rule, as extension.toml has them. */
#define DELAY 0
#define MARGIN 1

/* Words that the connection keeps: the peer's longest delay. */
#define THEIRS 0

TCPX_HOOK(say)
{
	return tcpx_put16(0, tcpx_value(TCPX_ASK, DELAY));
}

/* The server's SYN-ACK, whether the SYN has the option or not. */
TCPX_HOOK(say_syn_ack)
{
	return tcpx_put16(0, tcpx_value(TCPX_ASK, DELAY));
}

/* SYN or SYN-ACK, and segments that repeat what stands there. */
TCPX_HOOK(see)
{
	__u32 delay = tcpx_get16(0);

	if (delay < LEAST || delay > MOST)
		return tcpx_count(TCPX_COUNT_MALFORMED);
	tcpx_set_word(THEIRS, delay);
	return 0;
}

/* Our minimum: what the peer may wait for, and the margin of the rule. */
static __always_inline void lower(struct bpf_sock_ops *ctx, __u32 slot, __u32 delay)
{
	__u32 least = delay + tcpx_value(TCPX_ACCEPT, MARGIN);

	tcpx_count(TCPX_COUNT_RECEIVED);
	if (least <= MOST)
		tcpx_setsockopt(SOL_TCP, TCP_BPF_RTO_MIN, least * MS);
	else
		tcpx_count(TCPX_COUNT_KEPT); /* it is no less than Linux's own */
}

TCPX_HOOK(established)
{
	if (tcpx_active(TCPX_ASK))
		tcpx_setsockopt(SOL_TCP, TCP_BPF_DELACK_MAX, tcpx_value(TCPX_ASK, DELAY) * MS);
	if (tcpx_active(TCPX_ACCEPT) && tcpx_word(THEIRS))
		lower(ctx, slot, tcpx_word(THEIRS));
	return 0;
}
