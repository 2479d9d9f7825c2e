/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Connections as the sock_ops programs know them: one pinned map, used by several objects. */
#ifndef TCPX_CONNS_BPF_H
#define TCPX_CONNS_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "tcpx_shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tcpx_conn);
} conns SEC(".maps");

/* Who opened a connection; BOTH: its handshake was not seen. */
static __always_inline __u8 conn_direction(__u64 attempt_ns, __u32 received)
{
	if (attempt_ns)
		return TCPX_DIRECTION_TO;
	return received ? TCPX_DIRECTION_FROM : TCPX_DIRECTION_BOTH;
}

#endif
