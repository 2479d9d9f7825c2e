/* SPDX-License-Identifier: MIT */
/*
 * Routes for acknowledging at once: a table of one network namespace that follows its main
 * table with the metric quickack, and the ip rules that lead marked packets there.
 */
#ifndef TCPX_ROUTES_H
#define TCPX_ROUTES_H

struct routes;

/* In the namespace of the calling thread. -EOPNOTSUPP: its routing cannot carry it. */
int routes_open(unsigned int mark_bits, struct routes **out);
int routes_fd(struct routes *r);     /* rtnetlink notifications, for epoll */
int routes_handle(struct routes *r); /* follows changes: how many, or -errno */
int routes_bits(struct routes *r, unsigned int mark_bits);
void routes_close(struct routes *r); /* removes rules and table */
const char *routes_reason(void);     /* of this thread: why routes_open last refused */

#endif
