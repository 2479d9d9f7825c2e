/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Options that have not the length that they are described with: for their authors. */
#ifndef TCPX_SLOT_MISFIT_BPF_H
#define TCPX_SLOT_MISFIT_BPF_H

#include "../maps.bpf.h"

/* Counts one, and puts down how many bytes it had, kind and length included: of this CPU's the
 * longest. `counter`: enum tcpx_slot_counter. Global: see count_apart(). */
__noinline int slot_misfit(__u32 n, __u32 counter, __u32 bytes)
{
	__u64 at = n, zero = 0;
	struct tcpx_counters *c = bpf_map_lookup_elem(&counters, &zero);
	__u64 *count;

	barrier_var(at);
	if (!c || at >= TCPX_SLOT_COUNT)
		return 0;
	count = c->count[TCPX_SLOT_FIRST + at];
	if (counter == TCPX_SLOT_COUNTER_LONG) {
		__sync_fetch_and_add(&count[TCPX_SLOT_COUNTER_LONG], 1);
		if (count[TCPX_SLOT_COUNTER_LONG_BYTES] < bytes)
			count[TCPX_SLOT_COUNTER_LONG_BYTES] = bytes;
	} else {
		__sync_fetch_and_add(&count[TCPX_SLOT_COUNTER_SHORT], 1);
		if (count[TCPX_SLOT_COUNTER_SHORT_BYTES] < bytes)
			count[TCPX_SLOT_COUNTER_SHORT_BYTES] = bytes;
	}
	return 0;
}

#endif
