/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What `tcpx connections` reads. */
#ifndef TCPX_SHARED_LIST_H
#define TCPX_SHARED_LIST_H

#include <linux/types.h>
#include "conn.h"
/* Constant per loaded listing (.rodata). */
struct tcpx_list_config {
	__u64 scope;	/* cgroup id; 0: every socket */
	__u32 conns_id; /* of the map, for kernels that have to look for it by hand */
	__u32 jiffy_us; /* the kernel's tick */
	__u64 no_reads; /* kernel lockdown forbids the helpers that read memory: do without */
};

enum tcpx_list_flag {
	TCPX_LIST_KNOWN = 1,	 /* a rule has matched: what comes from struct tcpx_conn is there */
	TCPX_LIST_MAPPED = 2,	 /* an IPv6 socket that speaks IPv4 */
	TCPX_LIST_KEEPALIVE = 4, /* it is on */
};

/* Of a route: are ACKs sent at once there, by its metric? */
enum tcpx_quickack {
	TCPX_QUICKACK_UNKNOWN,
	TCPX_QUICKACK_ON,
	TCPX_QUICKACK_OFF,
};

/* One socket of `tcpx connections`. Of a listener: ports, netns and state only. */
struct tcpx_listed {
	__u64 cgroup;	/* id of the one that the socket was made in */
	__u64 scope;	/* id of the one whose rules do the work */
	__u8 local[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 remote[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 netns;	/* inode number */
	__u32 bound_if; /* device that it is bound to, 0: none */
	__u32 uid;
	__u8 family;	/* enum tcpx_family */
	__u8 state;	/* of TCP, as the kernel numbers them */
	__u8 direction; /* enum tcpx_direction; BOTH: not known here */
	__u8 flags;	/* enum tcpx_list_flag */
	__u32 mark;
	__u32 user_timeout_ms;	  /* 0: the kernel's way */
	__u32 cwnd;		  /* segments */
	__u32 srtt_us;		  /* 0: not measured yet */
	__u32 delack_max;	  /* ticks; 0: this kernel has no such cap */
	char congestion[16];	  /* read by words of 8 bytes: its place is a multiple of it */
	__u32 keepalive_idle;	  /* ticks */
	__u32 keepalive_interval; /* ticks */
	__u32 keepalive_probes;
	__u16 written; /* bit per extension */
	__u8 silent;   /* enum tcpx_silence */
	__u8 established;
	__u8 quickack; /* enum tcpx_quickack, of the route that it has now */
	__u8 tos;
	__u8 reserved[2];
	struct tcpx_states states; /* `outcome` is that of the handshake */
};

#endif
