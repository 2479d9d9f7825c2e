// SPDX-License-Identifier: MIT
/* What of the routing of served namespaces does not come to our routes. */
#include <errno.h>
#include <stdio.h>

#include "route-effect.h"
#include "served-effect.h"
#include "served-netns.h"

#define EFFECT_NS (SECOND / 2) /* then the thread has other things to do */

int served_effect(struct served *s, char *out, int cap)
{
	uint64_t end = now_ns() + EFFECT_NS;
	struct namespace *n = s->first;
	size_t used = 0;
	char before[16];

	*out = 0;
	for (; n && now_ns() < end; n = n->next) {
		if (!n->routes || n->copy.away)
			continue;
		snprintf(before, sizeof(before), "%u ", n->inode);
		if (routes_ways(n->routes, before, out, (size_t)cap, &used) == -ETIMEDOUT)
			netns_broken(s, n); /* other errors its routes have, too, and tell */
	}
	return (int)used;
}
