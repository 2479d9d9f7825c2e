/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What `tcpx watch` is told. */
#ifndef TCPX_SHARED_WATCH_H
#define TCPX_SHARED_WATCH_H

#include <linux/types.h>

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
	TCPX_WATCH_WITHHELD, /* by us: see the reason */
	TCPX_WATCH_OWN = 32, /* and above: the extension's own, ext/NAME.h */
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
	TCPX_REASON_SIGNED,	 /* the options, by TCP-AO */
	TCPX_REASON_OWN = 32,	 /* and above: the extension's own, ext/NAME.h */
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
	__u64 until_ns;	 /* a watcher that was killed cannot say that it has gone; 0: nobody watches
			  */
	__u64 scope;	 /* id of the cgroup that sockets were made in, or below; 0: any */
	__u32 netns;	 /* inode number; 0: any */
	__u16 direction; /* enum tcpx_direction */
	__u16 reserved;
	__u64 news; /* enum tcpx_news by extension, as in struct tcpx_conn: what is to be told */
	__u64 lost; /* the watcher had not read what was before */
};

#endif
