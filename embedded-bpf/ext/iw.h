/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the initial window keeps of a connection. A rule's value: ask, local: segments; accept: most
 * segments.
 */
#ifndef TCPX_IW_H
#define TCPX_IW_H

#define TCPX_IW_MAX 1024 /* segments */

struct tcpx_iw_conn {
	struct tcpx_rules rules;
	struct tcpx_exchange exchange;
	__u16 local; /* segments */
	__u16 most;  /* that a peer is granted */
};

#endif
