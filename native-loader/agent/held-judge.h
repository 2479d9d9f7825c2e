/* SPDX-License-Identifier: MIT */
/*
 * What in the routing of a network namespace tells a held ACK, which a raw socket sends, from the
 * connection's own: the kernel routes it without ports, as protocol 255, of the agent's user.
 */
#ifndef TCPX_HELD_JUDGE_H
#define TCPX_HELD_JUDGE_H

#include <stdbool.h>

#include "netlink.h"

#define HELD_WHY 160 /* bytes of a reason, with its end */

/* Rules that no packet of TCP or of the raw socket can match are none. 1: it tells them apart, and
 * why; 0: it does not, or is not a rule. *marks: it looks at the mark.
 */
int held_rule(const struct nlmsghdr *h, bool *marks, char *why);

/* The next hop groups of a namespace. */
struct held_groups {
	uint32_t *ids; /* sorted; NULL: none */
	unsigned int n;
	bool many; /* more than are kept: any may be one */
};

/* Does the message tell of a group of several next hops? Its number, or 0. */
uint32_t held_group(const struct nlmsghdr *h);
/* 0 or -errno; to be freed in any case. */
int held_groups_read(struct held_groups *g, int fd);
void held_groups_free(struct held_groups *g);

/* 1: the route has several next hops, among which the kernel chooses by the flow, and why; 0: one,
 * or not a route that counts (local, our copy). *group: the number of a next hop object.
 */
int held_route(const struct nlmsghdr *h, const struct held_groups *groups, uint32_t *group,
	       char *why);

/* IPsec policies for what is sent from the calling thread's namespace: their number, or -errno. */
int held_ipsec(void);

#endif
