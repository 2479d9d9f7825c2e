/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the user timeout option keeps of a connection. A rule's value: ask: milliseconds, and the
 * option's G and timeout bits; local: milliseconds; accept: least and most milliseconds.
 */
#ifndef TCPX_UTO_H
#define TCPX_UTO_H

/* How the user timeout that we have set and the application's keep-alive go together. */
enum tcpx_keepalive {
	TCPX_KEEPALIVE_LOWERED = 1, /* to what keep-alive needs, which is less than the rule's */
	TCPX_KEEPALIVE_SHORT = 2,   /* the first probe that is lost ends the connection */
	TCPX_KEEPALIVE_NEWS = 4,    /* not told to a watcher yet */
};

enum tcpx_uto_counter {
	TCPX_UTO_COUNTER_LOWERED = TCPX_COUNTER_OWN, /* see enum tcpx_keepalive */
	TCPX_UTO_COUNTER_SHORT,
};

enum tcpx_uto_event {
	TCPX_UTO_EVENT_KEEPALIVE = TCPX_WATCH_OWN, /* granted: what was set, asked: the rule's */
};

enum tcpx_uto_reason {
	TCPX_UTO_REASON_KEEPALIVE = TCPX_REASON_OWN, /* ends the connection earlier */
	TCPX_UTO_REASON_SHORT,			     /* too short for its second probe */
};

/* RFC 5482 state, milliseconds. */
struct tcpx_uto_conn {
	struct tcpx_rules rules;
	__u32 ask_ms;
	__u32 local_ms;
	__u32 least_ms; /* of what we adopt */
	__u32 most_ms;
	__u32 remote_ms;  /* last valid REMOTE_UTO, 0: none */
	__u32 applied_ms; /* what we set, 0: nothing */
	__u32 before_ms;  /* what it had before */
	__u16 ask_bits;	  /* of the option */
	__u16 bits;	  /* in the header under examination */
	__u8 seen;	  /* how often it stands in that header; 2 and more: malformed */
	__u8 keepalive;	  /* enum tcpx_keepalive */
	__u8 reserved[2];
};

#ifdef TCPX_IN_LAYOUT
enum tcpx_keepalive keepalive;
enum tcpx_uto_counter uto_counter;
enum tcpx_uto_event uto_event;
enum tcpx_uto_reason uto_reason;
#endif

#endif
