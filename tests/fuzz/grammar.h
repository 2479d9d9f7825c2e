/* SPDX-License-Identifier: MIT */
/*
 * What the bytes of an input mean. Plain bytes would never get past a header, and a header has to
 * name what was asked a moment ago; so an input is a script, and kernel.c carries it out. seeds.ts
 * reads the words of this file, too: no enumerator has a value that is not a plain number.
 *
 * An input that has ended goes on with zeros, which is HONEST: the kernel says that all went well.
 */
#ifndef TCPX_FUZZ_GRAMMAR_H
#define TCPX_FUZZ_GRAMMAR_H

/* What one read of a netlink socket gives. */
enum reading {
	HONEST,	    /* what the kernel says when all went well; nothing on a socket for news */
	KERNEL,	    /* n {message}: from the kernel */
	STRANGER,   /* pid n {message}: from somebody else */
	ODD_SENDER, /* 0|1 n {message}: an address of another length, or family */
	FAIL,	    /* errno */
	FLOOD,	    /* pid n {message}: this and every further read, a second each */
	FAIL_EVER,  /* errno: this and every further read */
	REPEAT,	    /* n reading: as often */
	LATER,	    /* seconds reading */
	READINGS,
};

/* Every message is followed by a byte of these, and then by what they ask for. */
enum twist {
	OTHER_SEQUENCE = 1, /* u32, instead of the one that is waited for */
	OTHER_LENGTH = 2,   /* u32, instead of the true one */
	INTERRUPTED = 4,
	REPLACES = 8,
	APPENDS = 16,
	GONE = 32,  /* deleted, not new */
	MANY = 64,  /* n: so many more of the same */
	WRONG = 128 /* an error that is positive */
};

enum message {
	ROUTE,	 /* family dst_len src_len tos table protocol scope type flags(u16) n {attribute} */
	RULE,	 /* family dst_len src_len tos table action flags n {attribute} */
	LINK,	 /* flags that change */
	ADDRESS, /* nothing */
	VERDICT, /* number(u16) errno: NLMSG_ERROR of the number-th request that was sent last */
	END,	 /* errno: NLMSG_DONE */
	OBJECT,	 /* n {attribute}: a next hop, or a group of them */
	RAW,	 /* type(u16) n bytes */
	MESSAGES,
};

/* An attribute is its type and one of these. Family 0 is the one that was asked for. */
enum content {
	NOTHING,
	BYTES,	/* n bytes */
	NUMBER, /* u32 */
	COUNT,	/* u32: another one each time */
	LONG,	/* n(u16): so many bytes */
	NEST,	/* n {attribute} */
	HOPS,	/* n {flags weight device n {attribute}} */
	LIE,	/* length(u16) n bytes: a length that is not true */
	CONTENTS,
};

/* Types of attributes, of routes (RTA_*) and of rules (FRA_*). */
enum type {
	DST = 1,
	OIF = 4,
	GATEWAY = 5,
	PRIORITY = 6, /* of rules too */
	METRICS = 8,
	MULTIPATH = 9,
	MARK = 10,
	TABLE = 15, /* of rules too */
	MASK = 16,
	PROTOCOL = 21,
	NEXT_HOP = 30,
};

/* What answers.c calls, up to four in a row; those with a mask of bits (u32) behind it. */
enum call {
	SYNC4,
	JUDGE, /* mask */
	SET,   /* mask */
	SWEEP,
	CALLS,
	SYNC6 = 128,
	JUDGE6, /* mask */
	SET6,	/* mask */
};

/* What held.c does, up to eight times. */
enum step {
	HANDLE,
	COUNT_POLICIES,
	WAIT, /* seconds */
	STEPS,
};

/* What the agent is woken up for (agent.c). */
enum event {
	ENDS,	 /* and the input with it */
	NOTICE,	 /* size namespace: a record of that ring buffer */
	HELD,	 /* size packet: a record of the other one */
	WANTED,	 /* size namespace */
	PIPE,	 /* n: bytes of what the flusher wants, to be read at once */
	FOLLOW,	 /* n: routing of the n-th namespace changed */
	TICK,	 /* seconds */
	BITS,	 /* mark bits */
	PATH,	 /* namespace */
	WHY,	 /* room */
	SOCKETS, /* n bytes: of sockstat, from now on */
	REFUSE,	 /* errno: of every packet that is sent, from now on; 0: none */
	EVENTS,
};

/* A packet that was held is made of: netns version len device, one of these, n {place value}. */
enum packet {
	ZEROS,
	ACK4,
	ACK6,
	PACKETS,
};

#endif
