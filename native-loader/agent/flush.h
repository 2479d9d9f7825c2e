/* SPDX-License-Identifier: MIT */
/* Sends TCP segments that were made before, as they are, from the namespace of its sockets. */
#ifndef TCPX_FLUSH_H
#define TCPX_FLUSH_H

#include <linux/types.h>
#include "../../embedded-bpf/tcpx_shared.h"

struct flush {
	int v4;	      /* -1: not open */
	int v6;	      /* -1: not open, or no IPv6 here */
	__u32 bound6; /* device that v6 is bound to now, 0: none */
};

/* Raw sockets in the namespace of the calling thread. */
int flush_open(struct flush *f);
void flush_close(struct flush *f);
/* The checksum is made anew, and the IP header's by the kernel. Never waits. -EINVAL: not an ACK of
 * TCP that agrees with its own headers and with the record.
 */
int flush_send(struct flush *f, const struct tcpx_held *record);

#endif
