/* SPDX-License-Identifier: MIT */
#ifndef TCPX_HELD_LOOK_H
#define TCPX_HELD_LOOK_H

#include "held-judge.h"

/* What was found in the routing of a namespace. */
struct held_look {
	bool marks;	    /* a rule looks at the mark */
	bool groups;	    /* there are groups of several next hops */
	char why[HELD_WHY]; /* the first thing that is in the way; "": nothing */
};

/* One look at all of it, through a socket of the namespace. -errno: not all was seen. */
int held_look(struct held_look *out, int fd);

#endif
