// SPDX-License-Identifier: MIT
/* Every hook, and everything that a hook may call, of version 1 of tcpx_ext.h as it was first:
 * nothing here ever changes, and every tcpx with that version loads it. */
#include "tcpx_ext-1.h"

#define SOL_SOCKET 1
#define SO_PRIORITY 12
#define FLAGS (BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG)

static int limited(struct bpf_sock_ops *ctx, __u32 slot, __u32 asked)
{
	__u32 most = tcpx_value(TCPX_ACCEPT, 0);

	return asked > most ? most : asked;
}

TCPX_HOOK(listen)
{
	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, 0);
}

TCPX_HOOK(start)
{
	if (tcpx_opened() && tcpx_active(TCPX_ASK))
		tcpx_speak(1);
	return tcpx_listen(tcpx_rule(TCPX_ACCEPT) & TCPX_FORCE);
}

TCPX_HOOK(say)
{
	tcpx_put8(0, 1);
	tcpx_put16(1, tcpx_value(TCPX_ASK, 0));
	return tcpx_put32(3, tcpx_word(2));
}

TCPX_HOOK(say_syn_ack)
{
	return tcpx_put8(0, arg ? tcpx_get8(0) : 0);
}

TCPX_HOOK(see)
{
	tcpx_set_word(1, tcpx_get32(0) + tcpx_get16(0) + tcpx_header() + arg);
	return 0;
}

TCPX_HOOK(promise)
{
	return limited(ctx, slot, arg);
}

TCPX_HOOK(decide)
{
	return tcpx_word(1) > 9 ? TCPX_REFUSE_RULE : limited(ctx, slot, arg);
}

TCPX_HOOK(answered)
{
	tcpx_count(TCPX_COUNT_RECEIVED);
	return tcpx_exchange(TCPX_OUR_ANSWER);
}

TCPX_HOOK(established)
{
	if (tcpx_active(TCPX_LOCAL) && !tcpx_has_outcome())
		tcpx_apply(SOL_SOCKET, SO_PRIORITY, tcpx_value(TCPX_LOCAL, 1));
	return tcpx_want(FLAGS);
}

TCPX_HOOK(again)
{
	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, 0);
}

TCPX_HOOK(rtt)
{
	return tcpx_done(BPF_SOCK_OPS_RTT_CB_FLAG);
}

TCPX_HOOK(rto)
{
	return tcpx_set_word(3, tcpx_word(3) + 1);
}

TCPX_HOOK(state)
{
	tcpx1_news(ctx, slot, 1);
	return tcpx_done(FLAGS);
}

TCPX_HOOK(reply)
{
	return -1;
}
