// SPDX-License-Identifier: MIT
/* A request and its answer: the priority of what the server sends, up to the accept rule's value.
 */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_PRIORITY 12

static int most(struct bpf_sock_ops *ctx, __u32 slot, __u32 asked)
{
	__u32 limit = tcpx_value(TCPX_ACCEPT, 0);

	return asked < limit ? asked : limit;
}

TCPX_HOOK(promise)
{
	return most(ctx, slot, arg);
}

TCPX_HOOK(decide)
{
	int priority = most(ctx, slot, arg);

	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, priority) ? TCPX_REFUSE_KERNEL : priority;
}

/* The client takes what it was granted for itself, too. */
TCPX_HOOK(answered)
{
	tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, arg);
	return 0;
}
