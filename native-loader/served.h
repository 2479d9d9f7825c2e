/* SPDX-License-Identifier: MIT */
/* The network namespaces that the agent's thread serves; used by that thread; the flusher only
 * sends. */
#ifndef TCPX_SERVED_H
#define TCPX_SERVED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "flush.h"

struct routes;

/* One that is served, or that is known not to be. */
struct namespace
{
	struct namespace *next;
	struct flush flush;
	struct routes *routes; /* NULL: none */
	uint64_t flush_ns;     /* when to see whether the raw sockets are in use; 0: never */
	uint64_t routes_ns;    /* the same of the routes */
	uint64_t used_ns;      /* when a TCP socket was last seen there */
	uint64_t forget_ns;    /* when one that is not served is to be forgotten; 0: it is served */
	uint64_t known_ns;     /* when that was found out */
	uint32_t inode;
	int fd;		   /* -1: not served */
	int err;	   /* why not */
	uint32_t flags;	   /* enum tcpx_served_flag, as in the map */
	bool open;	   /* raw sockets */
	_Atomic bool used; /* since they were last looked after */
	bool refused;	   /* its routing cannot carry ACKs at once */
};

struct served {
	struct namespace *first;
	pthread_mutex_t lock; /* list and sockets: one thread changes them, another one sends */
	int map_fd;
	int epoll_fd;	  /* gets the routes' descriptors, with the namespace as the data */
	int home_fd;	  /* the thread's own namespace */
	uint32_t home;	  /* its inode number */
	dev_t owner_dev;  /* the thread's user namespace */
	ino_t owner;	  /* only network namespaces of it are entered */
	uint32_t *before; /* namespaces that an agent before us had served */
	unsigned int befores;
	uint64_t search_ns;    /* when the searches below were counted */
	unsigned int searches; /* that may still be made */
	bool flushing;
	unsigned int mark_bits;
	unsigned int count;   /* served */
	unsigned int most;    /* served at once */
	unsigned int others;  /* in the list, and not served */
	unsigned int foreign; /* of these, of another user namespace */
	uint64_t turned_away; /* requests, because `most` are served */
	char reason[200];
};

int served_open(struct served *s);
void served_close(struct served *s);
/* The namespace with this inode number, found in /proc and /run/netns; 0 when served already. */
int served_inode(struct served *s, uint32_t inode);
/* -EPERM: it belongs to another user namespace; -EUSERS: as many as can be are served. */
int served_path(struct served *s, const char *path);
int served_at_once(struct served *s, unsigned int mark_bits);
/* The only one that another thread may call. */
int served_flush(struct served *s, const struct tcpx_held *held);
/* Reads what changed: the number of changes, or -errno; routes.c recovers by itself. */
int served_follow(struct served *s, struct namespace *n);
/* Closes what was idle. Returns milliseconds until it has to be called again, -1: never. */
int served_tick(struct served *s);

#endif
