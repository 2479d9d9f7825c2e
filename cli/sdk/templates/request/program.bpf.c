// SPDX-License-Identifier: MIT
/*
 * @NAME@: the client asks for a priority, the server grants as much of it as its rule allows, and
 * both sockets have what was granted (SO_PRIORITY of socket(7)).
 */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_PRIORITY 12

/* The values of the rules, as extension.toml numbers them. */
#define VALUE_MAX 1

static __always_inline int granted(struct bpf_sock_ops *ctx, __u32 slot, __u32 asked)
{
	__u32 max = tcpx_value(TCPX_ACCEPT, VALUE_MAX);

	return asked < max ? asked : max;
}

/* The server: what its SYN-ACK will answer to `arg`. */
TCPX_HOOK(promise)
{
	return granted(ctx, slot, arg);
}

/* The server: the same, now that there is a socket to apply it to. */
TCPX_HOOK(decide)
{
	int priority = granted(ctx, slot, arg);

	return tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, priority) ? TCPX_REFUSE_KERNEL : priority;
}

/* The client: `arg` is the answer. */
TCPX_HOOK(answered)
{
	tcpx_setsockopt(SOL_SOCKET, SO_PRIORITY, arg);
	return 0;
}
