/* SPDX-License-Identifier: MIT */
/* Which route does the kernel take for a flow, and is an ACK on it sent at once? */
#ifndef TCPX_ROUTE_ASK_H
#define TCPX_ROUTE_ASK_H

#include <stdbool.h>
#include <stdint.h>

#define FLOW_ADDRESS 16 /* bytes; IPv4 uses the first four */

struct route_flow {
	int family;
	bool bound; /* it has a source */
	uint8_t tos;
	uint16_t local_port; /* 0: not known, as of the next */
	uint16_t remote_port;
	uint32_t mark;
	uint32_t oif; /* device that the socket is bound to, 0: none */
	uint32_t uid; /* UINT32_MAX: not known */
	uint8_t source[FLOW_ADDRESS];
	uint8_t to[FLOW_ADDRESS];
};

struct route_answer {
	uint32_t table; /* 0: not told */
	bool quickack;
	bool has_source;
	uint8_t source[FLOW_ADDRESS]; /* that the kernel would choose */
};

/* 0, or -errno: -ENETUNREACH and the like when there is no route. After -ETIMEDOUT the socket is of
 * no use any more.
 */
int route_ask(int fd, const struct route_flow *flow, struct route_answer *answer);

#endif
