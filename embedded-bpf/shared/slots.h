/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Slots: places for extensions that tcpx does not ship, and what they keep of a connection. */
#ifndef TCPX_SHARED_SLOTS_H
#define TCPX_SHARED_SLOTS_H

#include <linux/types.h>
#include "conn.h"

#define TCPX_SLOT_COUNT 8
/* The id of the extension in slot 0; those that are built in have smaller ones. */
#define TCPX_SLOT_FIRST 8

_Static_assert(TCPX_SLOT_FIRST + TCPX_SLOT_COUNT == TCPX_EXTENSIONS, "ids of slots");

/* What an object may have, each a function tcpx1_slot0_NAME: tcpx_ext.h says when it is called. */
#define TCPX_HOOKS(DO, ...)                                                                        \
	DO(LISTEN, listen, ##__VA_ARGS__)                                                          \
	DO(START, start, ##__VA_ARGS__)                                                            \
	DO(SAY, say, ##__VA_ARGS__)                                                                \
	DO(SAY_SYN_ACK, say_syn_ack, ##__VA_ARGS__)                                                \
	DO(SEE, see, ##__VA_ARGS__)                                                                \
	DO(PROMISE, promise, ##__VA_ARGS__)                                                        \
	DO(DECIDE, decide, ##__VA_ARGS__)                                                          \
	DO(ANSWERED, answered, ##__VA_ARGS__)                                                      \
	DO(ESTABLISHED, established, ##__VA_ARGS__)                                                \
	DO(AGAIN, again, ##__VA_ARGS__)                                                            \
	DO(RTT, rtt, ##__VA_ARGS__)                                                                \
	DO(RTO, rto, ##__VA_ARGS__)                                                                \
	DO(STATE, state, ##__VA_ARGS__)                                                            \
	DO(REPLY, reply, ##__VA_ARGS__)                                                            \
	DO(JUDGE, judge, ##__VA_ARGS__)

/* And for connections that exist, in another object: ext-slot/live.bpf.h. */
#define TCPX_LIVE_HOOKS(DO, ...)                                                                   \
	DO(LIVE_SET, live_set, ##__VA_ARGS__)                                                      \
	DO(LIVE_UNDO, live_undo, ##__VA_ARGS__)

#define TCPX_HOOK_NUMBER(ID, name) TCPX_HOOK_##ID,

enum tcpx_hook {
	TCPX_HOOKS(TCPX_HOOK_NUMBER) TCPX_LIVE_HOOKS(TCPX_HOOK_NUMBER) TCPX_HOOK_COUNT,
};

enum tcpx_slot_flag {
	TCPX_SLOT_ASKS = 1,	/* it has an exchange: config.exids has its identifiers */
	TCPX_SLOT_SAYS = 2,	/* an option of its own, while an ask rule matches */
	TCPX_SLOT_UNASKED = 4,	/* this goes on a SYN-ACK whatever the SYN has */
	TCPX_SLOT_ANY_TIME = 8, /* peers may ask again, with another wish */
};

/* What tcpx counts of extensions in slots alone. */
enum tcpx_slot_counter {
	TCPX_SLOT_COUNTER_LONG = TCPX_COUNTER_OWN, /* bytes of its option that did not fit */
	TCPX_SLOT_COUNTER_LONG_BYTES,		   /* what it would have had: the most */
	TCPX_SLOT_COUNTER_SHORT,		   /* options that were too short */
	TCPX_SLOT_COUNTER_SHORT_BYTES,		   /* what they had: the most */
};

/* Of `tcpx watch`. */
enum tcpx_slot_event {
	TCPX_SLOT_EVENT_SAID = TCPX_WATCH_OWN, /* an option of its own, which nobody answers */
};

/* What is constant of an extension in a slot: .rodata of the loaded program, as its configuration.
 */
struct tcpx_slot {
	__u32 owner;   /* whose state it is, a hash; 0: nobody has the slot */
	__u32 hooks;   /* bit per enum tcpx_hook that its object has */
	__u16 refused; /* the answer that refuses */
	__u8 kind;     /* of its own option, unless that is an experiment; 0 */
	__u8 least;    /* bytes of its own option */
	__u8 most;
	__u8 syn_ack_len;   /* bytes of what it says on a SYN-ACK */
	__u8 syn_ack_kinds; /* kinds of rules that have a say there: 1 << TCPX_KIND_ASK, ... */
	__u8 flags;	    /* enum tcpx_slot_flag */
};

struct tcpx_slot_config {
	__u32 words; /* that the values of the scope's rules have */
	__u32 reserved;
	struct tcpx_slot at[TCPX_SLOT_COUNT];
};

/* The extension whose connections are changed: .rodata of live-slots.bpf.o, behind its
 * configuration. */
struct tcpx_live_slot {
	__u32 owner;
	__u32 number; /* of its slot */
	__u32 flags;  /* enum tcpx_slot_flag */
	__u32 reserved;
};

#define TCPX_SLOT_WORDS 16 /* of an extension's own, by connection */

/*
 * What an extension in a slot keeps of a connection: in a map of the slot's, and only of
 * connections that one of its rules is for.
 */
struct tcpx_slot_conn {
	struct tcpx_rules rules;
	struct tcpx_exchange ours;
	struct tcpx_exchange peers;
	__u32 owner;   /* another one: the slot has been somebody else's, and this is nothing */
	__s32 promise; /* what a SYN-ACK says to the peer's request; < 0: nothing */
	__u64 out[TCPX_OPTION_WORDS]; /* the option that it says */
	__u8 out_len;		      /* of it; 0: none */
	__u8 seen;		      /* how often its own stands in the header under examination */
	__u8 seen_at;		      /* where */
	__u8 seen_len;
	__u8 says;     /* it has an option of its own to say */
	__u8 listens;  /* and wants to see the peer's on later segments */
	__u8 answered; /* the peer has answered, and it does not know yet */
	__u8 reason;   /* enum tcpx_watch_reason: why it has refused */
	__u8 wants;    /* callback flags: RTT, RTO, STATE */
	__u8 reserved[3];
	__u32 words[TCPX_SLOT_WORDS];
	__u32 value[TCPX_KIND_COUNT][TCPX_VALUE_WORDS];
	__u8 room[440 - 356];
};

/* With the kernel's own 72 bytes it is one object of 512, as struct tcpx_conn. */
_Static_assert(sizeof(struct tcpx_slot_conn) == 440, "struct tcpx_slot_conn");

/* What `tcpx connections` is told of one slot, and a socket; owner 0: nothing. */
struct tcpx_listed_slot {
	__u32 owner;
	struct tcpx_rules rules;
	struct tcpx_exchange ours;
	struct tcpx_exchange peers;
	__u32 value[TCPX_KIND_ACCEPT][TCPX_VALUE_WORDS]; /* of its ask and its local rule */
};

/* .rodata of the listing, behind its configuration. */
struct tcpx_list_slots {
	__u32 used; /* bit per slot whose map is there: as many records follow that of a socket */
	__u32 reserved;
	__u32 ids[TCPX_SLOT_COUNT]; /* of the maps, for kernels that have to look by hand */
};

#endif
