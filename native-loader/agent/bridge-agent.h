/* SPDX-License-Identifier: MIT */
/*
 * What the ACK agent adds to the bridge (agent.c, flusher.c, routes.c): all that is
 * timing-critical, in two threads. Nothing outside this folder needs it; the words of bridge.h hold
 * here, too.
 */
#ifndef TCPX_BRIDGE_AGENT_H
#define TCPX_BRIDGE_AGENT_H

#include "../bridge.h"

struct tcpx_agent_stats {
	uint64_t flushed;    /* held ACKs that were sent */
	uint64_t failed;     /* and that the kernel refused */
	uint64_t notices;    /* requests for a namespace, of the thinner and of `notices` */
	uint64_t namespaces; /* served at the moment */
	uint64_t cpu_ns;     /* of its threads */
	uint64_t route_changes;
	uint64_t route_errors;
	uint64_t most;	       /* namespaces that are served at once */
	uint64_t foreign;      /* in the last minute: of other user namespaces, so not served */
	uint64_t turned_away;  /* requests for a namespace beyond `most` */
	uint64_t outdated;     /* held ACKs that were not sent: something newer had gone */
	uint64_t troubled;     /* in the last minute: namespaces where something failed */
	uint64_t trouble_with; /* of one of them: 1 entering it, 2 raw sockets, 3 routes */
	uint64_t trouble_errno;
	uint64_t unfound; /* in the last minute: wanted, and of no process that can be seen */
};

_Static_assert(sizeof(struct tcpx_agent_stats) == 120, "layout known to TypeScript");

/* held_fd: the thinner's ring buffer, or -1; notices_fd: one of u32 inode numbers of network
 * namespaces, or -1; served_fd: hash of these numbers to struct tcpx_served, emptied here.
 * The descriptors stay the caller's and must be open until tcpx_agent_stop(). The threads
 * sleep without a timeout when nothing is served.
 */
TCPX_API int tcpx_agent_start(int held_fd, int notices_fd, int served_fd, void **out);
/* The thinner's map `holds`, which stays open until the agent stops: held ACKs that are older than
 * what has gone since are not sent. 0 or -errno.
 */
TCPX_API int tcpx_agent_holds(void *agent, int holds_fd);
/* Bits of SO_MARK that ask for ACKs at once, in all served namespaces; 0: rules and tables
 * go. The first error of a namespace, after all of them were tried.
 */
TCPX_API int tcpx_agent_at_once(void *agent, unsigned int mark_bits);
/* Serves the namespace that a file such as /proc/PID/ns/net stands for, now. A refusal by its
 * routing (see tcpx_agent_reason) does not keep held ACKs from being sent there. -EPERM: it belongs
 * to another user namespace than this process; -EUSERS: the most are served.
 */
TCPX_API int tcpx_agent_serve(void *agent, const char *netns_path);
/* Why routing could last not carry ACKs at once; returns its length, 0: it always could. */
TCPX_API int tcpx_agent_reason(void *agent, char *out, int cap);
/* What the agent does not do in namespaces that it serves, and why: lines "INODE WHAT REASON",
 * where WHAT is "thinned". Their length; whole lines only, as many as there is room for.
 */
TCPX_API int tcpx_agent_denied(void *agent, char *out, int cap);
TCPX_API int tcpx_agent_stats(void *agent, struct tcpx_agent_stats *out);
/* Ends and joins the threads, empties `served`, removes rules and tables; the handle is gone. */
TCPX_API int tcpx_agent_stop(void *agent);
/* Opens and closes what held ACKs are sent with, in the network namespace of the calling thread: 0
 * or -errno.
 */
TCPX_API int tcpx_raw_sockets(void);
/* Would held ACKs leave the calling thread's network namespace as the connections' own do?
 * -EOPNOTSUPP: routing may lead them elsewhere, and why, as one line; -EPERM: it belongs to another
 * user namespace, so that nothing is held there. Changes nothing.
 */
TCPX_API int tcpx_held_path(char *why, int cap);
/* IPsec policies for what the calling thread's network namespace sends: their number, or -errno. */
TCPX_API int tcpx_ipsec_policies(void);
/* Removes what an agent and its guard, both killed, have left in the network namespace of the
 * calling thread: the number of rules and routes. -EPERM: it belongs to another user namespace, so
 * no agent was there. Not while an agent serves it.
 */
TCPX_API int tcpx_routes_sweep(void);
/* Can the routing of the calling thread's network namespace carry ACKs at once for these bits of
 * the mark? -EOPNOTSUPP: no, and why, as one line; -EPERM: it belongs to another user namespace.
 * Changes nothing.
 */
TCPX_API int tcpx_routes_check(unsigned int mark_bits, char *why, int cap);

#endif
