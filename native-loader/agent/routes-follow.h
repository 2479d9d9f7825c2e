/* SPDX-License-Identifier: MIT */
#ifndef TCPX_ROUTES_FOLLOW_H
#define TCPX_ROUTES_FOLLOW_H

#include "routes-internal.h"

struct routes {
	int epoll;
	int news;	     /* notifications */
	struct nl_pair nl;   /* our own requests */
	struct nl_pair last; /* the guard's */
	struct guard guard;
	struct routes_place place; /* of the guards */
	uint32_t bits;
	bool ipv6;
	bool stale[2];	  /* IPv4, IPv6: the copy is to be compared with main */
	bool stale_rules; /* and the rules are to be looked at */
	bool lost;	  /* news were lost, and more will be until all that waits is read */
	bool standing;	  /* routes and rules are complete */
	size_t most;	  /* routes that are compared here and now; 0: all */
	struct routes_plan *plan;
};

/* Makes `news` hear of all that matters, but not of what the socket `ask` changes. */
int routes_subscribe(int news, int ask);
/* Reads what has happened and repeats it in the copy, or marks what is stale. The number of
 * changes of routes and rules, or -errno.
 */
int routes_follow(struct routes *r);

#endif
