/* SPDX-License-Identifier: MIT */
/* What the agent needs of a host besides host.h: namespaces, raw sockets, files of /proc. */
#ifndef TCPX_FUZZ_AGENT_HOST_H
#define TCPX_FUZZ_AGENT_HOST_H

#include "../../native-loader/agent/agent-internal.h"

/* Of a harness: what the agent's thread is to look after next; NULL: nothing, it is late. */
void *host_event(struct agent *a);

void host_agent_begin(void);
/* The record that comes now; NULL: none from which a packet may be sent. */
void host_holds(const struct tcpx_held *held);
/* So many bytes at most of what the flusher wants are read at once. */
void host_pipe_gives(uint8_t n);
/* The n-th namespace with routes, or NULL. */
void *host_routes_of(struct agent *a, uint8_t n);
/* The input goes on with the text of sockstat, or with the error of sendmsg(). */
void host_sockets_are(void);
void host_refuses(uint8_t error);

#endif
