/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What is counted of each extension. */
#ifndef TCPX_SHARED_COUNTER_H
#define TCPX_SHARED_COUNTER_H

enum tcpx_counter {
	TCPX_COUNTER_SENT,	 /* segments that carried our option */
	TCPX_COUNTER_RECEIVED,	 /* values and requests learned from peers */
	TCPX_COUNTER_APPLIED,	 /* socket settings made */
	TCPX_COUNTER_CLAMPED,	 /* a peer's value was moved to our limit */
	TCPX_COUNTER_GRANTED,	 /* our request was granted by the peer */
	TCPX_COUNTER_REFUSED,	 /* a request was refused, by the peer or by us */
	TCPX_COUNTER_UNANSWERED, /* our request got no answer */
	TCPX_COUNTER_KEPT,	 /* the application had chosen itself */
	TCPX_COUNTER_MALFORMED,	 /* zero, wrong length, duplicate, never asked for: ignored */
	TCPX_COUNTER_NO_ROOM,	 /* no space among the 40 option bytes */
	TCPX_COUNTER_FALLBACK,	 /* a segment was lost, or the path is known: without options */
	TCPX_COUNTER_PATH,	 /* of these: from the first SYN on, see struct tcpx_path */
	TCPX_COUNTER_WITHHELD,	 /* TCP-AO signs the options: went without ours */
	TCPX_COUNTER_ERRORS,	 /* the kernel refused a helper call */
	TCPX_COUNTER_OWN,	 /* and four in all: the extension's own, ext/NAME.h */
	TCPX_COUNTER_COUNT = TCPX_COUNTER_OWN + 4,
};

#endif
