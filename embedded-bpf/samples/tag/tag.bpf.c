// SPDX-License-Identifier: MIT
/*
 * An option of its own, two bytes behind its head: the client says a tag, the server answers with
 * the tag that it has taken, or 0, and marks the connection with it (SO_MARK).
 */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_MARK 36

/* Values of a rule, as extension.toml has them. */
#define TAG 0
#define MAX 1

/* Words that the connection keeps: what the peer has said. */
#define THEIRS 0

/* What the accept rule's --max makes of a tag. */
static __always_inline __u32 taken(struct bpf_sock_ops *ctx, __u32 slot, __u32 tag)
{
	return tag <= tcpx_value(TCPX_ACCEPT, MAX) ? tag : 0;
}

/* On the client's SYN, and on its segments until the first byte is acknowledged. */
TCPX_HOOK(say)
{
	return tcpx_put16(0, tcpx_value(TCPX_ASK, TAG));
}

/* On the server's SYN-ACK, in reply to a SYN that has the option. There is no connection yet. */
TCPX_HOOK(say_syn_ack)
{
	return arg ? tcpx_put16(0, taken(ctx, slot, tcpx_get16(0))) : 0;
}

/* The peer's: on its SYN or SYN-ACK, and at the server on the segments that repeat it. */
TCPX_HOOK(see)
{
	return tcpx_set_word(THEIRS, tcpx_get16(0));
}

TCPX_HOOK(established)
{
	__u32 tag = tcpx_word(THEIRS);

	if (tcpx_opened() || !tag || !tcpx_active(TCPX_ACCEPT))
		return 0;
	tcpx_count(TCPX_COUNT_RECEIVED);
	if (taken(ctx, slot, tag))
		tcpx_setsockopt(SOL_SOCKET, SO_MARK, tag);
	else
		tcpx_count(TCPX_COUNT_KEPT);
	return 0;
}
