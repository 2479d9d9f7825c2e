/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Changing connections that exist. */
#ifndef TCPX_SHARED_LIVE_H
#define TCPX_SHARED_LIVE_H

#include <linux/types.h>
#include "rule.h"
/* Scopes around one socket that the iterator tells. */
#define TCPX_NEST 8

/* A socket as the iterator tells it. */
struct tcpx_live_socket {
	__u64 cookie;
	__u64 netns_cookie;
	__u64 scopes[TCPX_NEST];	    /* cgroups with rules that it is in, innermost first */
	__u32 local_rules[TCPX_EXTENSIONS]; /* ids of the rules that it has */
	__u32 ask_rules[TCPX_EXTENSIONS];   /* 0: it asks nothing */
	__u8 state;			    /* enum tcp_state */
	__u8 family;			    /* enum tcpx_family */
	__u8 direction; /* TO or FROM where tcpx has seen its handshake, else BOTH */
	__u8 reserved;
	__u16 local_port;
	__u16 remote_port;
	__u8 remote[16]; /* IPv4 as ::ffff:a.b.c.d */
};

enum tcpx_live_verb {
	TCPX_LIVE_SET,	/* the local rule now, and the ask again when it differs */
	TCPX_LIVE_ASK,	/* the ask again */
	TCPX_LIVE_UNDO, /* what it had before */
};

/* What is to be done with a socket. */
struct tcpx_live_order {
	__u64 scope;
	__u32 verb; /* enum tcpx_live_verb */
	__u32 ext;
	struct tcpx_rule local;
	struct tcpx_rule ask; /* flags 0: nothing to ask */
};

enum tcpx_live_result {
	TCPX_LIVE_UNTOUCHED, /* gone before we came to it */
	TCPX_LIVE_CHANGED,
	TCPX_LIVE_SAME,	    /* has it already */
	TCPX_LIVE_KEPT,	    /* the application has chosen itself */
	TCPX_LIVE_PEERS,    /* the peer has been granted something else */
	TCPX_LIVE_SILENCED, /* asks nothing: a segment was lost, or its path is known */
	TCPX_LIVE_SIGNED,   /* TCP-AO signs the options */
	TCPX_LIVE_FAILED,   /* see error */
	TCPX_LIVE_OWN = 32, /* and above: the extension's own, ext/NAME.h */
};

enum tcpx_live_said {
	TCPX_LIVE_NOTHING_TO_SAY,
	TCPX_LIVE_SAID, /* goes out with the next segments */
	TCPX_LIVE_UNSAID,
};

struct tcpx_live_target {
	__u32 order; /* its number */
	__s32 error; /* of the helper call that failed */
	__u8 result; /* enum tcpx_live_result */
	__u8 said;   /* enum tcpx_live_said */
	__u8 note;   /* the extension's own: ext/NAME.h */
	__u8 reserved;
};

/* What an iterator without orders has done. */
struct tcpx_live_tally {
	__u32 armed;			 /* listeners that were changed */
	__u32 syn_ack;			 /* those of them that answer in the SYN-ACK from now on */
	__s32 error;			 /* the last one of arming */
	__u32 restored[TCPX_EXTENSIONS]; /* settings that were given back */
	__u32 kept[TCPX_EXTENSIONS];	 /* that are no longer ours */
	__u32 failed[TCPX_EXTENSIONS];
};

#endif
