/* SPDX-License-Identifier: MIT */
/* Of the agent's thread only, like what it is made for in served.h. */
#ifndef TCPX_SERVED_NETNS_H
#define TCPX_SERVED_NETNS_H

#include "monotonic.h"
#include "served.h"

#define IDLE_NS (10 * SECOND)	     /* unused raw sockets go, what failed is tried anew */
#define ROUTES_LOOK_NS (5 * SECOND)  /* so often we look for TCP sockets */
#define ROUTES_IDLE_NS (60 * SECOND) /* and without any for so long the routes go */
#define DECLINED_NS (3 * SECOND)     /* in the map, which holds notices back */
#define FOREIGN_NS (60 * SECOND)     /* namespaces of other user namespaces are told so long */
#define PASS_NS (45 * SECOND)	     /* and so long those where nothing is held */

struct namespace *netns_lookup(struct served *s, uint32_t inode);
struct namespace *netns_declined(struct served *s, uint32_t inode);
/* Takes the descriptor over. NULL: no memory. */
struct namespace *netns_insert(struct served *s, uint32_t inode, int fd);
/* Remembers for a while that it is not served, and why: nobody needs to ask or to search again. */
void netns_decline(struct served *s, uint32_t inode, int err);
/* The same, after something that it was kept from. */
void netns_decline_failed(struct served *s, uint32_t inode, struct trouble trouble);
/* Takes back and closes all that it has. */
void netns_forget(struct served *s, struct namespace *n);
/* Is what it has another than what the map, and `pass`, say? */
bool netns_is_told_wrong(const struct namespace *n);
/* What is in the map, from what there is. */
void netns_publish(struct served *s, struct namespace *n);
/* The same without these flags; without TCPX_SERVED_ROUTES no bits either. */
void netns_publish_without(struct served *s, struct namespace *n, uint32_t flags);
/* Opens what is missing. An error of the routes alone leaves the rest standing. */
int netns_equip(struct served *s, struct namespace *n);
/* Raw sockets, and the look at routing that goes with them. */
void netns_close_flush(struct served *s, struct namespace *n);
/* broken: their sockets are of no use any more, and the guard takes the routes back. */
void netns_drop_routes(struct served *s, struct namespace *n, bool broken);
/* Their sockets wait for answers of before: the routes go, and are not tried again. */
void netns_broken(struct served *s, struct namespace *n);
/* Takes what is told of its routing: ACKs that are held at this moment still go out, and no others
 * are held where that may be wrong. */
void netns_follow_path(struct served *s, struct namespace *n);
/* Are there TCP sockets in it, those of programs that have ended included? */
bool netns_in_use(struct served *s, const struct namespace *n);
/* Returns err, and keeps the reason of a refusal for whoever asks. */
int netns_check(struct served *s, int err);

#endif
