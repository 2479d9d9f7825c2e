/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the request for a congestion control keeps of a connection. A rule's value: ask, local: enum
 * tcpx_algorithm, or TCPX_ALGORITHM_COUNT + slot of the site's; accept: a bit per algorithm.
 */
#ifndef TCPX_CC_REQUEST_H
#define TCPX_CC_REQUEST_H

/* Congestion controls by the number that travels; the kernel's name in capitals. */
enum tcpx_algorithm {
	TCPX_ALGORITHM_VEGAS,
	TCPX_ALGORITHM_RENO,
	TCPX_ALGORITHM_BBR,
	TCPX_ALGORITHM_CUBIC,
	TCPX_ALGORITHM_DCTCP,
	TCPX_ALGORITHM_WESTWOOD,
	TCPX_ALGORITHM_HTCP,
	TCPX_ALGORITHM_HYBLA,
	TCPX_ALGORITHM_VENO,
	TCPX_ALGORITHM_SCALABLE,
	TCPX_ALGORITHM_NV,
	TCPX_ALGORITHM_ILLINOIS,
	TCPX_ALGORITHM_YEAH,
	TCPX_ALGORITHM_LP,
	TCPX_ALGORITHM_BIC,
	TCPX_ALGORITHM_CDG,
	TCPX_ALGORITHM_HIGHSPEED,
	TCPX_ALGORITHM_COUNT,
};

#define TCPX_CC_REFUSED 0xffff

/* Of the site's own: rules number them by slot from TCPX_ALGORITHM_COUNT on, other numbers travel.
 */
#define TCPX_ALGORITHMS (TCPX_ALGORITHM_COUNT + TCPX_SITE_ALGORITHMS)

struct tcpx_cc_request_conn {
	struct tcpx_rules rules;
	struct tcpx_exchange exchange;
	__u32 allowed; /* to peers: bit per algorithm */
	__u8 local;    /* algorithm */
	__u8 applied;  /* the congestion control is ours */
	__u8 reserved[6];
	char before[16]; /* what it had before; "": not known */
	__u64 ours_sum;	 /* what we have put there, as the kernel calls it: cc_sum() of it */
};

#ifdef TCPX_IN_LAYOUT
enum tcpx_algorithm algorithm;
#endif

#endif
