/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A sample, to be copied: several settings, each with rules of its own. What the priority and the
 * mark keep of a connection. A rule's value: the number.
 *
 * In embedded-bpf/extensions.def: TCPX_EXTENSION(CLASSIFY, classify, 7)
 */
#ifndef TCPX_CLASSIFY_H
#define TCPX_CLASSIFY_H

/* In the order of `kinds` in classify.ts. */
enum tcpx_classify_kind {
	TCPX_CLASSIFY_PRIORITY = TCPX_KIND_COUNT,
	TCPX_CLASSIFY_MARK,
	TCPX_CLASSIFY_END,
};

struct tcpx_classify_conn {
	struct tcpx_rules rules;
	struct tcpx_own_rules own_rules;
	__u32 priority;
	__u32 mark;
	__u32 set_priority; /* what we have set; 0: nothing */
	__u32 set_mark;
	__u32 kept; /* a bit per kind: the application's value stands, or the kernel refused ours */
};

#endif
