/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The ACK thinner, and what it tells the agent. */
#ifndef TCPX_SHARED_THIN_H
#define TCPX_SHARED_THIN_H

#include <linux/types.h>

/* Why a pure ACK went out, or that it did not; counted per rule by the thinner. */
enum tcpx_thin_counter {
	TCPX_THIN_FIRST,     /* went: among the first of the connection */
	TCPX_THIN_EVERY,     /* went: enough segments since the last one */
	TCPX_THIN_TIME,	     /* went: enough time since the last one */
	TCPX_THIN_DUPLICATE, /* went: the same number again (duplicate, window update, probe) */
	TCPX_THIN_OPTIONS,   /* went: has options that carry news (SACK, MPTCP, ...) */
	TCPX_THIN_ECN,	     /* went: carries an ECN signal, or is the first one after it */
	TCPX_THIN_GROWTH,    /* went: the sender's window is growing */
	TCPX_THIN_SMALL,     /* went: the last segment was not full-sized */
	TCPX_THIN_WINDOW,    /* went: opens half of the receive window */
	TCPX_THIN_UNSERVED,  /* went: could not be sent later (NAT, namespace, table full) */
	TCPX_THIN_PATH,	     /* went: a copy might take another path, see thin_path.bpf.h */
	TCPX_THIN_DROPPED,   /* held back */
	TCPX_THIN_FLUSHED,   /* held back, and handed to the agent when its time came */
	TCPX_THIN_COUNT,
};

struct tcpx_thin_counters {
	__u64 count[TCPX_THIN_COUNT];
};

/* What the agent does in a network namespace. */
enum tcpx_served_flag {
	TCPX_SERVED_FLUSH = 1,	   /* sends held ACKs: the thinner may hold them back */
	TCPX_SERVED_ROUTES = 2,	   /* keeps routes for acknowledging at once */
	TCPX_SERVED_USED = 4,	   /* by the thinner: it was looked at since this was cleared */
	TCPX_SERVED_NO_ROUTES = 8, /* the routing there cannot carry them: do not wait */
	TCPX_SERVED_DECLINED = 16, /* nothing, and it need not be asked again */
	TCPX_SERVED_PASS = 32,	   /* its routing might lead a held ACK elsewhere: hold nothing */
	TCPX_SERVED_MARKS = 64,	   /* its routing looks at the mark */
	TCPX_SERVED_IPSEC =
		128, /* by the thinner: IPsec policies were met since this was cleared */
};

/* Value of the map `served`; the key is the inode number of the namespace. */
struct tcpx_served {
	__u32 flags;	 /* enum tcpx_served_flag */
	__u32 mark_bits; /* of SO_MARK: those whose routes stand */
};

/* What the thinner tells the agent. */
enum tcpx_thin_event {
	TCPX_THIN_EVENT_HELD,	/* struct tcpx_held: send it now */
	TCPX_THIN_EVENT_WANTED, /* struct tcpx_wanted: nobody sends in this namespace */
};

/* What an element of the map `holds` begins with; the key is the socket's cookie. */
struct tcpx_hold {
	__u64 timer[2];
	__u32 lock;
	__u32 passed; /* how often something newer has gone than what was held */
};

/* An ACK that was held back. At most 72 bytes of IPv4 and TCP, or 84 of IPv6 and TCP. */
struct tcpx_held {
	__u32 event;
	__u32 netns;	/* inode number of the network namespace */
	__u64 cookie;	/* of the socket */
	__u32 passed;	/* as in struct tcpx_hold: another number there, and it is too late */
	__u32 mark;	/* of the packet */
	__u32 bound_if; /* device that the socket is bound to (VRF too), 0: none */
	__u32 ifindex;	/* device that it would have left through: scope of link-local addresses */
	__u8 version;	/* 4 or 6 */
	__u8 len;	/* of packet, from the IP header on */
	__u8 reserved[2];
	__u8 packet[84];
	__u8 unused[4];
};

struct tcpx_wanted {
	__u32 event;
	__u32 netns;
};

/* Constant per loaded thinner (.rodata), nanoseconds. */
struct tcpx_thin_config {
	__u64 idle_ns;	/* the timer of a connection goes when nothing was held for so long */
	__u64 stall_ns; /* the agent reads nothing for so long: nothing is held back any more */
};

#endif
