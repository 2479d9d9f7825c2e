/* SPDX-License-Identifier: MIT */
/* The network namespaces that the agent's thread serves; used by that thread; the flusher only
 * sends. */
#ifndef TCPX_SERVED_H
#define TCPX_SERVED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "flush.h"

struct routes;

struct namespace
{
	struct namespace *next;
	struct flush flush;
	struct routes *routes; /* NULL: none */
	uint64_t check_ns;     /* when to look after it again; 0: never */
	uint32_t inode;
	int fd;
	int err;	   /* why it cannot be served, until check_ns; fd is -1 then */
	uint32_t flags;	   /* enum tcpx_served_flag, as in the map */
	bool open;	   /* raw sockets */
	_Atomic bool used; /* since they were last looked after */
	bool refused;	   /* its routing cannot carry ACKs at once */
	bool seen;	   /* in the last search */
};

struct served {
	struct namespace *first;
	pthread_mutex_t lock; /* list and sockets: one thread changes them, another one sends */
	int map_fd;
	int epoll_fd; /* gets the routes' descriptors, with the namespace as the data */
	int home_fd;  /* the thread's own namespace */
	bool flushing;
	unsigned int mark_bits;
	unsigned int count;
	char reason[200];
};

int served_open(struct served *s);
void served_close(struct served *s);
/* The namespace with this inode number, found in /proc and /run/netns; 0 when served already. */
int served_inode(struct served *s, uint32_t inode);
int served_path(struct served *s, const char *path);
int served_at_once(struct served *s, unsigned int mark_bits);
/* The only one that another thread may call. */
int served_flush(struct served *s, const struct tcpx_held *held);
/* Reads what changed: the number of changes, or -errno; routes.c recovers by itself. */
int served_follow(struct served *s, struct namespace *n);
/* Closes what was idle. Returns milliseconds until it has to be called again, -1: never. */
int served_tick(struct served *s);

#endif
