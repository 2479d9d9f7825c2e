/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the acknowledgment strategy keeps of a connection. A rule's value: local: TCPX_ACK_* fields,
 * and the longest delay in microseconds, 0: none; ask: TCPX_ACK_* fields; accept: most segments and
 * the mark bit in TCPX_ACK_* fields, and the longest delay in microseconds.
 */
#ifndef TCPX_ACK_H
#define TCPX_ACK_H

/* Fields of value[0] of an ack rule, by their lowest bit. */
enum tcpx_ack_field {
	TCPX_ACK_EVERY = 0,	/* 8 bits: segments per ACK; 0: unspecified, 1: at once */
	TCPX_ACK_DIVISOR = 8,	/* 8 bits: the delay is the RTT by this; 0: unspecified */
	TCPX_ACK_FLOOR = 16,	/* 8 bits: least ACKs per RTT; 0: none */
	TCPX_ACK_MARK_BIT = 24, /* 5 bits: the bit of SO_MARK for acknowledging at once */
	TCPX_ACK_TARR = 31,	/* 1 bit: ask with TARR */
};

/* draft-ietf-tcpm-ack-rate-request on one connection. */
enum tcpx_tarr_flag {
	TCPX_TARR_PEER = 1,    /* the peer has announced it */
	TCPX_TARR_ASKED = 2,   /* we have asked */
	TCPX_TARR_TAKEN = 4,   /* the peer has asked */
	TCPX_TARR_PENDING = 8, /* and that is not applied yet */
	TCPX_TARR_RULES = 16,  /* and it was what the peer has asked for last: that holds */
};

enum tcpx_ack_outcome {
	TCPX_ACK_OUTCOME_ROUTES = TCPX_OUTCOME_OWN, /* for acknowledging at once are not there */
};

enum tcpx_ack_live_result {
	TCPX_ACK_LIVE_UNKNOWN_RTT = TCPX_LIVE_OWN, /* a fraction of nothing */
	TCPX_ACK_LIVE_INCAPABLE,		   /* the peer has not announced TARR */
};

/* How this side acknowledges; the thinner reads it, too. Either side may ask: two exchanges. */
struct tcpx_ack_conn {
	struct tcpx_rules rules;
	struct tcpx_exchange ours;
	struct tcpx_exchange peers;
	__u32 ask; /* TCPX_ACK_* fields, as of the next two */
	__u32 local;
	__u32 accept;
	__u32 local_us; /* longest delay, as of the next */
	__u32 accept_us;
	__u32 before_us;    /* the delay that it had before; 0: the kernel's usual */
	__u32 rule;	    /* id of the rule that decided; 0: no strategy here */
	__u32 delay_us;	    /* longest delay; 0: no such limit */
	__u32 applied_us;   /* TCP_BPF_DELACK_MAX as we set it; 0: not ours */
	__u8 every;	    /* segments per ACK; 0: the kernel's way, 1: at once, more: thinned */
	__u8 divisor;	    /* longest delay as the RTT by this; 0: no such limit */
	__u8 floor;	    /* least ACKs per RTT; 0: none */
	__u8 samples;	    /* of the RTT that are still to be taken */
	__u8 tarr;	    /* enum tcpx_tarr_flag */
	__u8 tarr_asked;    /* R of our request */
	__u8 tarr_segments; /* R of the peer's */
	__u8 tarr_seen;	    /* length of the option in the header under examination, 6: no good */
	__u8 tarr_bits;	    /* its fifth byte */
	__u8 marked;	    /* the bit of SO_MARK that we have set, plus 1; 0: none */
	__u8 bound;	    /* a peer was granted this: delay_us only bounds what it asked for */
	__u8 waits; /* for the routes of the mark, since then; see ack_clock(). 0: does not */
};

#ifdef TCPX_IN_LAYOUT
enum tcpx_ack_field ack_field;
enum tcpx_tarr_flag tarr_flag;
enum tcpx_ack_outcome ack_outcome;
enum tcpx_ack_live_result ack_live_result;
#endif

#endif
