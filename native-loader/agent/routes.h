/* SPDX-License-Identifier: MIT */
/*
 * Immediate ACKs for the sockets of one network namespace that carry a bit of SO_MARK: a copy of
 * the main routing table in which every route has the metric `quickack 1`, and one rule per bit
 * that sends marked packets there. The copy follows main.
 *
 * The rules stand directly in front of main's own, so all policy before it is heard as ever.
 * A guard, a small process, removes rules and table when this process ends in whatever way.
 */
#ifndef TCPX_ROUTES_H
#define TCPX_ROUTES_H

#define ROUTES_TABLE 31904	/* 0x7ca0 */
#define ROUTES_PROTOCOL 202	/* of our routes and rules; unassigned in rt_protos */
#define ROUTES_MOST (1 << 21)	/* of one family: twice what the Internet has */
#define ROUTES_THROWN_MOST 4096 /* of them left to main, since they cannot be copied */

#include <stdint.h>

struct routes;

/* For the guard; the descriptors are the caller's, open until routes_close(). */
struct routes_place {
	int home;	/* the namespace that the guard lives in: its own it would keep alive */
	int map_fd;	/* in which the bits of the mark stand that have routes */
	uint32_t inode; /* and under which key; the guard clears them before it removes a rule */
};

/* The calling thread is in the namespace; later calls may come from any. Takes over what an agent
 * that was killed has left. mark_bits 0: the table, but no rule. place: NULL for one that nobody
 * else knows of, in which the guard lives.
 * -EOPNOTSUPP: the routing of the namespace cannot carry it, routes_reason() says why, nothing is
 * left. Other -errno: nothing is left either.
 */
int routes_open(unsigned int mark_bits, const struct routes_place *place, struct routes **out);
/* The same, but -EFBIG, with *out, where a table is so large that comparing it takes long:
 * routes_handle_whole() does that, and routes_handle() says -EFBIG, too, when it is needed again.
 */
int routes_open_small(unsigned int mark_bits, const struct routes_place *place,
		      struct routes **out);
/* -EINTR: the routes have changed all the time; the rules are withdrawn. */
int routes_handle_whole(struct routes *r);
/* For epoll; readable when routes_handle() has something to do. */
int routes_fd(const struct routes *r);
/* The bits whose rules stand, in front of a table that is complete. */
unsigned int routes_bits_standing(const struct routes *r);
/* Follows what has changed; does not block. The number of changes of routes and rules that it read.
 * -EOPNOTSUPP: somebody's new rules are in the way, so ours are withdrawn (routes_reason() says
 * why); they come back in a later call, when the way is free. Other -errno: could not follow, the
 * rules are withdrawn, and the next change of routing makes it try again. After -ETIMEDOUT there is
 * nothing left to do but routes_abandon().
 */
int routes_handle(struct routes *r);
/* -EOPNOTSUPP: a rule uses one of the bits; everything stays as it was. */
int routes_bits(struct routes *r, unsigned int mark_bits);
/* Rules first, then the table. NULL is fine. */
void routes_close(struct routes *r);
/* The same, by the guard and without waiting for it. */
void routes_abandon(struct routes *r);
/* Why the last call in this thread said -EOPNOTSUPP: one line without an end. */
const char *routes_reason(void);
/* Could routes_open() succeed in the namespace of the calling thread? 0, or -errno as it would say,
 * the contents of table 31904 apart; changes nothing.
 */
int routes_check(unsigned int mark_bits);
/* Removes what an agent has left in the namespace of the calling thread: number of rules and
 * routes, or -errno. Not while an agent serves it.
 */
int routes_sweep(void);

#endif
