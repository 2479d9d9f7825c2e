/* SPDX-License-Identifier: MIT */
/*
 * Do connections come to the routes of table 31904, and is there one that has no effect of them?
 * Rules in front of ours say which may not; the kernel is asked for routes that there are.
 */
#ifndef TCPX_ROUTE_EFFECT_H
#define TCPX_ROUTE_EFFECT_H

#include <stddef.h>
#include <stdint.h>

struct nl_pair;
struct routes;
struct tcpx_route_scope;

/* Lines of `out`, each a rule behind `before`; their number. As many as there is room for, which
 * *used tells.
 */
int effect_ways(const struct nl_pair *nl, uint32_t bits, const char *before, char *out, size_t room,
		size_t *used);
/* -EOPNOTSUPP: every route for one of these, why[] says by what; 0 or other -errno. */
int effect_judge(const struct nl_pair *nl, uint32_t bits, const struct tcpx_route_scope *scopes,
		 unsigned int n, char *why, size_t room);

/* For routes_clear(); rules have changed. 0 or -ETIMEDOUT. */
int routes_look(struct routes *r);
/* effect_ways() of a namespace that has routes of ours. */
int routes_ways(const struct routes *r, const char *before, char *out, size_t room, size_t *used);
/* Both for the namespace of the calling thread: tcpx_routes_effect(). */
int routes_effect(unsigned int mark_bits, const struct tcpx_route_scope *scopes, unsigned int n,
		  char *out, size_t room);

#endif
