/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Every struct and enum that the BPF programs and user space share. The
 * TypeScript twin (cli/loader/layout.generated.ts) is generated from the BTF of
 * the compiled object; `bun run check` fails when the two differ.
 */
#ifndef TCPX_SHARED_H
#define TCPX_SHARED_H

#include <linux/types.h>

/* Changes with the meaning of any pinned map; part of the pin path. */
#define TCPX_LAYOUT 2

/* In the order of their priority where option space runs out. */
enum tcpx_ext {
	TCPX_EXT_UTO,
	TCPX_EXT_CC_REQUEST,
	TCPX_EXT_IW,
	TCPX_EXT_COUNT,
};

enum tcpx_kind {
	TCPX_KIND_ASK,	  /* what we request of, or tell, the peer */
	TCPX_KIND_LOCAL,  /* what we do ourselves */
	TCPX_KIND_ACCEPT, /* what we grant to peers, within bounds */
	TCPX_KIND_COUNT,
};

enum tcpx_rule_flag {
	TCPX_RULE_SET = 1,   /* a rule stands here */
	TCPX_RULE_NONE = 2,  /* it exempts the connection */
	TCPX_RULE_FORCE = 4, /* it also overrides the application's own choice */
};

enum tcpx_direction {
	TCPX_DIRECTION_BOTH,
	TCPX_DIRECTION_TO,   /* connections that this side opens */
	TCPX_DIRECTION_FROM, /* connections that this side accepts */
};

enum tcpx_family {
	TCPX_FAMILY_ANY = 0,
	TCPX_FAMILY_IPV4 = 4, /* IPv4-mapped IPv6 sockets too */
	TCPX_FAMILY_IPV6 = 6,
};

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
	TCPX_COUNTER_FALLBACK,	 /* a segment was lost: went on without options */
	TCPX_COUNTER_ERRORS,	 /* the kernel refused a helper call */
	TCPX_COUNTER_COUNT,
};

/* Experiment identifiers behind kind 254, RFC 6994. */
enum tcpx_exid {
	TCPX_EXID_CC_ASK = 0x7CC0,
	TCPX_EXID_CC_ANSWER = 0x7CC1,
	TCPX_EXID_IW_ASK = 0x7C10,
	TCPX_EXID_IW_ANSWER = 0x7C11,
};

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
#define TCPX_IW_MAX 1024 /* segments */

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

/*
 * uto ask: value[0] = milliseconds, value[1] = the option's G and timeout bits;
 * local: value[0] = milliseconds; accept: value[0], value[1] = least, most milliseconds
 * cc-request ask, local: value[0] = enum tcpx_algorithm; accept: value[0] = bit per algorithm
 * iw ask, local: value[0] = segments; accept: value[0] = most segments
 */
struct tcpx_rule {
	__u8 flags;  /* enum tcpx_rule_flag; 0: no rule */
	__u8 prefix; /* length of the selector's prefix, as written: 0..32 or 0..128 */
	__u16 reserved;
	__u32 value[2];
};

/* Everything that matches one selector, flattened over wider ones by the planner. */
struct tcpx_policy {
	struct tcpx_rule rules[TCPX_EXT_COUNT][TCPX_KIND_COUNT];
};

/* LPM trie key: the first 64 bits are always significant. */
struct tcpx_policy_key {
	__u32 prefixlen;
	__u8 direction;	  /* TO or FROM */
	__u8 family;	  /* IPV4 or IPV6 */
	__u16 port;	  /* of the listening side, host order; 0: any */
	__u32 netns;	  /* index from the namespaces map; 0: any */
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* A rule as it was asked for: user space's own record, not read by the programs. */
struct tcpx_rule_record {
	__u8 ext;
	__u8 kind;
	__u8 flags;
	__u8 direction;
	__u8 family;
	__u8 prefix; /* as written: 0..32 or 0..128 */
	__u16 port;
	__u32 value[2];
	__u64 netns_cookie; /* 0: every network namespace */
	__u32 netns_inode;  /* of that namespace, for people */
	__u32 reserved;
	__u8 address[16];
};

/* Constant per loaded program (.rodata). */
struct tcpx_config {
	__u32 layout;
	__u32 rule_count;
	__u64 scope;	/* cgroup id */
	__u8 use_netns; /* rules differ between network namespaces */
	__u8 use_ports; /* some rule names a port */
	__u8 foreign;	/* other sock_ops programs run on these sockets: leave shared flags alone */
	__u8 reserved[5];
	char version[32];  /* of the tcpx that loaded it */
	char cgroup[4040]; /* path below the cgroup2 mount */
};

struct tcpx_counters {
	__u64 count[TCPX_EXT_COUNT][TCPX_COUNTER_COUNT];
	__u32 error_line; /* of the last refused helper call */
	__s32 error_code;
};

/* RFC 5482 state of one connection, milliseconds. */
struct tcpx_uto_conn {
	__u32 remote_ms;  /* last valid REMOTE_UTO, 0: none */
	__u32 applied_ms; /* what we set, 0: nothing */
	__u16 bits;	  /* the option in the header under examination */
	__u8 len;
	__u8 seen; /* how often it stands there */
};

/* A request and its answer: ours to the peer, or the peer's to us. */
struct tcpx_request_conn {
	__u16 asked;
	__u16 answer;
	__u16 ask_bits; /* in the header under examination */
	__u16 answer_bits;
	__u8 state;    /* enum tcpx_request_state */
	__u8 ask_seen; /* how often it stands in that header; 2 and more: malformed */
	__u8 answer_seen;
	__u8 promised; /* the SYN-ACK has given this very answer */
};

#define TCPX_REQUESTS 2 /* extensions that ask and answer, from TCPX_EXT_CC_REQUEST on */

struct tcpx_conn {
	__u64 scope;	  /* the innermost scope with a matching rule does the work */
	__u64 since_ns;	  /* established; 0: not yet */
	__u64 attempt_ns; /* the connect() that the rules were looked up for */
	__u32 attempt;	  /* its addresses and ports, hashed */
	__u32 first_byte; /* snd_una when established */
	__u32 retrans;	  /* total_retrans when established */
	__u32 third_ack;  /* Fast Open: rcv_nxt when the third ACK came */
	__u8 segments;	  /* of ours since established, while we ask or listen */
	__u8 silent;	  /* asks nothing (more) */
	__u8 reserved;	  /* bit per extension: space is reserved on this segment */
	__u8 written;	  /* bit per extension: was on some segment */
	__u8 fast_open;	  /* accepted with data on the SYN: no grant before the third ACK */
	__u8 cc_applied;  /* the congestion control is ours */
	__u8 armed;	  /* the listener's SYN-ACK could carry options */
	__u8 crowded;	  /* the SYN has options that may have kept ours off the SYN-ACK */
	struct tcpx_policy policy;
	struct tcpx_uto_conn uto;
	struct tcpx_request_conn requests[TCPX_REQUESTS];
	/* TCP header under examination; here because it is the socket's own, locked memory */
	__u8 header[72];       /* 60 at most; the walk may look at 5 bytes more */
	__u8 header_len;       /* 0: none at hand */
	__u8 header_at;	       /* where the walk stands */
	__u8 header_is_syn;    /* the SYN of a passive open, not this segment */
	__u8 experiments;      /* options of kind 254 in it */
	__u8 experiment_at[4]; /* where the first ones stand */
};

/*
 * A request socket has no storage: what an inner scope's program decided for a
 * SYN-ACK reaches the outer scopes' programs, which run next on the same CPU,
 * through a per-CPU slot.
 */
struct tcpx_handover {
	__u64 at_ns;
	__u32 remote[4];
	__u32 ports; /* remote ^ local << 16 */
	__u32 op;
	__u32 slots; /* bit per extension: decided what it says on the SYN-ACK */
	__u32 pad;
};

#endif
