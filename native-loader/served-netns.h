/* SPDX-License-Identifier: MIT */
/* Of the agent's thread only, like what it is made for in served.h. */
#ifndef TCPX_SERVED_NETNS_H
#define TCPX_SERVED_NETNS_H

#include "served.h"

#define SECOND 1000000000ULL
#define IDLE_NS (10 * SECOND) /* unused raw sockets go, what failed is tried anew */

uint64_t now_ns(void);
struct namespace *netns_lookup(struct served *s, uint32_t inode);
/* fd -1: one that could not be found. NULL: no memory. */
struct namespace *netns_insert(struct served *s, uint32_t inode, int fd);
/* Takes back and closes all that it has. */
void netns_forget(struct served *s, struct namespace *n);
/* enum tcpx_served_flag; 0: not in the map. */
void netns_publish(struct served *s, struct namespace *n, uint32_t flags);
/* Opens what is missing. An error of the routes alone leaves the rest standing. */
int netns_equip(struct served *s, struct namespace *n);
void netns_close_flush(struct served *s, struct namespace *n);
void netns_drop_routes(struct namespace *n);
/* Returns err, and keeps the reason of a refusal for whoever asks. */
int netns_check(struct served *s, int err);

#endif
