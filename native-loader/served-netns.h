/* SPDX-License-Identifier: MIT */
/* Of the agent's thread only, like what it is made for in served.h. */
#ifndef TCPX_SERVED_NETNS_H
#define TCPX_SERVED_NETNS_H

#include "served.h"

#define SECOND 1000000000ULL
#define IDLE_NS (10 * SECOND)	     /* unused raw sockets go, what failed is tried anew */
#define ROUTES_LOOK_NS (5 * SECOND)  /* so often we look for TCP sockets */
#define ROUTES_IDLE_NS (60 * SECOND) /* and without any for so long the routes go */

uint64_t now_ns(void);
struct namespace *netns_lookup(struct served *s, uint32_t inode);
/* Takes the descriptor over, -1: one that is not served. NULL: no memory. */
struct namespace *netns_insert(struct served *s, uint32_t inode, int fd);
/* Remembers for a while that it is not served, and why: nobody needs to ask or to search again. */
void netns_decline(struct served *s, uint32_t inode, int err);
/* Takes back and closes all that it has. */
void netns_forget(struct served *s, struct namespace *n);
/* What is in the map, from what there is. */
void netns_publish(struct served *s, struct namespace *n);
/* The same without TCPX_SERVED_FLUSH. */
void netns_publish_closing(struct served *s, struct namespace *n);
/* Opens what is missing. An error of the routes alone leaves the rest standing. */
int netns_equip(struct served *s, struct namespace *n);
void netns_close_flush(struct served *s, struct namespace *n);
void netns_drop_routes(struct namespace *n);
/* TCP sockets in it, those of programs that have ended included. */
unsigned long netns_sockets(struct served *s, const struct namespace *n);
/* Returns err, and keeps the reason of a refusal for whoever asks. */
int netns_check(struct served *s, int err);

#endif
