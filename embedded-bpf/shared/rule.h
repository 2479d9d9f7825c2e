/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Rules: as they are asked for, as the programs read them, and as connections keep them. */
#ifndef TCPX_SHARED_RULE_H
#define TCPX_SHARED_RULE_H

#include <linux/types.h>

/* Changes with the meaning of any pinned map; part of the pin path. */
#define TCPX_LAYOUT 9

#define TCPX_SITE_ALGORITHMS 8

/* Ids of extensions are below this; connections and counters have a place for each. */
#define TCPX_EXTENSIONS 16

/* The common kinds. An extension may have others of its own: from TCPX_KIND_COUNT on. */
enum tcpx_kind {
	TCPX_KIND_ASK,	  /* what we request of, or tell, the peer */
	TCPX_KIND_LOCAL,  /* what we do ourselves */
	TCPX_KIND_ACCEPT, /* what we grant to peers, within bounds */
	TCPX_KIND_COUNT,
};

#define TCPX_VALUE_WORDS 16 /* of a rule: 64 bytes of whatever fields */
#define TCPX_KINDS 32	    /* that an extension may have at most, its own included */

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

/* What has come of a local rule on one connection. */
enum tcpx_outcome {
	TCPX_OUTCOME_NONE,	  /* not tried yet */
	TCPX_OUTCOME_APPLIED,	  /* the connection has the value */
	TCPX_OUTCOME_APPLICATION, /* it has chosen itself: kept */
	TCPX_OUTCOME_GRANTED,	  /* the peer was granted something else: kept */
	TCPX_OUTCOME_LOSS,	  /* a segment of the handshake was lost */
	TCPX_OUTCOME_LATE,	  /* data was sent before */
	TCPX_OUTCOME_KERNEL,	  /* did not take it */
	TCPX_OUTCOME_OWN = 16,	  /* and above: the extension's own, ext/NAME.h */
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

/*
 * A rule as the programs read it, from the place in a profile that the configuration names for its
 * extension and kind. It ends behind the words that the rules of its scope have.
 */
struct tcpx_rule {
	__u8 flags;  /* enum tcpx_rule_flag; 0: no rule */
	__u8 prefix; /* length of the selector's prefix, as written: 0..32 or 0..128 */
	__u8 reserved[2];
	__u32 id;		       /* of this rule in its scope: the thinner counts under it */
	__u32 value[TCPX_VALUE_WORDS]; /* what they mean: ext/NAME.h */
};

/* What a connection keeps of an extension's rules, beside their values: the state of every
 * extension begins with it. */
struct tcpx_rules {
	__u8 flags[TCPX_KIND_COUNT]; /* enum tcpx_rule_flag */
	__u8 outcome;		     /* of the local rule: enum tcpx_outcome */
	__u32 ids[TCPX_KIND_COUNT];
};

/* The same of kinds of its own: a bit for each, by its number. What else such a rule says is kept
 * by take(). See tcpx_extension.own. */
struct tcpx_own_rules {
	__u32 taken;  /* a rule stands here: a scope's further out does not */
	__u32 active; /* and it exempts nothing */
};

/* Everything that matches one selector, flattened over wider ones by the planner: rules, one behind
 * the other. Equal ones are one, and the selectors of a scope have their numbers. */
struct tcpx_profile {
	__u64 reserved; /* the place 0 means that there is none */
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
	__u32 more[TCPX_VALUE_WORDS - 2]; /* of the value, as many as the rules of the scope have */
};

#endif
