/* SPDX-License-Identifier: MIT */
#ifndef TCPX_ROUTE_SET_H
#define TCPX_ROUTE_SET_H

#include "routes-internal.h"

/* The routes of one table, as requests for ours (route_copy()). */
struct route_set {
	uint32_t table;
	size_t most; /* routes, beyond which it is -EFBIG; 0: no such limit */
	size_t n;
	const struct nlmsghdr **ordered; /* as the kernel has told them */
	const struct nlmsghdr **sorted;
	unsigned char *bytes;
	size_t used, room;
};

/* `most` is set before. -EEXIST: our table, and a route of somebody else in it. To be freed after a
 * failure too. */
int route_set_read(struct route_set *s, int fd, int family, uint32_t table);
bool route_set_has(const struct route_set *s, const struct nlmsghdr *h);
/* Whether two that follow one another have the same destination, TOS and metric. */
bool route_set_twins(const struct route_set *s);
bool route_same_key(const struct nlmsghdr *a, const struct nlmsghdr *b);
void route_set_free(struct route_set *s);

#endif
