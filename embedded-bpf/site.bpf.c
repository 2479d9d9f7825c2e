// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What the site has agreed on, for all commands of this host. Programs do not look here: they have
 * it in their config.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "tcpx_shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_site);
} site SEC(".maps");
