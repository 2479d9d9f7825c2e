/* SPDX-License-Identifier: MIT */
/* The network namespaces that the agent's thread serves; used by that thread; the flusher only
 * sends. */
#ifndef TCPX_SERVED_H
#define TCPX_SERVED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "copier.h"
#include "find-netns.h"
#include "flush.h"

struct held_path;
struct routes;

/* What the agent was kept from in a namespace; not by the routing there, which has its own word. */
enum trouble_with { TROUBLE_ENTER = 1, TROUBLE_RAW, TROUBLE_ROUTES };

struct trouble {
	enum trouble_with with;
	int err; /* 0: none */
};

/* One that is served, or that is known not to be. */
struct namespace
{
	struct namespace *next;
	struct flush flush;
	struct held_path *path; /* NULL: not looked at, and no raw sockets */
	struct routes *routes;	/* NULL: none */
	uint64_t flush_ns;	/* when to see whether the raw sockets are in use; 0: never */
	uint64_t routes_ns;	/* the same of the routes */
	uint64_t thinned_ns;	/* when an ACK was last held there, or could have been */
	uint64_t ipsec_ns;	/* and when IPsec policies were last met; 0: never */
	uint64_t used_ns;	/* when a TCP socket was last seen there */
	uint64_t known_ns;	/* when it was declined */
	uint32_t inode;
	int fd;		     /* -1: declined */
	int err;	     /* why */
	uint32_t flags;	     /* enum tcpx_served_flag, as in the map */
	unsigned int unseen; /* scans of /proc in a row that have not met it */
	bool open;	     /* raw sockets */
	bool closing;	     /* they are about to go */
	_Atomic bool used;   /* since they were last looked after */
	bool refused;	     /* its routing cannot carry ACKs at once */
	struct trouble trouble;
	struct {
		uint64_t not_before_ns;
		uint64_t resume_ns; /* its pause ends; 0: none */
		int result;
		bool away;    /* the routes are the copier's */
		bool opening; /* for the first time */
		bool awaited; /* by who has a command */
		char reason[200];
	} copy;
	char pass[160]; /* why nothing is held there; for all threads, with the lock */
};

struct served {
	struct namespace *first;    /* served */
	struct namespace *declined; /* the flusher does not see these */
	pthread_mutex_t
		lock; /* `first`, sockets, map, `pass`: one thread changes them, others read */
	int map_fd;
	int epoll_fd;	   /* gets the routes' descriptors, with the namespace as the data */
	int home_fd;	   /* the thread's own namespace */
	uint32_t home;	   /* its inode number */
	struct userns own; /* only network namespaces of it are entered */
	uint32_t *before;  /* namespaces that an agent before us had served */
	unsigned int befores;
	uint32_t wanted[WANTED_MOST]; /* to be searched for */
	unsigned int wanteds;
	uint64_t search_ns; /* no search before: /proc may be large, and others make us want */
	uint64_t scan_ns;   /* when to look for namespaces that only we keep alive; 0: never */
	bool flushing;
	unsigned int mark_bits;
	unsigned int count;   /* served */
	unsigned int most;    /* served at once */
	unsigned int others;  /* declined */
	unsigned int foreign; /* of these, of another user namespace */
	uint64_t turned_away; /* requests, because `most` are served */
	char reason[200];

	struct copier copier;
	unsigned int awaited; /* comparisons, by a command; agent.c waits for them */
	int await_err;	      /* of the first one that failed */

	/* Of the last minute. */
	unsigned int troubled;	/* namespaces where something failed */
	struct trouble trouble; /* of one of them */
	unsigned int unfound;	/* that were wanted, and are of nobody that is seen */
};

int served_open(struct served *s);
void served_close(struct served *s);
/* The namespace with this inode number is searched for by served_tick(), in /proc and /run/netns.
 */
void served_want(struct served *s, uint32_t inode);
/* -EPERM: it belongs to another user namespace; -EUSERS: as many as can be are served. */
int served_path(struct served *s, const char *path);
/* What `awaited` counts after it goes on meanwhile. */
int served_at_once(struct served *s, unsigned int mark_bits);
/* Another thread may call these two. */
int served_flush(struct served *s, const struct tcpx_held *held);
/* What namespaces are denied, and why, as lines "INODE thinned REASON": their length, as many as
 * there is room for.
 */
int served_denied(struct served *s, char *out, int cap);
/* Reads what changed: the number of changes, or -errno; routes.c recovers by itself. */
int served_follow(struct served *s, struct namespace *n);
/* Searches for what is wanted, and closes what was idle. Returns milliseconds until it has to be
 * called again, -1: never.
 */
int served_tick(struct served *s);

#endif
