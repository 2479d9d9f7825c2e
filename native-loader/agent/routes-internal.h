/* SPDX-License-Identifier: MIT */
#ifndef TCPX_ROUTES_INTERNAL_H
#define TCPX_ROUTES_INTERNAL_H

#include <stdbool.h>

#include "../guard-process.h"
#include "netlink.h"
#include "routes.h"

/* --- one route: what main says, and what we ask for (route-copy.c) ------------------ */

#define ROUTE_ATTRIBUTES 32

struct route_view {
	const struct rtmsg *rt;
	const struct rtattr *a[ROUTE_ATTRIBUTES];
};

enum route_use {
	ROUTE_WANTED, /* without next hops that are dead: the kernel would refuse them */
	ROUTE_EXACT,  /* with all of them, to name a route */
};

/* -EINVAL: not a route. */
int route_view(const struct nlmsghdr *h, struct route_view *v);
uint32_t route_table(const struct route_view *v);
/* IPv6 keeps the next hops of one prefix as routes of their own: how many parts to copy. */
int route_parts(const struct route_view *v);
#define ROUTE_WHOLE (-1)
/* One part of the route, or all of it, as a request for our table. The same route always gives
 * the same bytes. 0, -EMSGSIZE, or -ENOENT: a part that is dead.
 */
int route_copy(const struct route_view *v, int part, enum route_use use, struct nl_request *m);
/* "Look elsewhere", in place of a route that cannot be copied. */
int route_throw(const struct route_view *v, struct nl_request *m);
/* Names a route by destination, TOS and metric; the next hop does not matter. */
int route_key(const struct route_view *v, struct nl_request *m);

/* --- table 31904 made equal to main (route-sync.c) ---------------------------------- */

struct nl_pair {
	int dump;
	int ask;
};

/* Returns 0, -EEXIST: the table holds routes of somebody else, -EINTR: changed meanwhile, come
 * again, -E2BIG: more than ROUTES_MOST, -EFBIG: more than `most`, when that is not 0, or -errno.
 */
int route_sync(const struct nl_pair *nl, int family, size_t most);

/* --- the rules (route-rules.c) ------------------------------------------------------ */

/* Sets our rules for these bits, if they are not there, directly in front of main's; 0 bits: none.
 * -EOPNOTSUPP: why[] says what is in the way, and ours are gone. -EAFNOSUPPORT: the kernel has no
 * rules for the family.
 */
int rules_set(const struct nl_pair *nl, int family, uint32_t bits, char *why, size_t room);
/* Whether the bits could be set, without a change. */
int rules_judge(const struct nl_pair *nl, int family, uint32_t bits, char *why, size_t room);

/* --- removal, and the guard (routes-guard.c) ---------------------------------------- */

/* Rules first, then routes; the number of both. Neither malloc nor locks. */
int sweep(const struct nl_pair *nl);

struct guard {
	int fd;	    /* readable when the guard has ended */
	int deaths; /* how often it had to be started again */
};

int guard_start(struct guard *g, const struct nl_pair *nl, const struct routes_place *place);
/* sweeps: it removes rules and routes first; that takes its time, and nobody waits for it. */
void guard_end(struct guard *g, bool sweeps);

#endif
