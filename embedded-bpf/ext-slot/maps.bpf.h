/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What extensions in slots keep of connections: a map each, so the memory of a connection is for
 * what it uses. Pinned for the host, once made. */
#ifndef TCPX_SLOT_MAPS_BPF_H
#define TCPX_SLOT_MAPS_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "../tcpx_shared.h"

#ifdef TCPX_WITH_SLOTS
/* DO(N, ...) for each slot. */
#define TCPX_EACH_SLOT(DO, ...)                                                                    \
	DO(0, ##__VA_ARGS__)                                                                       \
	DO(1, ##__VA_ARGS__)                                                                       \
	DO(2, ##__VA_ARGS__)                                                                       \
	DO(3, ##__VA_ARGS__)                                                                       \
	DO(4, ##__VA_ARGS__)                                                                       \
	DO(5, ##__VA_ARGS__)                                                                       \
	DO(6, ##__VA_ARGS__)                                                                       \
	DO(7, ##__VA_ARGS__)
#endif

#define SLOT_MAP(n)                                                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_SK_STORAGE);                                             \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, int);                                                                  \
		__type(value, struct tcpx_slot_conn);                                              \
	} slot##n SEC(".maps");

#endif
