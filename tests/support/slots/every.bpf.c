// SPDX-License-Identifier: MIT
/* Every hook, with everything that a hook may call: for verifiers, and for the names that may never
 * go. */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_PRIORITY 12
#define FLAGS (BPF_SOCK_OPS_RTT_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG)

/* What a hook may have of the stack, with what it calls: as much as tcpx_ext.h says. */
#ifdef STACK
#define USES_STACK                                                                                 \
	char room[STACK];                                                                          \
                                                                                                   \
	__builtin_memset(room, 0, sizeof(room));                                                   \
	asm volatile("" ::"r"(room) : "memory");
#else
#define USES_STACK
#endif

static int limited(struct bpf_sock_ops *ctx, __u32 slot, __u32 asked)
{
	__u32 most = tcpx_value(TCPX_ACCEPT, 0);

	return asked > most ? most : asked;
}

TCPX_HOOK(listen)
{
	USES_STACK
	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, 0);
}

TCPX_HOOK(start)
{
	USES_STACK
	if (tcpx_opened() && tcpx_active(TCPX_ASK))
		tcpx_speak(1);
	return tcpx_listen(tcpx_rule(TCPX_ACCEPT) & TCPX_FORCE);
}

TCPX_HOOK(say)
{
	USES_STACK
	tcpx_put8(0, 1);
	tcpx_put16(1, tcpx_value(TCPX_ASK, 0));
	return tcpx_put32(3, tcpx_word(2));
}

TCPX_HOOK(say_syn_ack)
{
	USES_STACK
	return tcpx_put8(0, arg ? tcpx_get8(0) : 0);
}

TCPX_HOOK(see)
{
	USES_STACK
	tcpx_set_word(1, tcpx_get32(0) + tcpx_get16(0) + tcpx_header() + arg);
	return 0;
}

TCPX_HOOK(promise)
{
	USES_STACK
	return limited(ctx, slot, arg);
}

TCPX_HOOK(decide)
{
	USES_STACK
	return tcpx_word(1) > 9 ? TCPX_REFUSE_RULE : limited(ctx, slot, arg);
}

TCPX_HOOK(judge)
{
	USES_STACK
	return arg > tcpx_value(TCPX_ASK, 0) ? TCPX_MALFORMED : 0;
}

TCPX_HOOK(answered)
{
	USES_STACK
	tcpx_count(TCPX_COUNT_RECEIVED);
	return tcpx_exchange(TCPX_OUR_ANSWER);
}

TCPX_HOOK(established)
{
	USES_STACK
	if (tcpx_active(TCPX_LOCAL) && !tcpx_has_outcome())
		tcpx_apply(SOL_SOCKET, SO_PRIORITY, tcpx_value(TCPX_LOCAL, 1));
	return tcpx_want(FLAGS);
}

TCPX_HOOK(again)
{
	USES_STACK
	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, 0);
}

TCPX_HOOK(rtt)
{
	USES_STACK
	return tcpx_done(BPF_SOCK_OPS_RTT_CB_FLAG);
}

TCPX_HOOK(rto)
{
	USES_STACK
	return tcpx_set_word(3, tcpx_word(3) + 1);
}

TCPX_HOOK(state)
{
	USES_STACK
	tcpx1_news(ctx, slot, 1);
	return tcpx_done(FLAGS);
}

TCPX_HOOK(reply)
{
	USES_STACK
	return -1;
}

TCPX_HOOK(live_set)
{
	int present = 0;

	USES_STACK
	if (!tcpx_getsockopt(SOL_SOCKET, SO_PRIORITY, &present))
		tcpx_set_word(0, present);
	if (tcpx_opened() && tcpx_exchange(TCPX_OUR_REQUEST) && tcpx_active(TCPX_LOCAL))
		tcpx_count(TCPX_COUNT_KEPT);
	return tcpx_has_outcome() ?: tcpx_apply(SOL_SOCKET, SO_PRIORITY, tcpx_value(TCPX_LOCAL, 0));
}

TCPX_HOOK(live_undo)
{
	USES_STACK
	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, tcpx_word(0));
}
