/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A sample, to be copied: an option on the wire. What the request for a DSCP keeps of a connection.
 * A rule's value: ask: the DSCP; accept: the largest one that peers are granted.
 *
 * In embedded-bpf/extensions.def: TCPX_EXTENSION(DSCP_REQUEST, dscp_request, 5)
 */
#ifndef TCPX_DSCP_REQUEST_H
#define TCPX_DSCP_REQUEST_H

#define TCPX_DSCP_MAX 63
#define TCPX_DSCP_REFUSED 0xffff /* as an answer */

struct tcpx_dscp_request_conn {
	struct tcpx_rules rules;
	struct tcpx_exchange exchange;
	__u16 most;
	__u8 refusal; /* why the peer was refused: enum tcpx_watch_reason */
	__u8 reserved;
};

#endif
