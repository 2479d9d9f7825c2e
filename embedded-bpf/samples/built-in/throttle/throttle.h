/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A sample, to be copied: a local setting. What the throttle rate keeps of a connection. A rule's
 * value: local: bytes per second.
 *
 * In embedded-bpf/extensions.def: TCPX_EXTENSION(THROTTLE, throttle, 4)
 */
#ifndef TCPX_THROTTLE_H
#define TCPX_THROTTLE_H

struct tcpx_throttle_conn {
	struct tcpx_rules rules;
	/* the rule's value: `tcpx connections` finds it by its name */
	__u32 local;
	__u32 applied; /* what we have set; 0: nothing. In a listing: what the socket has */
};

#endif
