/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* One walk over the options of a header for all extensions. */
#ifndef TCPX_WALK_BPF_H
#define TCPX_WALK_BPF_H

#include "slices.bpf.h"

#define KNOWN(ID, name, of) || name##_extension.kind == (of)

/* Is it an option of ours, whether this scope uses it or not? */
static __always_inline bool option_known(__u8 kind)
{
	return kind != TCPX_OPTION_EXP && (SLOTS_KNOW(kind) TCPX_EACH(KNOWN, kind));
}

/* Remembers where it stands: telling them apart on the walk costs verifiers too much. Experiments
 * are counted by themselves, so that many of others' keep no option of another kind from being
 * seen. */
static __always_inline void header_note(__u8 *count, __u8 *at, __u32 most, __u8 here)
{
	__u32 n = *count;

	if (n >= most)
		return;
	at[n] = here;
	*count = n + 1;
}

static __always_inline void header_walk(struct tcpx_header *h)
{
	h->flags &= ~(TCPX_HEADER_CROWDED | TCPX_HEADER_FAST_OPEN);
	h->experiments = 0;
	h->others = 0;
	h->at = header_begin(h);
#pragma clang loop unroll_count(4)
	for (int i = 0; i < TCPX_OPTIONS_MAX; i++) {
		const __u8 *option;
		__u32 len;

		barrier_var(h);
		option = option_next(h, &len);
		if (!option)
			break;
		if (option[0] == TCPX_OPTION_EXP && len >= 4) {
			header_note(&h->experiments, h->experiment_at, TCPX_EXPERIMENTS_MAX,
				    h->at - len);
		} else if (option_known(option[0])) {
			header_note(&h->others, h->other_at, TCPX_OTHERS_MAX, h->at - len);
		} else if (!option_ordinary(option[0])) {
			h->flags |= TCPX_HEADER_CROWDED;
			if (option[0] == TCPX_OPTION_FAST_OPEN && len > 2) /* two only ask for it */
				h->flags |= TCPX_HEADER_FAST_OPEN;
		}
	}
}

static __always_inline __u16 option_exid(const __u8 *option)
{
	return option[2] << 8 | option[3];
}

#endif
