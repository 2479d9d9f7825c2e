/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What is known of a connection, and of a path. */
#ifndef TCPX_SHARED_CONN_H
#define TCPX_SHARED_CONN_H

#include <linux/types.h>
#include "counter.h"
#include "live.h"
#include "rule.h"
#include "watch.h"

/* How a request of one connection stands. */
enum tcpx_request_state {
	TCPX_REQUEST_NONE,
	TCPX_REQUEST_ASKED,	 /* by us, no answer yet */
	TCPX_REQUEST_GRANTED,	 /* to us */
	TCPX_REQUEST_REFUSED,	 /* to us */
	TCPX_REQUEST_UNANSWERED, /* we have stopped asking */
	TCPX_REQUEST_NO_ROOM,	 /* we never got it onto a segment */
	TCPX_REQUEST_PENDING,	 /* by the peer, not decided yet */
	TCPX_REQUEST_ANSWERED,	 /* by the peer, decided */
};

/* A request that travels in 16 bits, and its answer: ours to the peer, or the peer's to us. */
struct tcpx_exchange {
	__u16 asked;
	__u16 answer;
	__u16 ask_bits; /* in the header under examination */
	__u16 answer_bits;
	__u8 state;    /* enum tcpx_request_state */
	__u8 ask_seen; /* how often it stands in that header; 2 and more: malformed */
	__u8 answer_seen;
	__u8 promised; /* the SYN-ACK has given this very answer */
};

#include "../extensions.generated.h"

enum tcpx_silence {
	TCPX_SPEAKING,
	TCPX_SILENT,   /* all is said; a later request may be answered yet */
	TCPX_WITHHELD, /* TCP-AO signs the options: for good, or until a user asks again */
	TCPX_SILENCED, /* a segment was lost: for good */
	TCPX_PLAIN,    /* from the first SYN on, see struct tcpx_path: for good */
	TCPX_HELD,     /* a reset of the first SYN was held back: plain until its fate is known */
};

/* What a header is, and what may come with it. */
enum tcpx_header_flag {
	TCPX_HEADER_SYN = 1,	    /* that of a passive open, not this segment's */
	TCPX_HEADER_ASKS = 2,	    /* requests are welcome */
	TCPX_HEADER_CORRECTS = 4,   /* an answer may yet be another: up to the first data */
	TCPX_HEADER_OPENS = 8,	    /* announcements: it is a SYN or a SYN-ACK */
	TCPX_HEADER_CROWDED = 16,   /* it has options that may have kept ours off the SYN-ACK */
	TCPX_HEADER_FAST_OPEN = 32, /* it has a cookie, and maybe data */
};

/* A TCP header, and what of its options is of interest. */
struct tcpx_header {
	__u8 bytes[68];	       /* 60 at most; the walk may look at 5 behind the 63rd */
	__u8 len;	       /* 0: none at hand */
	__u8 at;	       /* where the walk stands */
	__u8 flags;	       /* enum tcpx_header_flag; the second to fourth after the walk */
	__u8 experiments;      /* options of kind 254 in it */
	__u8 experiment_at[4]; /* where the first ones stand */
	__u8 others;	       /* and of other kinds that extensions know */
	__u8 other_at[3];
};

#define TCPX_OPTION_WORDS 5 /* of 8 bytes: all that a header has for options */

#define TCPX_SINCE_NEXT 1

#define TCPX_STATES_MOST 296 /* bytes of a connection that extensions have together */

struct tcpx_conn {
	__u64 scope;	  /* the innermost scope with a matching rule does the work */
	__u64 since_ns;	  /* established, or asking again; 0: not yet, 1: with the next segment */
	__u64 attempt_ns; /* the connect() that the rules were looked up for */
	__u32 attempt;	  /* its addresses and ports, hashed */
	__u32 first_byte; /* snd_una when established */
	__u32 retrans;	  /* total_retrans when established */
	__u32 received;	  /* rcv_nxt when the handshake was complete, its third ACK included */
	__u8 segments;	  /* of ours since established, while we ask or listen */
	__u8 silent;	  /* enum tcpx_silence: asks nothing (more) */
	__u8 heard;	  /* the peer has answered something on the SYN-ACK: it has read our SYN */
	__u8 fast_open;	  /* accepted with data on the SYN: no grant before the third ACK */
	__u8 armed;	  /* the listener's SYN-ACK could carry options */
	__u8 flags_ours;  /* callback flags that we have set and nobody had before us */
	__u8 unasked;	  /* the kernel has not asked what to put on the SYN */
	__u8 slots_speak; /* bit per slot: has something to say on segments. See slots.bpf.h */
	__u16 reserved;	  /* bit per extension: space is reserved on this segment */
	__u16 written;	  /* bit per extension: was on some segment */
	__u8 slots_pending; /* the same: something of the peer's is still to be applied */
	__u8 slots_look;    /* the handshake's options are of interest */
	__u8 slots_listen;  /* and those of later segments */
	__u8 slots_await;   /* an answer, until we are silent */
	__u64 news; /* enum tcpx_news by extension, 4 bits each: not told to a watcher yet */
	/* under examination, and where the callback ends the news of it for a watcher; here because
	 * it is the socket's own, locked memory */
	struct tcpx_header header;
	struct tcpx_states states;
	__u8 room[TCPX_STATES_MOST - sizeof(struct tcpx_states)]; /* for further extensions */
};

/* With the kernel's own 72 bytes it is one object of 512: a byte more, and it costs 1024. However
 * many extensions there are, pinned maps keep their shape. */
_Static_assert(sizeof(struct tcpx_conn) == 440, "struct tcpx_conn");

/*
 * What is known of the way to a place: some paths answer an option that they do not know with a
 * reset or an ICMP error, or drop it, and the connection has failed. A fact about the path and not
 * a rule: it is the same for all scopes, and outlives their changes.
 */
struct tcpx_path_key {
	__u64 netns;	  /* cookie of the network namespace; before 5.12 its inode number */
	__u8 address[16]; /* of the peer, IPv4 as ::ffff:a.b.c.d */
	__u16 port;	  /* of the peer, host order */
	__u16 any;	  /* 1: of all its ports, and `port` is 0 */
	__u16 reserved[2];
};

enum tcpx_path_state {
	TCPX_PATH_UNKNOWN,
	TCPX_PATH_SUSPECTED, /* a SYN with our options came to nothing: what of a plain one? */
	TCPX_PATH_AVOIDED,   /* a plain one came through: all are plain until then */
	TCPX_PATH_BELIEVED,  /* it has reset a plain one, too: of a host, see reset.bpf.h */
};

enum tcpx_path_cause {
	TCPX_PATH_REFUSED, /* by a reset or an ICMP error: for TCPX_PATH_REFUSED_NS */
	TCPX_PATH_LOST,	   /* no answer: for TCPX_PATH_LOST_NS, since it may be chance */
};

#define TCPX_PATH_REFUSED_NS 3600000000000ULL
#define TCPX_PATH_LOST_NS 60000000000ULL
#define TCPX_PATHS 4096 /* that are remembered; the least recently used go */

/* Value of the map `paths`. */
struct tcpx_path {
	__u64 until_ns; /* of bpf_ktime_get_ns() */
	__u8 state;	/* enum tcpx_path_state */
	__u8 cause;	/* enum tcpx_path_cause */
	__u8 reserved[6];
};

/*
 * A request socket has no storage: what an inner scope's program decided for a
 * SYN-ACK reaches the outer scopes' programs, which run next on the same CPU,
 * through a per-CPU slot.
 */
struct tcpx_handover {
	__u64 at;    /* jiffies */
	__u64 netns; /* its cookie; 0: no rule looks at it */
	__u32 remote[4];
	__u32 local[4];
	__u32 ports;	/* remote ^ local << 16 */
	__u32 sequence; /* of the SYN, as it travels; 0: not looked at */
	__u32 op;
	__u32 users; /* programs that are in the middle of it: see handover_enter() */
	__u32 slots; /* bit per extension: decided what it says on the SYN-ACK */
	__u32 pad;
	__u64 first; /* the scope whose program was called first */
	__u64 scope; /* whose these are: reserved, and to be written in a moment */
	__u64 options[TCPX_EXTENSIONS][TCPX_OPTION_WORDS]; /* 0: none */
	/* the SYN, and how often a request stands there: 2 and more, it is malformed */
	struct tcpx_header syn;
	__u16 asked[TCPX_EXTENSIONS];
	__u8 asks[TCPX_EXTENSIONS];
	__u8 notes[TCPX_EXTENSIONS]; /* an extension's own, of what else it has seen on the SYN */
};

#endif
