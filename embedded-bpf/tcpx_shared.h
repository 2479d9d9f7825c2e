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
#define TCPX_LAYOUT 8

/* In the order of their priority where option space runs out. */
enum tcpx_ext {
	TCPX_EXT_UTO,
	TCPX_EXT_CC_REQUEST,
	TCPX_EXT_IW,
	TCPX_EXT_ACK,
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
	TCPX_COUNTER_FALLBACK,	 /* a segment was lost, or the path is known: without options */
	TCPX_COUNTER_PATH,	 /* of these: from the first SYN on, see struct tcpx_path */
	TCPX_COUNTER_WITHHELD,	 /* TCP-AO signs the options: went without ours */
	TCPX_COUNTER_ERRORS,	 /* the kernel refused a helper call */
	TCPX_COUNTER_KEEPALIVE_LOWERED, /* see enum tcpx_keepalive */
	TCPX_COUNTER_KEEPALIVE_SHORT,
	TCPX_COUNTER_COUNT,
};

/* Experiment identifiers behind kind 254, RFC 6994; a site may have others: struct tcpx_exids. */
enum tcpx_exid {
	TCPX_EXID_CC_ASK = 0x7CC0,
	TCPX_EXID_CC_ANSWER = 0x7CC1,
	TCPX_EXID_IW_ASK = 0x7C10,
	TCPX_EXID_IW_ANSWER = 0x7C11,
	TCPX_EXID_ACK_ASK = 0x7CA0,
	TCPX_EXID_ACK_ANSWER = 0x7CA1,
	TCPX_EXID_TARR = 0x00AC, /* draft-ietf-tcpm-ack-rate-request */
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

/* Of the site's own: rules number them by slot from TCPX_ALGORITHM_COUNT on, other numbers travel.
 */
#define TCPX_SITE_ALGORITHMS 8
#define TCPX_ALGORITHMS (TCPX_ALGORITHM_COUNT + TCPX_SITE_ALGORITHMS)

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
 * cc-request ask, local: value[0] = enum tcpx_algorithm, or TCPX_ALGORITHM_COUNT + slot; accept:
 * value[0] = bit per algorithm
 * iw ask, local: value[0] = segments; accept: value[0] = most segments
 * ack local: value[0] = TCPX_ACK_* fields, value[1] = longest delay in microseconds, 0: none;
 * ask: value[0] = TCPX_ACK_* fields; accept: value[0] = most segments and the mark bit in
 * TCPX_ACK_* fields, value[1] = longest delay in microseconds
 */
struct tcpx_rule {
	__u8 flags;   /* enum tcpx_rule_flag; 0: no rule */
	__u8 prefix;  /* length of the selector's prefix, as written: 0..32 or 0..128 */
	__u8 outcome; /* of a local rule, in a connection's copy of it: enum tcpx_outcome */
	__u8 reserved;
	__u32 id; /* under which the thinner counts */
	__u32 value[2];
};

/* What has come of a local rule on one connection. */
enum tcpx_outcome {
	TCPX_OUTCOME_NONE,	  /* not tried yet */
	TCPX_OUTCOME_APPLIED,	  /* the connection has the value */
	TCPX_OUTCOME_APPLICATION, /* it has chosen itself: kept */
	TCPX_OUTCOME_GRANTED,	  /* the peer was granted something else: kept */
	TCPX_OUTCOME_LOSS,	  /* a segment of the handshake was lost */
	TCPX_OUTCOME_LATE,	  /* data was sent before */
	TCPX_OUTCOME_KERNEL,	  /* did not take it */
	TCPX_OUTCOME_ROUTES,	  /* for acknowledging at once are not there */
};

/* Fields of value[0] of an ack rule, by their lowest bit. */
enum tcpx_ack_field {
	TCPX_ACK_EVERY = 0,	/* 8 bits: segments per ACK; 0: unspecified, 1: at once */
	TCPX_ACK_DIVISOR = 8,	/* 8 bits: the delay is the RTT by this; 0: unspecified */
	TCPX_ACK_FLOOR = 16,	/* 8 bits: least ACKs per RTT; 0: none */
	TCPX_ACK_MARK_BIT = 24, /* 5 bits: the bit of SO_MARK for acknowledging at once */
	TCPX_ACK_TARR = 31,	/* 1 bit: ask with TARR */
};

/* Everything that matches one selector, flattened over wider ones by the planner. */
struct tcpx_policy {
	struct tcpx_rule rules[TCPX_EXT_COUNT][TCPX_KIND_COUNT];
} __attribute__((aligned(8))); /* copied by words of 8 bytes */

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

/* Experiment identifiers in use. */
struct tcpx_exids {
	__u16 cc_ask;
	__u16 cc_answer;
	__u16 iw_ask;
	__u16 iw_answer;
	__u16 ack_ask;
	__u16 ack_answer;
	__u16 tarr;
	__u16 reserved;
};

/* A congestion control that enum tcpx_algorithm does not have. */
struct tcpx_site_algorithm {
	char name[16];
	__u16 number; /* that travels; 0: the slot is free */
	__u8 reserved[6];
};

/*
 * What the administrators of a site have agreed on: the same for all scopes of a host. Other
 * layouts take it over: it may grow at its end.
 */
struct tcpx_site {
	struct tcpx_exids exids;
	struct tcpx_site_algorithm algorithms[TCPX_SITE_ALGORITHMS];
};

/*
 * Constant per loaded program (.rodata). Other layouts of tcpx read it, too, and struct
 * tcpx_rule_record: what stands here up to the site's table keeps its place.
 */
struct tcpx_config {
	__u32 layout;
	__u32 rule_count;
	__u64 scope;	/* cgroup id */
	__u8 use_netns; /* rules differ between network namespaces */
	__u8 use_ports; /* some rule names a port */
	__u8 foreign;	/* other sock_ops programs run on these sockets: leave shared flags alone */
	__u8 use_from;	/* some rule is for connections that this side accepts */
	__u32 jiffy_us; /* the kernel's tick */
	char version[32];  /* of the tcpx that loaded it */
	char cgroup[4024]; /* path below the cgroup2 mount, as whoever loaded it sees that */
	__u64 base;	   /* id of the cgroup that the path begins at; 0: not known */
	__u64 keeper;	/* device of the /run whose systemd restarts services; 0: there is none */
	__u64 no_reads; /* kernel lockdown forbids the helpers that read memory: do without */
	struct tcpx_site site;
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
};

/* How the user timeout that we have set and the application's keep-alive go together. */
enum tcpx_keepalive {
	TCPX_KEEPALIVE_LOWERED = 1, /* to what keep-alive needs, which is less than the rule's */
	TCPX_KEEPALIVE_SHORT = 2,   /* the first probe that is lost ends the connection */
	TCPX_KEEPALIVE_NEWS = 4,    /* not told to a watcher yet */
};

/* What a connection had before we changed it, to give it back. */
struct tcpx_before {
	__u32 uto_ms;
	__u32 delack_us; /* 0: the kernel's usual */
	char cc[16];	 /* "": not known */
	__u64 cc_ours;	 /* what we have put in its place, as the kernel calls it: cc_sum() of it */
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

/*
 * Extensions that ask and answer, from TCPX_EXT_CC_REQUEST on. Only one side of a
 * connection asks for those of the first two; for ACKs both may: the peer's is the last.
 */
#define TCPX_REQUESTS 4

/* How this side acknowledges on one connection; the thinner reads it, too. */
struct tcpx_ack_conn {
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

/* draft-ietf-tcpm-ack-rate-request on one connection. */
enum tcpx_tarr_flag {
	TCPX_TARR_PEER = 1,    /* the peer has announced it */
	TCPX_TARR_ASKED = 2,   /* we have asked */
	TCPX_TARR_TAKEN = 4,   /* the peer has asked */
	TCPX_TARR_PENDING = 8, /* and that is not applied yet */
	TCPX_TARR_RULES = 16,  /* and it was what the peer has asked for last: that holds */
};

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
	TCPX_HEADER_SYN = 1,	  /* that of a passive open, not this segment's */
	TCPX_HEADER_ASKS = 2,	  /* requests are welcome */
	TCPX_HEADER_CORRECTS = 4, /* an answer may yet be another: up to the first data */
	TCPX_HEADER_TARR = 8,	  /* the announcement of TARR */
};

/* A TCP header, and what of its options is of interest. */
struct tcpx_header {
	__u8 bytes[68];	       /* 60 at most; the walk may look at 5 behind the 63rd */
	__u8 len;	       /* 0: none at hand */
	__u8 at;	       /* where the walk stands */
	__u8 flags;	       /* enum tcpx_header_flag; all but the first after the walk */
	__u8 crowded;	       /* it has options that may have kept ours off the SYN-ACK */
	__u8 fast_open;	       /* has a cookie, and maybe data */
	__u8 utos;	       /* options of kind 28 in it */
	__u8 uto_at;	       /* where the last one stands */
	__u8 experiments;      /* options of kind 254 in it */
	__u8 experiment_at[4]; /* where the first ones stand */
};

#define TCPX_SINCE_NEXT 1

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
	__u8 reserved;	  /* bit per extension: space is reserved on this segment; TCPX_UNASKED */
	__u8 written;	  /* bit per extension: was on some segment */
	__u8 fast_open;	  /* accepted with data on the SYN: no grant before the third ACK */
	__u8 cc_applied;  /* the congestion control is ours */
	__u8 armed;	  /* the listener's SYN-ACK could carry options */
	__u16 news;	  /* enum tcpx_news by extension, 4 bits each: not told to a watcher yet */
	__u8 flags_ours;  /* callback flags that we have set and nobody had before us */
	__u8 keepalive;	  /* enum tcpx_keepalive */
	struct tcpx_policy policy;
	struct tcpx_uto_conn uto;
	struct tcpx_ack_conn ack;
	struct tcpx_request_conn requests[TCPX_REQUESTS];
	struct tcpx_before before;
	/* under examination, and where the callback ends the news of it for a watcher; here because
	 * it is the socket's own, locked memory */
	struct tcpx_header header;
};

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

/* What has just come of an extension's negotiation. */
enum tcpx_news {
	TCPX_NEWS_OURS = 1,	 /* of what we asked */
	TCPX_NEWS_PEERS = 2,	 /* of what the peer asked */
	TCPX_NEWS_MALFORMED = 4, /* the peer's option was ignored */
	TCPX_NEWS_FALLBACK = 8,	 /* a segment was lost, or the path is known: no (more) options */
};

/* The same as `tcpx watch` tells it. */
enum tcpx_watch_event {
	TCPX_WATCH_ASKED,      /* by us, where nobody answers */
	TCPX_WATCH_GRANTED,    /* to us */
	TCPX_WATCH_REFUSED,    /* to us */
	TCPX_WATCH_UNANSWERED, /* we have stopped asking */
	TCPX_WATCH_NO_ROOM,    /* we never got it onto a segment */
	TCPX_WATCH_GAVE,       /* to the peer */
	TCPX_WATCH_DENIED,     /* to the peer */
	TCPX_WATCH_MALFORMED,
	TCPX_WATCH_FALLBACK,
	TCPX_WATCH_KEEPALIVE, /* granted: what was set, asked: what the rule says */
	TCPX_WATCH_WITHHELD,  /* by us: see the reason */
};

enum tcpx_watch_reason {
	TCPX_REASON_NONE,
	TCPX_REASON_CLAMPED,	 /* moved to the limits of our rule */
	TCPX_REASON_NOT_ALLOWED, /* by our rule */
	TCPX_REASON_APPLICATION, /* has chosen itself */
	TCPX_REASON_LOSS,	 /* of a segment */
	TCPX_REASON_LATE,	 /* data was sent before */
	TCPX_REASON_KERNEL,	 /* did not take it */
	TCPX_REASON_PATH,	 /* has refused our options before */
	TCPX_REASON_KEEPALIVE,	 /* ends the connection earlier */
	TCPX_REASON_SHORT,	 /* too short for a second probe of keep-alive */
	TCPX_REASON_SIGNED,	 /* the options, by TCP-AO */
};

/* What has come of one extension. uto: milliseconds; the others: the 16 bits of the option. */
struct tcpx_watched_news {
	__u32 asked;
	__u32 granted;
	__u8 ext;
	__u8 event;  /* enum tcpx_watch_event */
	__u8 reason; /* enum tcpx_watch_reason */
	__u8 reserved;
};

#define TCPX_WATCHED_MOST 6

/* All that is new with a connection in one callback; it ends behind the last of the news. */
struct tcpx_watched {
	__u64 at_ns; /* since boot */
	__u64 scope; /* id of the one whose rules do the work */
	__u32 netns; /* inode number */
	__u16 local_port;
	__u16 remote_port;
	__u8 local[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 remote[16];
	__u8 family;	/* enum tcpx_family */
	__u8 direction; /* enum tcpx_direction: TO or FROM */
	__u8 count;	/* of the news */
	__u8 reserved;
	struct tcpx_watched_news news[TCPX_WATCHED_MOST];
};

enum tcpx_watch_slot {
	TCPX_WATCH_WANTED,  /* the wish: written by the watcher */
	TCPX_WATCH_COUNTED, /* lost: written by the programs */
	TCPX_WATCH_SLOTS,
};

struct tcpx_watch {
	__u64 until_ns; /* a watcher that was killed cannot say that it has gone; 0: nobody watches
			 */
	__u64 scope;	/* id of the cgroup that sockets were made in, or below; 0: any */
	__u32 netns;	/* inode number; 0: any */
	__u16 news; /* enum tcpx_news by extension, as in struct tcpx_conn: what is to be told */
	__u16 direction; /* enum tcpx_direction */
	__u64 lost;	 /* the watcher had not read what was before */
};

/* With the kernel's own 72 bytes it is one object of 512: a byte more, and it costs 1024. */
_Static_assert(sizeof(struct tcpx_conn) <= 440, "struct tcpx_conn");

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
	TCPX_SERVED_USED = 4,	   /* by the thinner: something was held since this was cleared */
	TCPX_SERVED_NO_ROUTES = 8, /* the routing there cannot carry them: do not wait */
	TCPX_SERVED_DECLINED = 16, /* nothing, and it need not be asked again */
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

/* An ACK that was held back. At most 72 bytes of IPv4 and TCP, or 84 of IPv6 and TCP. */
struct tcpx_held {
	__u32 event;
	__u32 netns;	/* inode number of the network namespace */
	__u32 mark;	/* of the packet */
	__u32 bound_if; /* device that the socket is bound to (VRF too), 0: none */
	__u32 ifindex;	/* device that it would have left through: scope of link-local addresses */
	__u8 version;	/* 4 or 6 */
	__u8 len;	/* of packet, from the IP header on */
	__u8 reserved[2];
	__u8 packet[84];
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
	__u64 options[TCPX_EXT_COUNT]; /* 0: none */
	/* the SYN, and how often a request stands there: 2 and more, it is malformed */
	struct tcpx_header syn;
	__u16 asked[TCPX_EXT_COUNT];
	__u8 asks[TCPX_EXT_COUNT];
	__u8 tarr; /* length of that option, 6: no good */
	__u8 pad2[7];
};

/* Constant per loaded listing (.rodata). */
struct tcpx_list_config {
	__u64 scope;	/* cgroup id; 0: every socket */
	__u32 conns_id; /* of the map, for kernels that have to look for it by hand */
	__u32 jiffy_us; /* the kernel's tick */
};

enum tcpx_list_flag {
	TCPX_LIST_KNOWN = 1,	 /* a rule has matched: what comes from struct tcpx_conn is there */
	TCPX_LIST_MAPPED = 2,	 /* an IPv6 socket that speaks IPv4 */
	TCPX_LIST_KEEPALIVE = 4, /* it is on */
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
	__u8 silent;  /* enum tcpx_silence */
	__u8 written; /* bit per extension */
	__u8 established;
	__u8 keepalive; /* enum tcpx_keepalive, as it was when the timeout was set */
	struct tcpx_uto_conn uto;
	struct tcpx_rule uto_ask;
	struct tcpx_rule local_rules[TCPX_EXT_COUNT]; /* `outcome` is that of now */
	struct tcpx_ack_conn ack;
	struct tcpx_request_conn requests[TCPX_REQUESTS];
};

/* Scopes around one socket that the iterator tells. */
#define TCPX_NEST 8

/* A socket as the iterator tells it. */
struct tcpx_live_socket {
	__u64 cookie;
	__u64 netns_cookie;
	__u64 scopes[TCPX_NEST];	   /* cgroups with rules that it is in, innermost first */
	__u32 local_rules[TCPX_EXT_COUNT]; /* ids of the rules that it has */
	__u32 ask_rules[TCPX_EXT_COUNT];   /* 0: it asks nothing */
	__u8 state;			   /* enum tcp_state */
	__u8 family;			   /* enum tcpx_family */
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
	TCPX_LIVE_SAME,	       /* has it already */
	TCPX_LIVE_KEPT,	       /* the application has chosen itself */
	TCPX_LIVE_PEERS,       /* the peer has been granted something else */
	TCPX_LIVE_UNKNOWN_RTT, /* a fraction of nothing */
	TCPX_LIVE_SILENCED,    /* asks nothing: a segment was lost, or its path is known */
	TCPX_LIVE_INCAPABLE,   /* the peer has not announced TARR */
	TCPX_LIVE_SIGNED,      /* TCP-AO signs the options */
	TCPX_LIVE_FAILED,      /* see error */
	TCPX_LIVE_RESULT_COUNT,
};

enum tcpx_live_said {
	TCPX_LIVE_NOTHING_TO_SAY,
	TCPX_LIVE_SAID, /* goes out with the next segments */
	TCPX_LIVE_UNSAID,
};

struct tcpx_live_target {
	__u32 order;	/* its number */
	__s32 error;	/* of the helper call that failed */
	__u8 result;	/* enum tcpx_live_result */
	__u8 said;	/* enum tcpx_live_said */
	__u8 keepalive; /* enum tcpx_keepalive */
	__u8 reserved;
};

/* What an iterator without orders has done. */
struct tcpx_live_tally {
	__u32 armed;			/* listeners that were changed */
	__u32 syn_ack;			/* those of them that answer in the SYN-ACK from now on */
	__s32 error;			/* the last one of arming */
	__u32 restored[TCPX_EXT_COUNT]; /* settings that were given back */
	__u32 kept[TCPX_EXT_COUNT];	/* that are no longer ours */
	__u32 failed[TCPX_EXT_COUNT];
};

#endif
